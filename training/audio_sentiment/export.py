"""Writes the models as the service opens them: the networks from musicnn's checkpoints, head.npz from training.

`python -m training.audio_sentiment.export --musicnn DIR` takes the folder `musicnn` of the unpacked wheel
(`pip download --no-deps musicnn==0.1.0`; its other requirements no longer install and are not needed).
"""

import argparse
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import services.audio_sentiment
from training.audio_sentiment.checkpoint import read_checkpoint
from training.manifest import write_manifest

__all__ = ["MODELS", "export_networks", "main", "read_musicnn", "write_sentiment_model"]

F32 = NDArray[np.float32]
WEIGHTS = Path(services.audio_sentiment.__file__).with_name("weights")
MODELS = {"network": "MSD_musicnn", "patch": "MSD_vgg"}  # folders of the wheel
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # equal arrays make equal files


def read_musicnn(folder: Path) -> dict[str, F32]:
    """Reads the checkpoint of a model folder of the musicnn wheel, without the optimiser's tensors."""
    tensors = read_checkpoint(folder / ".index", folder / ".data-00000-of-00001")
    return {name: value for name, value in tensors.items() if "Adam" not in name}


def export_networks(musicnn: Path, folder: Path) -> dict[str, Path]:
    """Writes the networks and their manifests.

    Args:
        musicnn: folder `musicnn` of the unpacked wheel.
        folder: where to write.

    Returns:
        `network` and `patch`, the files.
    """
    from training.audio_sentiment.network import (
        build_graph,  # both need onnx, of the extra "train"
        build_patch_graph,
    )

    builders = {"network": build_graph, "patch": build_patch_graph}
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, model in MODELS.items():
        path = paths[name] = folder / f"{name}.onnx"
        path.write_bytes(builders[name](read_musicnn(musicnn / model)).SerializeToString(deterministic=True))
        facts = {
            "source": f"PyPI musicnn 0.1.0, {model}: Pons & Serra 2019, Music Technology Group, UPF",
            "licence": "ISC",
            "trained_on": "Million Song Dataset audio with last.fm tags (50 tags)",
            "command": "python -m training.audio_sentiment.export --musicnn DIR",
        }
        write_manifest(path, facts, f"audio-sentiment-{name}")
    return paths


def write_sentiment_model(arrays: Mapping[str, F32], folder: Path, facts: Mapping[str, Any]) -> Path:
    """Writes head.npz, float16, and its manifest with training data, command and metrics."""
    path = folder / "head.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", ZIP_DATE), "w") as file:
                np.lib.format.write_array(file, value.astype(np.float16), allow_pickle=False)
    write_manifest(path, facts, "audio-sentiment-head")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Exports the network; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--musicnn", type=Path, required=True, help="folder musicnn of the unpacked wheel")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where to write")
    options = parser.parse_args(arguments)
    export_networks(options.musicnn, options.weights)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
