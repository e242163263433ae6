"""Adds to a table of rated concepts the labeller's readings of the engine's pictures, and how alike they look.

`python -m training.translator.read_concepts --engine ENGINE.onnx --backbone BACKBONE.onnx`
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from services.generator.engine import Engine
from services.translator.catalogue import EMBEDDED, find_file, table_path
from services.translator.judge.model import Judge, PictureFeatures, load_judge
from services.translator.lexicon import F32, F64, Lexicon, encode_distances, load_lexicon
from training.generator.painting import list_concepts, open_engine_with_latents, paint_rows
from training.translator.build_concepts import write_table
from training.translator.sampling import TRUNCATION, draw_samples

__all__ = ["main", "read_concept_pictures", "concept_distances", "unit_distances"]

SEED = 7  # of the noise
LOOK_PX = 16  # pictures are compared at this size: colours and where they are, not detail


def read_concept_pictures(
    lexicon: Lexicon, engine: Engine, backbone: PictureFeatures, labeller: Judge, per_concept: int
) -> F64:
    """The labeller's reading of each concept's pictures, (K, 2).

    The mean over a picture without noise and `per_concept` with it, each read by coefficients that never saw ratings
    of its theme; brought to the mean and the spread of the ratings, because readings of unseen themes lie too near
    to the middle.
    """
    plain = draw_samples(engine, backbone, 1, 0.0, SEED)
    noisy = draw_samples(engine, backbone, per_concept, TRUNCATION, SEED)
    read = np.zeros((len(lexicon.names), 2))
    for samples in (plain, noisy):
        themes = [(lexicon.themes[concept],) for concept in samples.concepts]
        np.add.at(read, samples.concepts, labeller.read(samples.features, themes))
    scaled = (read - read.mean(0)) / np.maximum(read.std(0), 1e-9)
    return np.asarray(np.clip(scaled * lexicon.ratings.std(0) + lexicon.ratings.mean(0), -1, 1))


def concept_distances(engine: Engine, latents: F32) -> F64:
    """How unlike two concepts are, (K, K): the mean of their distances in the engine's space and in looks.

    Both are brought to a mean of 1. Looks are compared by the pictures without noise, made small.
    """
    count = len(engine.concepts)
    plain = paint_rows(engine, np.eye(count, dtype=np.float32))
    small = [np.asarray(Image.fromarray(picture).resize((LOOK_PX, LOOK_PX), Image.Resampling.BOX)) for picture in plain]
    looks = np.stack(small).reshape(count, -1).astype(np.float32)
    return np.asarray((unit_distances(latents) + unit_distances(looks)) / 2)


def unit_distances(points: F32) -> F64:
    """Distances of points (K, D), 1 on average over all pairs: (K, K)."""
    rows = points.astype(np.float64)
    distances = np.stack([np.linalg.norm(rows - row, axis=1) for row in rows])
    return np.asarray(distances / max(distances.sum() / (len(rows) * (len(rows) - 1)), 1e-12))


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", type=Path, required=True, help="ONNX file of training.generator.canvas.export")
    parser.add_argument("--backbone", type=Path, required=True, help="ONNX file of training.translator.judge.backbone")
    parser.add_argument("--weights", type=Path, default=EMBEDDED, help="folder of the concept table, which is changed")
    parser.add_argument("--engine-name", help="whose table (default: the engine file's stem)")
    parser.add_argument("--per-concept", type=int, default=3, help="pictures under noise of each concept (default: 3)")
    options = parser.parse_args(arguments)
    path = table_path(options.engine_name or options.engine.stem, options.weights)
    lexicon, (engine, latents) = load_lexicon(path), open_engine_with_latents(options.engine)
    if list_concepts(engine) != lexicon.names:
        parser.error(f"{options.engine.name} has other concepts than {path.name}; build the table anew")
    labeller = load_judge(find_file("labeller.npz", [options.weights]))
    read = read_concept_pictures(lexicon, engine, PictureFeatures(options.backbone), labeller, options.per_concept)
    table = json.loads(path.read_text(encoding="utf-8"))
    for concept, (arousal, valence) in zip(table["concepts"], read.tolist(), strict=True):
        concept |= {"read_arousal": round(arousal, 3), "read_valence": round(valence, 3)}
    write_table(table | {"distances": encode_distances(concept_distances(engine, latents))}, path)


if __name__ == "__main__":
    main()
