"""Turns a training checkpoint into the one file that the canvas engine serves, with a manifest beside it.

The file holds the codes of all pictures, the decoder in 16-bit floats, and in its metadata the concepts, where they lie
in the engine's space, and the encoder.
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

from services.generator.concepts import Concept, concepts_to_json
from training.generator.canvas.codes import PLACE_PX, LinearEncoder, pack_codes
from training.generator.canvas.fields import measure_latents, picture_fields, picture_thumbs
from training.generator.canvas.graph import NOISE_SIZE, CanvasGraph
from training.generator.canvas.pictures import find_focus, load_pictures
from training.generator.canvas.train import load_networks
from training.generator.engine_file import encode_floats, export_graph, save_engine, store_halved
from training.generator.evaluate import measure_sharpness
from training.generator.pictures import Picture, read_list
from training.manifest import write_manifest
from training.ratings import name_raters

__all__ = ["build_graph", "main", "write_canvas"]

DATA_STATEMENT = (
    "Photos of OASIS (Kurdi, Lozano & Banaji 2017, Behavior Research Methods 49, 457-470) whose source is Pixabay (CC0 "
    "when collected) and that show no person, photos of the sea (CC0), and paintings in the public domain; NOTICE "
    "lists them. The pictures are not shipped. Sentiments are people's ratings where rated_by says people, moved from "
    "1..7 to -1..1, and readings of a model elsewhere."
)
SIZE = {2: "height", 3: "width"}
INPUTS: dict[str, dict[int, str]] = {
    "concepts": {0: "m"},
    "window": {},
    "pairs": {0: "g"},
    "area": {0: "g"},
    "noise": {0: "n"},
    "truncation": {0: "n"},
    "left": {0: "g"} | SIZE,
    "grown": {0: "g"} | SIZE,
    "alone": {0: "a"} | SIZE,
}
OUTPUTS = {"decoded": {0: "m"} | SIZE, "pictures": {0: "n", 1: "height", 2: "width"}}


def build_graph(
    checkpoint: Path, pictures: NDArray[np.uint8], focus: NDArray[np.float32]
) -> tuple[CanvasGraph, LinearEncoder]:
    """Encodes pictures with a checkpoint's encoder, in closed form, and joins them with its decoder.

    Args:
        checkpoint: of training.generator.canvas.train.
        pictures: (K, H, W, 3), RGB.
        focus: (K, 2): where the subject is, down and across, 0 to 1.
    """
    networks = load_networks(checkpoint)
    encoder = LinearEncoder.from_text(networks[0].to_linear().to_text())  # as the file holds it, in 16 bits
    packed = torch.from_numpy(pack_codes(encoder.encode(pictures)))
    fields = torch.from_numpy(picture_fields(picture_thumbs(pictures)))
    return CanvasGraph(networks[1], packed, fields, torch.from_numpy(focus)).eval(), encoder


def write_canvas(graph: CanvasGraph, facts: dict[str, str], path: Path) -> None:
    """Writes the engine's file, replaced in one rename.

    Args:
        graph: in evaluation mode.
        facts: the metadata, besides the pictures' size.
        path: the .onnx file.
    """
    rows, columns = graph.places
    one, picture = torch.zeros(1, dtype=torch.int64), torch.zeros(1, 3, PLACE_PX * rows, PLACE_PX * columns)
    pair, noise = torch.tensor([[0, 1]]), torch.zeros(2, NOISE_SIZE)  # a picture that mixes two concepts, and one alone
    half = torch.tensor([0.5])
    example = (one, torch.tensor(graph.places), pair, half, noise, torch.zeros(2), picture, picture, picture)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        export_graph(graph, example, plain, INPUTS, OUTPUTS)
        model = onnx.load(plain)
    store_halved(model)
    sizes = {"native_size": f"{PLACE_PX * columns}x{PLACE_PX * rows}", "place_px": str(PLACE_PX)}
    save_engine(model, facts | sizes, path)


def _describe(listed: list[Picture], pictures: NDArray[np.uint8], encoder: LinearEncoder) -> dict[str, str]:
    """The metadata of the file: texts by name."""
    concepts = [Concept(one.name, one.arousal, one.valence, one.themes, one.rated_by) for one in listed]
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
    options = parser.parse_args(arguments)
    listed = read_list(options.list)
    pictures = load_pictures(options.pictures, listed)
    focus = np.array([find_focus(one, options.pictures) for one in listed], np.float32)
    graph, encoder = build_graph(options.checkpoint, pictures, focus)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.name}.onnx"
    write_canvas(graph, _describe(listed, pictures, encoder), path)
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
            "training": {"steps": state["step"], "minutes": round(state["passed_s"] / 60, 1)},
            "noise_size": NOISE_SIZE,
            "metrics": {"psnr_db": measure_sharpness(path, pictures)},
            "pictures": [[one.file, one.theme, one.rated_by] for one in listed],
        },
    )


if __name__ == "__main__":
    main()
