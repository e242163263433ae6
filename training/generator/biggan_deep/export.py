"""Turns a BigGAN-deep checkpoint of the public layout into the one file that the engine serves.

`python -m training.generator.biggan_deep.export --checkpoint DIR --out DIR`
"""

import argparse
import csv
import hashlib
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from services.generator.concepts import Concept
from training.generator.biggan_deep.checkpoint import WEIGHTS, load_network
from training.generator.biggan_deep.network import BigGanDeep
from training.generator.engine_file import write_engine
from training.manifest import write_manifest

__all__ = ["CLASSES", "NOISE_REACH", "EngineGraph", "export", "main", "read_classes"]

NOISE_REACH = 2.0  # standard deviations, before truncation scales them: as the network was trained and measured
PRECISIONS = ("float32", "stored16", "float16")
DATA_STATEMENT = (
    "Converted from a checkpoint of the user's. The published ones were trained by DeepMind on ImageNet (ILSVRC 2012); "
    "nothing of them is distributed with deepsing, and their terms are for the user to look up."
)
CLASSES = Path(__file__).parent / "imagenet_classes.csv"  # in the order of class numbers
COLUMNS = ("concept", "arousal", "valence")


class EngineGraph(nn.Module):
    """The network with what comes before and after: classes mixed, noise within its reach, pictures in 8 bits.

    Args:
        network: from `load_network`.
        embeddings: (K, Z), of the classes.
    """

    embeddings: Tensor

    def __init__(self, network: BigGanDeep, embeddings: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("embeddings", torch.from_numpy(embeddings))

    def forward(self, class_weights: Tensor, noise: Tensor, truncation: Tensor) -> Tensor:
        """(N, K) on the simplex, (N, Z) of unit variance, (N,) in [0, 1] → (N, H, W, 3) uint8."""
        scaled = truncation[:, None] * noise.clamp(-NOISE_REACH, NOISE_REACH)
        pictures = self.network(torch.cat([scaled, class_weights @ self.embeddings], dim=1), truncation)
        levels: Tensor = ((pictures + 1) * 127.5).clamp(0, 255).round()
        return levels.to(torch.uint8).permute(0, 2, 3, 1)


def export(
    network: BigGanDeep,
    embeddings: npt.NDArray[np.float32],
    concepts: list[Concept],
    path: Path,
    precision: str = "float32",
    truncation: float | None = None,
) -> None:
    """Writes the engine's file; changes the network as precision and truncation demand.

    Args:
        network: from `load_network`.
        embeddings: (K, Z), of the classes.
        concepts: K concepts, in the order of the classes.
        path: the .onnx file, replaced in one rename.
        precision: "float32", "stored16" (16-bit weights, computed in 32 bits) or "float16" (features in 16 bits).
        truncation: folds this one's statistics, (0, 1], whatever is asked for later; None keeps them all.

    Raises:
        ValueError: there are not as many concepts as classes, or the truncation is out of range.
    """
    if len(concepts) != len(embeddings):
        raise ValueError(f"{len(concepts)} concepts for {len(embeddings)} classes; name each class once")
    if truncation is not None:
        if not 0 < truncation <= 1:
            raise ValueError(f"truncation is {truncation:g}; choose above 0 and up to 1")
        network.normalisations.fold(truncation)
    if precision == "float16":
        network.halve_precision()
    graph = EngineGraph(network, embeddings)
    size_px, halved = network.layout.size_px, precision == "stored16"
    write_engine(graph, embeddings, concepts, embeddings.shape[1], size_px, path, halved)


def _facts(options: argparse.Namespace, network: BigGanDeep) -> dict[str, object]:
    with (options.checkpoint / WEIGHTS).open("rb") as file:
        source = hashlib.file_digest(file, "sha256").hexdigest()
    folded = "" if options.truncation is None else f" --truncation {options.truncation:g}"
    return {
        "engine": "biggan-deep",
        "data": DATA_STATEMENT,
        "command": "python -m training.generator.biggan_deep.export --checkpoint DIR --out DIR"
        f" --precision {options.precision}{folded}",
        "source_sha256": source,
        "precision": options.precision,
        "truncation": options.truncation,
        "rated": options.sentiments is not None,
        "shape": asdict(network.layout),
        "parameters": sum(weight.numel() for weight in network.parameters()),
    }


def read_classes(sentiments: Path | None, classes: Path = CLASSES) -> list[Concept]:
    """Reads the names of all classes, and joins sentiments to them.

    Args:
        sentiments: CSV with columns concept, arousal, valence, the latter in [-1, 1]; classes it does not name, and
            all classes without it, are neutral (0, 0), which means that nothing is known.
        classes: CSV with a column concept, one row a class, in the order of class numbers.

    Raises:
        ValueError: a row of the sentiments names no class, or holds no sentiment.
    """
    with classes.open(newline="", encoding="utf-8") as lines:
        felt = {row["concept"]: (0.0, 0.0) for row in csv.DictReader(lines)}
    if sentiments is not None:
        with sentiments.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"{sentiments.name} has no column {missing[0]}; give {', '.join(COLUMNS)}")
            for number, row in enumerate(reader, start=2):
                felt |= _parse_sentiment(row, felt, f"{sentiments.name} line {number}")
    return [Concept(name, *values) for name, values in felt.items()]


def _parse_sentiment(
    row: dict[str, str], known: dict[str, tuple[float, float]], where: str
) -> dict[str, tuple[float, float]]:
    name = row["concept"]
    if name not in known:
        raise ValueError(f"{where} names {name!r}, which is no class; take the names of {CLASSES.name}")
    try:
        values = float(row["arousal"]), float(row["valence"])
    except (TypeError, ValueError):
        values = (float("nan"), float("nan"))
    if not all(abs(value) <= 1 for value in values):
        raise ValueError(f"{where} holds ({row['arousal']}, {row['valence']}); give arousal and valence from -1 to 1")
    return {name: values}


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of config.json and pytorch_model.bin")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--name", help="of the engine and its files (default: biggan-deep- and its size)")
    parser.add_argument("--sentiments", type=Path, help="CSV: concept, arousal, valence (-1 to 1) of classes")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="stored16: half the file; float16: for GPUs"
    )
    parser.add_argument("--truncation", type=float, help="fold this truncation's statistics (default: keep all)")
    options = parser.parse_args(arguments)
    try:
        network, embeddings = load_network(options.checkpoint)
        concepts = read_classes(options.sentiments)
        facts = _facts(options, network)
        options.out.mkdir(parents=True, exist_ok=True)
        path = options.out / f"{options.name or f'biggan-deep-{network.layout.size_px}'}.onnx"
        export(network, embeddings, concepts, path, options.precision, options.truncation)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    write_manifest(path, facts)
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
