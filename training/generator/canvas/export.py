"""Turns a training checkpoint into the one file that the canvas engine serves, with a manifest beside it.

The file holds the codes of all pictures once, the decoder with 8-bit convolutions (or, with --float, 16-bit weights
for GPUs), and in its metadata the concepts, where they lie in the engine's space, and the encoder.
`python -m training.generator.canvas.export --checkpoint FILE --pictures DIR --list CSV --out DIR`
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from deepsing.runtime.onnx import open_session
from services.generator.concepts import Concept, concepts_to_json
from training.generator.canvas.codes import NATIVE_SIZE_PX, LinearEncoder, pack_codes
from training.generator.canvas.fields import measure_latents, picture_fields, picture_thumbs
from training.generator.canvas.graph import NOISE_SIZE, CanvasGraph
from training.generator.canvas.pictures import ListedPicture, load_pictures, read_list
from training.generator.canvas.quantize import Feed, draw_feeds, quantize_decoder
from training.generator.canvas.train import load_networks
from training.generator.engine_file import encode_floats, export_graph, save_engine, set_picture_size, store_halved
from training.generator.evaluate import measure_sharpness, psnr_db
from training.manifest import write_manifest
from training.ratings import name_raters

__all__ = ["build_graph", "compare_engines", "main", "write_canvas"]

CALIBRATION = 24  # pictures over which the ranges of activations are measured, half of them mixed
DATA_STATEMENT = (
    "Photos of OASIS (Kurdi, Lozano & Banaji 2017, Behavior Research Methods 49, 457-470) whose source is Pixabay (CC0 "
    "when collected) and that show no person, photos of the sea (CC0), and paintings in the public domain; NOTICE "
    "lists them. The pictures are not shipped. Sentiments are people's ratings where rated_by says people, moved from "
    "1..7 to -1..1, and readings of a model elsewhere."
)


def build_graph(checkpoint: Path, pictures: NDArray[np.uint8]) -> tuple[CanvasGraph, LinearEncoder]:
    """Encodes pictures (K, H, W, 3) with a checkpoint's encoder, in closed form, and joins them with its decoder."""
    networks = load_networks(checkpoint)
    encoder = LinearEncoder.from_text(networks[0].to_linear().to_text())  # as the file holds it, in 16 bits
    packed = torch.from_numpy(pack_codes(encoder.encode(pictures)))
    fields = torch.from_numpy(picture_fields(picture_thumbs(pictures)).astype(np.float32) / 255)
    return CanvasGraph(networks[1], packed, fields).eval(), encoder


def write_canvas(
    graph: CanvasGraph, facts: dict[str, str], path: Path, feeds: list[Feed] | None, size_px: tuple[int, int]
) -> None:
    """Writes the engine's file, replaced in one rename.

    Args:
        graph: in evaluation mode.
        facts: the metadata.
        path: the .onnx file.
        feeds: to measure the ranges of 8-bit activations over; None leaves the decoder in floats.
        size_px: width, height of the pictures.
    """
    concepts = len(graph.packed)
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        weights = torch.zeros(2, concepts)  # one row of a single concept, one of two: both ways are traced
        weights[:, 0] = torch.tensor([1.0, 0.5])
        weights[1, 1] = 0.5
        export_graph(graph, (weights, torch.zeros(2, NOISE_SIZE), torch.zeros(2)), plain)
        if feeds is not None:
            quantize_decoder(plain, small, feeds)
        model = onnx.load(plain if feeds is None else small)
    store_halved(model)
    set_picture_size(model, size_px)
    save_engine(model, facts, path)


def compare_engines(first: Path, second: Path, feeds: list[Feed]) -> NDArray[np.float64]:
    """How near the pictures of two engine files are to each other, dB, one value for each feed."""
    sessions = [open_session(path, threads=1) for path in (first, second)]
    painted = [np.concatenate([session.run(None, feed)[0] for feed in feeds]) for session in sessions]
    return psnr_db(painted[0], painted[1])


def _describe(listed: list[ListedPicture], pictures: NDArray[np.uint8], encoder: LinearEncoder) -> dict[str, str]:
    """The metadata of the file: texts by name."""
    concepts = [Concept(one.name, one.arousal, one.valence) for one in listed]
    return {
        "concepts": concepts_to_json(concepts),
        "noise_size": str(NOISE_SIZE),
        "latents": encode_floats(measure_latents(picture_thumbs(pictures))),
        "encoder": encoder.to_text(),
    }


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="written by training.generator.canvas.train")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--list", type=Path, required=True, help="CSV: file, folder, name, arousal, valence, …")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--name", default="canvas", help="name of the engine and its files")
    parser.add_argument("--float", action="store_true", help="a decoder of 16-bit weights, for GPUs")
    options = parser.parse_args(arguments)
    listed = read_list(options.list)
    pictures = load_pictures(options.pictures, listed)
    graph, encoder = build_graph(options.checkpoint, pictures)
    feeds = None if options.float else draw_feeds(CALIBRATION, len(listed), NOISE_SIZE, seed=0)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.name}.onnx"
    write_canvas(graph, _describe(listed, pictures, encoder), path, feeds, NATIVE_SIZE_PX)
    raters = Counter(one.rated_by for one in listed)
    state = torch.load(options.checkpoint, weights_only=True, map_location="cpu")
    write_manifest(
        path,
        {
            "engine": "canvas",
            "rated_by": name_raters(raters),
            "raters": dict(raters),
            "data": DATA_STATEMENT,
            "command": "python -m training.generator.canvas.export --checkpoint FILE --pictures DIR --list CSV",
            "decoder": "16-bit floats" if options.float else "8 bits (QDQ), linear part in 16-bit floats",
            "shape": state["shape"],
            "training": {"steps": state["step"], "minutes": round(state["passed_s"] / 60, 1)},
            "noise_size": NOISE_SIZE,
            "metrics": {"psnr_db": measure_sharpness(path, pictures)},
            "pictures": [[one.file, one.theme, one.rated_by] for one in listed],
        },
    )


if __name__ == "__main__":
    main()
