"""Turns a training checkpoint into the one file that the morph engine serves, with a manifest beside it.

The ONNX graph takes class weights, noise and truncation and gives finished 8-bit pictures; weights are stored as
16-bit floats that the runtime widens once, at load. The concepts, and the anchors'
latents, which translators are trained with, are in the file's metadata, so that one digest covers all.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import services.generator
from services.generator.concepts import Concept
from training.generator.anchors import anchor_fields, load_anchors, to_8_bit
from training.generator.composition import concept_shares, noise_basis
from training.generator.engine_file import write_engine
from training.generator.evaluate import measure_engine
from training.generator.network import MorphDecoder, MorphShape
from training.generator.painting import open_engine
from training.manifest import write_manifest
from training.ratings import read_rated_pictures, read_rating_source

__all__ = ["EngineGraph", "export", "main"]

NOISE_SIZE = 128  # length of a noise vector, as in the full-size engines
DATA_STATEMENT = (
    "Anchor photos: OASIS (Kurdi, Lozano & Banaji 2017, Behavior Research Methods 49, 457-470), only rows whose "
    "source is Pixabay (CC0 when collected, 2015) and that show no person. The photos are not shipped. "
    "Sentiments are the human ratings of OASIS, moved from 1..7 to -1..1."
)


class EngineGraph(nn.Module):
    """All that the engine's file computes: concepts are chosen and placed, noise added, the decoder run, 8 bits made.

    Args:
        decoder: in evaluation mode.
        latents: (K, latent size), of the anchors.
        fields: (K, FIELD_PX, FIELD_PX), in [0, 1].
        basis: (Z, latent size), from `noise_basis`.
    """

    latents: Tensor
    fields: Tensor
    basis: Tensor

    def __init__(self, decoder: MorphDecoder, latents: Tensor, fields: Tensor, basis: Tensor) -> None:
        super().__init__()
        self.decoder = decoder
        self.register_buffer("latents", latents)
        self.register_buffer("fields", (fields * 255).round().to(torch.uint8))
        self.register_buffer("basis", basis)

    def forward(self, class_weights: Tensor, noise: Tensor, truncation: Tensor) -> Tensor:
        """(N, K) on the simplex, (N, Z), (N,) in [0, 1] → (N, H, W, 3) uint8."""
        chosen, shares = concept_shares(class_weights, self.fields.float() / 255)
        moved = truncation[:, None] * (noise @ self.basis)
        picture: Tensor = self.decoder(self.latents[chosen] + moved[:, None], shares)
        return (picture * 255).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def load_averaged_decoder(checkpoint: Path) -> tuple[MorphDecoder, Tensor]:
    """Reads a checkpoint's averaged weights (tensors and plain values only: no pickled code is run).

    Returns:
        The decoder in evaluation mode, and the anchors' latents (K, latent size).
    """
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    shape: dict[str, Any] = {name: _list_to_tuple(value) for name, value in state["shape"].items()}
    decoder = MorphDecoder(MorphShape(**shape))
    *weights, latents = state["average"]
    with torch.no_grad():
        for weight, mean in zip(decoder.parameters(), weights, strict=True):
            weight.copy_(mean)
    return decoder.eval(), latents.float()


def _list_to_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def export(graph: EngineGraph, concepts: list[Concept], path: Path) -> None:
    """Writes the engine's file, replaced in one rename.

    Args:
        graph: in evaluation mode.
        concepts: K concepts, in the order of the latents.
        path: the .onnx file.
    """
    if len(concepts) != len(graph.latents):
        raise ValueError(
            f"{len(concepts)} concepts for {len(graph.latents)} latents; give the anchors of this training"
        )
    write_engine(graph, graph.latents.numpy(), concepts, len(graph.basis), graph.decoder.shape.size_px, path)


def main(arguments: list[str] | None = None) -> None:
    """Command line: `python -m training.generator.export --checkpoint FILE --images DIR … --out DIR`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="written by training.generator.train")
    parser.add_argument("--images", type=Path, required=True, help="folder of the anchor photos, to measure against")
    parser.add_argument(
        "--anchors", type=Path, default=Path(__file__).parent / "anchors.csv", help="CSV: file, concept"
    )
    parser.add_argument(
        "--ratings", type=Path, required=True, help="CSV: file, arousal_mean, valence_mean (1 to 7), perhaps rated_by"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(services.generator.__file__).parent / "weights", help="folder to write into"
    )
    parser.add_argument("--name", default="morph", help="name of the engine and its files")
    options = parser.parse_args(arguments)
    decoder, latents = load_averaged_decoder(options.checkpoint)
    rated = read_rated_pictures(options.anchors, options.ratings)
    concepts = [Concept(one.concept, one.arousal, one.valence) for one in rated]
    path = options.out / f"{options.name}.onnx"
    options.out.mkdir(parents=True, exist_ok=True)
    _, pictures = load_anchors(options.images, options.anchors, decoder.shape.size_px)
    basis = torch.from_numpy(noise_basis(latents.numpy(), NOISE_SIZE))
    export(EngineGraph(decoder, latents, anchor_fields(pictures), basis).eval(), concepts, path)
    facts: dict[str, object] = {
        "engine": "morph",
        "rated_by": read_rating_source(options.ratings),
        "data": DATA_STATEMENT,
        "command": "python -m training.generator.export --checkpoint FILE --images DIR --ratings CSV",
        "shape": asdict(decoder.shape),
        "training": {"steps": torch.load(options.checkpoint, weights_only=True, map_location="cpu")["step"]},
        "parameters": sum(weight.numel() for weight in decoder.parameters()) + latents.numel(),
        "noise_size": NOISE_SIZE,
        "metrics": measure_engine(open_engine(path, threads=0), to_8_bit(pictures)),
        "anchors": [one.file for one in rated],
    }
    write_manifest(path, facts)


if __name__ == "__main__":
    main()
