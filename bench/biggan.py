"""The engine biggan-deep against its publisher's loader, in turn, in one run, on random weights of its layout."""

import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench.measurement import Measurement
from deepsing.local.failures import USAGE, CommandError
from deepsing.runtime.onnx import open_session

__all__ = ["measure_biggan"]

SIZE_PX = 128
NEEDED = ("torch", "onnx", "pytorch_pretrained_biggan")
TRUNCATION = 0.4
LONGEST_RUN = 8  # on a GPU; on a CPU rows are painted one by one


async def measure_biggan(quick: bool) -> list[Measurement]:
    """Pictures a second of ours (fp32; with a GPU fp16 in runs of 8, too) and of the package's fp32 loop of one row."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise CommandError(f"this part needs {missing[0]}; run: pip install -e '.[serve,train,parity]'", USAGE)
    with tempfile.TemporaryDirectory() as folder:
        return _measure_engines(Path(folder), repeats=2 if quick else 5)


def _measure_engines(folder: Path, repeats: int) -> list[Measurement]:
    import torch

    from tests.golden.generator.biggan_checkpoint import PUBLISHED, write_checkpoint

    write_checkpoint(folder, PUBLISHED[SIZE_PX])
    gpu = torch.cuda.is_available()
    contenders = {f"the package, fp32, {SIZE_PX} px": _load_package(folder, "cuda" if gpu else "cpu")}
    kinds = (("float32", 1), ("float16", LONGEST_RUN)) if gpu else (("float32", 1),)
    for precision, rows in kinds:
        name = f"biggan-deep-{SIZE_PX}, {precision}, runs of {rows}"
        contenders[name] = _load_ours(folder, precision, rows, "cuda" if gpu else "cpu")
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for paint in contenders.values():
        paint()  # the first call pays for what is set up lazily
    for _ in range(repeats):
        for name, paint in contenders.items():
            began_s = time.perf_counter()
            count = paint()
            rates[name].append(count / (time.perf_counter() - began_s))
    (theirs, base), *ours = rates.items()
    found = [Measurement(name, "pictures/s", values) for name, values in rates.items()]
    for name, values in ours:
        ratios = [mine / other for mine, other in zip(values, base, strict=True)]
        found.append(Measurement(f"{name} : {theirs}", "x", ratios))
    return found


def _load_package(folder: Path, device: str) -> Callable[[], int]:
    import torch
    from pytorch_pretrained_biggan import BigGAN, BigGANConfig

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old way of spectral norm
        network = BigGAN(BigGANConfig.from_json_file(str(folder / "config.json")))
    network.load_state_dict(torch.load(folder / "pytorch_model.bin", weights_only=True))
    network.eval().to(device)
    noise, classes = torch.zeros(1, 128, device=device), torch.eye(1, 1000, device=device)

    def paint() -> int:
        with torch.no_grad():
            network(noise, classes, TRUNCATION).cpu()
        return 1

    return paint


def _load_ours(folder: Path, precision: str, rows: int, provider: str) -> Callable[[], int]:
    import torch

    from services.generator.engine import Engine
    from training.generator.biggan_deep.checkpoint import load_network
    from training.generator.biggan_deep.export import export, read_classes

    path = folder / f"{precision}.onnx"
    network, embeddings = load_network(folder)
    export(network, embeddings, read_classes(None), path, precision)
    engine = Engine("bench", "", open_session(path, provider=provider, threads=torch.get_num_threads()))
    given: tuple[Any, ...] = (
        np.eye(1, 1000, dtype=np.float32).repeat(rows, 0),
        np.zeros((rows, 128), np.float32),
        np.full(rows, TRUNCATION, np.float32),
    )

    def paint() -> int:
        return len(engine.paint(*given))

    return paint
