"""Turns a training checkpoint into the one file that the morph engine serves, with a manifest beside it.

The ONNX graph takes latents and gives finished 8-bit pictures; weights are stored as 16-bit floats that the
runtime widens once, at load. What else the engine needs (the anchors' latents, the noise basis, the concepts)
travels in the file's metadata, so that one digest stands for all of it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from services.generator.concepts import Concept, concepts_to_json, from_rating
from services.generator.engines import Engine
from services.generator.engines.morph import packed
from services.generator.evaluate import anchor_pictures, checkerboard, opened, psnr_db
from services.generator.generate import noise_basis
from services.generator.network import MorphDecoder, MorphShape
from services.generator.train import load_anchors

__all__ = ["averaged_decoder", "export", "read_concepts", "store_halved", "write_manifest"]

OPSET = 17
NOISE_SIZE = 128  # length of a noise vector, as in the full-size engines
SMALLEST_HALF = 1024  # values; smaller tensors (biases) stay 32-bit: nothing is gained on them
DATA_STATEMENT = (
    "Anchor photos: OASIS (Kurdi, Lozano & Banaji 2017, Behavior Research Methods 49, 457-470), only rows whose "
    "source is Pixabay (CC0 when collected, 2015) and that show no person. The photos are not shipped. "
    "Sentiments are the human ratings of OASIS, moved from 1..7 to -1..1."
)


class Finisher(nn.Module):
    """The decoder with everything after it: clipped, rounded to 8 bits, channels last."""

    def __init__(self, decoder: MorphDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent size) → (N, H, W, 3) uint8."""
        picture: Tensor = (self.decoder(latent) * 255).clamp(0, 255).round()
        return picture.to(torch.uint8).permute(0, 2, 3, 1)


def averaged_decoder(checkpoint: Path) -> tuple[MorphDecoder, npt.NDArray[np.float32]]:
    """Reads a checkpoint's averaged weights (tensors and plain values only: no pickled code is run).

    Returns:
        The decoder in evaluation mode, and the anchors' latents (K, latent size).
    """
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    shape: dict[str, Any] = {name: _plain(value) for name, value in state["shape"].items()}
    decoder = MorphDecoder(MorphShape(**shape))
    *weights, latents = state["average"]
    with torch.no_grad():
        for weight, mean in zip(decoder.parameters(), weights, strict=True):
            weight.copy_(mean)
    return decoder.eval(), latents.numpy().astype(np.float32)


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def read_concepts(anchors: Path, ratings: Path) -> tuple[list[str], list[Concept]]:
    """Joins the anchors with their human ratings.

    Args:
        anchors: CSV with columns file, concept; the order is the order of the latents.
        ratings: CSV with columns file, arousal_mean, valence_mean, on a scale of 1 to 7.

    Returns:
        The files and the concepts, both of length K.

    Raises:
        ValueError: an anchor has no rating.
    """
    with ratings.open(newline="", encoding="utf-8") as lines:
        rated = {row["file"]: row for row in csv.DictReader(lines)}
    with anchors.open(newline="", encoding="utf-8") as lines:
        chosen = [(row["file"], row["concept"]) for row in csv.DictReader(lines)]
    missing = [file for file, _ in chosen if file not in rated]
    if missing:
        raise ValueError(f"{missing[0]} has no row in {ratings.name}; add one with arousal_mean and valence_mean")
    concepts = [
        Concept(name, from_rating(float(rated[file]["arousal_mean"])), from_rating(float(rated[file]["valence_mean"])))
        for file, name in chosen
    ]
    return [file for file, _ in chosen], concepts


def store_halved(model: onnx.ModelProto) -> None:
    """Stores large weights as 16-bit floats, each followed by a cast that constant folding removes at load."""
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or values.size < SMALLEST_HALF:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def set_picture_size(model: onnx.ModelProto, size_px: int) -> None:
    """States the pictures' size in the graph's output, where engines read it."""
    dimensions = model.graph.output[0].type.tensor_type.shape.dim
    for dimension, value in zip(dimensions[1:], (size_px, size_px, 3), strict=True):
        dimension.dim_value = value


def export(
    decoder: MorphDecoder,
    latents: npt.NDArray[np.float32],
    concepts: list[Concept],
    path: Path,
    noise_size: int = NOISE_SIZE,
) -> None:
    """Writes the engine's file.

    Args:
        decoder: in evaluation mode.
        latents: (K, latent size).
        concepts: K concepts, in the order of the latents.
        path: the .onnx file, replaced in one rename.
        noise_size: length of the noise vectors, at most the latent size.
    """
    if len(concepts) != len(latents):
        raise ValueError(f"{len(concepts)} concepts for {len(latents)} latents; give the anchors of this training")
    partial = path.with_suffix(".partial")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package calls itself deprecated
        torch.onnx.export(
            Finisher(decoder),
            (torch.from_numpy(latents[:2]),),
            str(partial),
            input_names=["latent"],
            output_names=["pictures"],
            dynamic_axes={"latent": {0: "n"}, "pictures": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(partial)
    store_halved(model)
    set_picture_size(model, decoder.shape.size_px)
    metadata = {
        "latents": packed(latents),
        "basis": packed(noise_basis(latents, noise_size)),
        "concepts": concepts_to_json(concepts),
    }
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    onnx.save(model, partial)
    partial.replace(path)


def write_manifest(path: Path, facts: dict[str, object]) -> None:
    """Writes the manifest of the weights at `path` beside them: name, file, digest, then `facts`."""
    content = path.read_bytes()
    head = {"name": path.stem, "file": path.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    text = json.dumps({**head, **facts}, indent=1, ensure_ascii=False)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


def measured(engine: Engine, pictures: Tensor) -> dict[str, object]:
    """Sharpness and pattern of an exported engine's anchors, from what it really paints.

    Args:
        engine: opened from the exported file.
        pictures: (K, 3, H, W), the anchor photos, RGB in [0, 1].
    """
    real = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    made = anchor_pictures(engine)
    sharpness = psnr_db(made, real)
    return {
        "psnr_db": {
            "n": len(sharpness),
            "mean": round(float(sharpness.mean()), 2),
            "sd": round(float(sharpness.std()), 2),
            "min": round(float(sharpness.min()), 2),
            "max": round(float(sharpness.max()), 2),
        },
        "checkerboard": {"made": round(checkerboard(made), 3), "photos": round(checkerboard(real), 3)},
    }


def main(arguments: list[str] | None = None) -> None:
    """Command line: `python -m services.generator.export --checkpoint FILE --images DIR … --out DIR`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="written by services.generator.train")
    parser.add_argument("--images", type=Path, required=True, help="folder of the anchor photos, to measure against")
    parser.add_argument(
        "--anchors", type=Path, default=Path(__file__).parent / "anchors.csv", help="CSV: file, concept"
    )
    parser.add_argument("--ratings", type=Path, required=True, help="CSV: file, arousal_mean, valence_mean (1 to 7)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "weights", help="folder to write into")
    parser.add_argument("--name", default="morph", help="name of the engine and its files")
    options = parser.parse_args(arguments)
    decoder, latents = averaged_decoder(options.checkpoint)
    files, concepts = read_concepts(options.anchors, options.ratings)
    path = options.out / f"{options.name}.onnx"
    options.out.mkdir(parents=True, exist_ok=True)
    export(decoder, latents, concepts, path)
    _, pictures = load_anchors(options.images, options.anchors, decoder.shape.size_px)
    facts: dict[str, object] = {
        "engine": "morph",
        "data": DATA_STATEMENT,
        "command": "python -m services.generator.export --checkpoint FILE --images DIR --ratings CSV",
        "shape": asdict(decoder.shape),
        "training": {"steps": torch.load(options.checkpoint, weights_only=True, map_location="cpu")["step"]},
        "parameters": sum(weight.numel() for weight in decoder.parameters()) + latents.size,
        "noise_size": NOISE_SIZE,
        "metrics": measured(opened(path), pictures),
        "anchors": files,
    }
    write_manifest(path, facts)


if __name__ == "__main__":
    main()
