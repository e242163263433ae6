"""deepsing eval generator: measures an engine against the pictures it was made of, and paints sheets to look at.

Measured are the sharpness of every concept's picture (dB against the one given), how much contrast a picture half-way
between two concepts keeps, and whether pixels show a checkerboard. Printed as one JSON object.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import services.generator
from services.generator.engine import Engine
from training.generator.canvas.pictures import load_pictures
from training.generator.painting import open_engine, paint_rows
from training.generator.pictures import PICTURES, read_list
from training.program import new_parser

__all__ = [
    "build_parser",
    "checkerboard",
    "halfway_contrast",
    "main",
    "measure_engine",
    "measure_sharpness",
    "paint_concepts",
    "psnr_db",
]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]

EXAMPLES = """The list is a CSV with one row for each concept, in the engine's order, and these columns:
  file     the picture's file in the folder of --images
  concept  the name of what it shows

examples:
  deepsing eval generator --images DIR
  deepsing eval generator --engine mine.onnx --images DIR --list mine.training/anchors.csv --out sheets
"""
STEPS = 8  # pictures along one transition
PAIRS = 64  # half-way between which contrast is measured
SHEET_SEED = 7  # chooses the pairs of the transitions and the noise of the noise sheet


def paint_concepts(engine: Engine) -> U8:
    """Paints every concept without noise: (K, H, W, 3)."""
    return _paint(engine, np.eye(len(engine.concepts), dtype=np.float32))


def paint_transitions(engine: Engine, pairs: list[tuple[int, int]], steps: int) -> U8:
    """Paints `steps` pictures from one concept to another, both ends included: (pairs, steps, H, W, 3)."""
    eye = np.eye(len(engine.concepts), dtype=np.float32)
    share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    rows = np.concatenate([(1 - share) * eye[start] + share * eye[end] for start, end in pairs])
    made = _paint(engine, rows)
    return made.reshape(len(pairs), steps, *made.shape[1:])


def paint_noise(engine: Engine, concepts: list[int], truncations: F32) -> U8:
    """Paints concepts with one noise vector each at growing truncation: (concepts, truncations, H, W, 3)."""
    steps = np.random.default_rng(SHEET_SEED).standard_normal((len(concepts), engine.noise_size)).astype(np.float32)
    rows = np.eye(len(engine.concepts), dtype=np.float32)[concepts].repeat(len(truncations), axis=0)
    made = _paint(engine, rows, steps.repeat(len(truncations), axis=0), np.tile(truncations, len(concepts)))
    return made.reshape(len(concepts), len(truncations), *made.shape[1:])


def _paint(engine: Engine, class_weights: F32, noise: F32 | None = None, truncation: F32 | float = 0.0) -> U8:
    return np.stack(list(paint_rows(engine, class_weights, noise, truncation)))


def build_sheet(pictures: U8, columns: int, width_px: int) -> Image.Image:
    """Lays pictures (N, H, W, 3) out row by row, each scaled to a width of `width_px`."""
    rows, height_px = -(-len(pictures) // columns), round(width_px * pictures.shape[1] / pictures.shape[2])
    canvas = Image.new("RGB", (columns * width_px, rows * height_px))
    for place, picture in enumerate(pictures):
        small = Image.fromarray(picture).resize((width_px, height_px), Image.Resampling.LANCZOS)
        canvas.paste(small, (place % columns * width_px, place // columns * height_px))
    return canvas


def choose_pairs(engine: Engine, count: int) -> list[tuple[int, int]]:
    """Chooses pairs whose sentiments are close, as a story would connect them; the seed is fixed."""
    plane = np.array([(concept.arousal, concept.valence) for concept in engine.concepts])
    starts = np.random.default_rng(SHEET_SEED).permutation(len(plane))[:count]
    ends = []
    for start in starts:
        order = np.argsort(np.square(plane - plane[start]).sum(axis=1))
        ends.append(int(order[min(5, len(order) - 1)]))
    return list(zip(starts.tolist(), ends, strict=True))


def measure_sharpness(path: Path, pictures: U8) -> dict[str, float]:
    """How near the pictures that an engine file paints are to those it was made of, (K, H, W, 3), dB."""
    return describe_sharpness(psnr_db(paint_concepts(open_engine(path)), pictures))


def describe_sharpness(values: F64) -> dict[str, float]:
    """Number, mean, deviation and extremes of the sharpness of pictures, dB."""
    found = {"mean": values.mean(), "sd": values.std(), "min": values.min(), "max": values.max()}
    return {"n": len(values)} | {name: round(float(value), 2) for name, value in found.items()}


def measure_engine(engine: Engine, photos: U8) -> dict[str, object]:
    """Sharpness, half-way contrast and pattern of an engine, from what it really paints.

    Args:
        engine: opened from the exported file.
        photos: (K, H, W, 3), of the concepts.
    """
    made = paint_concepts(engine)
    first, halfway, last = paint_transitions(engine, choose_pairs(engine, PAIRS), 3).swapaxes(0, 1)
    faded = (first.astype(np.float32) + last) / 2
    return {
        "psnr_db": describe_sharpness(psnr_db(made, photos)),
        "halfway_contrast": {
            "mixed": round(float(np.median(halfway_contrast(first, halfway, last))), 3),
            "cross_fade": round(float(np.median(halfway_contrast(first, faded, last))), 3),
        },
        "checkerboard": {"made": round(checkerboard(made), 3), "photos": round(checkerboard(photos), 3)},
    }


def psnr_db(made: U8, real: U8) -> npt.NDArray[np.float64]:
    """Peak signal-to-noise ratio of each picture, dB: (N, H, W, 3) twice → (N,)."""
    error = np.array([np.square(one.astype(np.float64) - other).mean() for one, other in zip(made, real, strict=True)])
    return np.asarray(10 * np.log10(255.0**2 / np.maximum(error, 1e-3)))


def checkerboard(pictures: U8) -> float:
    """How strong a checkerboard pattern pictures show; photos give about 1.

    Returns:
        Energy of the pattern + − / − + in 2 × 2 blocks that start at even pixels, divided by the same in blocks
        that start at odd ones: above 1 there is a checkerboard, far below 1 pixels come in equal pairs.
    """
    light = pictures.astype(np.float32).mean(axis=3)
    even, odd = (_pattern_energy(light[:, start:, start:]) for start in (0, 1))
    return even / max(odd, 1e-9)


def _pattern_energy(light: F32) -> float:
    height, width = light.shape[1] // 2 * 2, light.shape[2] // 2 * 2
    light = light[:, :height, :width]
    pattern = light[:, ::2, ::2] - light[:, ::2, 1::2] - light[:, 1::2, ::2] + light[:, 1::2, 1::2]
    return float(np.square(pattern).mean())


def halfway_contrast(first: U8, halfway: npt.NDArray[np.generic], last: U8) -> F64:
    """How much fine contrast a picture half-way between two others keeps of theirs.

    A double exposure loses much of it; near 1 is a picture of its own.

    Args:
        first: (N, H, W, 3).
        halfway: (N, H, W, 3).
        last: (N, H, W, 3).

    Returns:
        (N,): mean difference between neighbouring pixels half-way, divided by its mean at the two ends.
    """
    return 2 * _roughness(halfway) / (_roughness(first) + _roughness(last))


def _roughness(pictures: npt.NDArray[np.generic]) -> F64:
    """(N, H, W, 3) → (N,): mean absolute difference between neighbours in a row and in a column."""
    light = pictures.astype(np.float64).mean(axis=3)
    across, down = (np.abs(np.diff(light, axis=axis)).mean(axis=(1, 2)) for axis in (2, 1))
    return np.asarray(across + down)


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing eval generator", __doc__ or "", EXAMPLES)
    parser.add_argument(
        "--engine",
        type=Path,
        default=Path(services.generator.__file__).parent / "weights" / "canvas.onnx",
        metavar="FILE",
        help="the engine's .onnx file (default: the shipped one)",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of the pictures; prints the measures")
    parser.add_argument(
        "--list",
        type=Path,
        default=PICTURES,
        metavar="CSV",
        help="which picture shows which concept (default: those of the shipped engine)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to paint concepts.jpg, transitions.jpg and noise.jpg into"
    )
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Runs the evaluation."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if not options.images and not options.out:
        parser.error("give --images DIR to measure the engine, or --out DIR to paint sheets, or both")
    engine = open_engine(options.engine, threads=0)
    if options.images:
        photos = load_pictures(options.images, read_list(options.list, rated=False), engine.native_size_px)
        sys.stdout.write(json.dumps(measure_engine(engine, photos)) + "\n")
    if options.out:
        _paint_sheets(engine, options.out)


def _paint_sheets(engine: Engine, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pairs = choose_pairs(engine, 12)
    transitions = paint_transitions(engine, pairs, STEPS)
    noisy = paint_noise(engine, [start for start, _ in pairs], np.linspace(0, 1, 6, dtype=np.float32))
    build_sheet(paint_concepts(engine), 17, 96).save(folder / "concepts.jpg", quality=88)
    build_sheet(np.array(list(itertools.chain(*transitions))), STEPS, 160).save(folder / "transitions.jpg", quality=88)
    build_sheet(np.array(list(itertools.chain(*noisy))), 6, 160).save(folder / "noise.jpg", quality=88)


if __name__ == "__main__":
    main()
