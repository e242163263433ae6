"""deepsing eval look: measures what people see in an engine's pictures, against the pictures it was made of.

  detail       px of 512: how fine a detail is painted at half its contrast or more
  distance     how differently painted and original look to an image classifier (five depths of efficientnet-lite0)
  psnr_db      how near painted and original are, dB
  mesh         the worst grid line at 2, 4, 8 or 16 px in flat places; 1 is none
  sharpness    fine contrast half-way between two concepts, over that of both ends; a cross-fade keeps about 0.85
  blended      share of a picture half-way that is a double exposure; 1 for a cross-fade
  ms           of one picture at the native size, one thread, engines in turn (with --speed); and of one half-way

Detail, distance and dB are taken from the middle square at 512 px; smaller pictures are enlarged (bicubic).
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from services.generator.engine import Engine
from training.generator.canvas.pictures import load_pictures
from training.generator.evaluate import choose_pairs, halfway_contrast, paint_transitions, psnr_db
from training.generator.look.measures import double_exposure, effective_px, mesh
from training.generator.painting import open_engine, paint_rows
from training.generator.pictures import Picture, read_list
from training.program import new_parser

__all__ = ["build_parser", "main", "measure_look", "measure_speed"]

U8 = NDArray[np.uint8]

EXAMPLES = """A list is a CSV with one row for each concept, in the engine's order, and the column file: the picture's
file in the folder of --pictures or one folder below it; and if you like focus_x, focus_y (of the subject, 0 to 1) and
left, top, width, height (of what is shown, shares of the file).

examples:
  deepsing eval look --pictures DIR --engine canvas.onnx --list pictures.csv
  deepsing eval look --pictures DIR --engine canvas.onnx --list pictures.csv \\
    --engine mine.onnx --list mine.csv --speed --json
"""
SIDE_PX = 512
SPEED_ROUNDS = 15
MOST_PAIRS = 60  # of concepts, half-way between which pictures are looked at
ROWS = (
    ("n", "pictures", "{:.0f}"),
    ("detail", "detail, px of 512", "{:.0f}"),
    ("distance", "distance of features", "{:.2f}"),
    ("psnr_db", "dB, mean", "{:.1f}"),
    ("psnr_sd", "dB, standard deviation", "{:.1f}"),
    ("psnr_min", "dB, lowest", "{:.1f}"),
    ("mesh", "mesh, worst period", "{:.2f}"),
    ("sharpness", "half-way: sharpness", "{:.2f}"),
    ("blended", "half-way: double exposure", "{:.2f}"),
    ("ms", "ms a picture", "{:.1f}"),
    ("halfway_ms", "ms half-way", "{:.1f}"),
    ("mb", "file, MB", "{:.1f}"),
)


def to_squares(pictures: U8) -> U8:
    """The middle squares at 512 px, enlarged where pictures are smaller: (N, H, W, 3) → (N, 512, 512, 3)."""
    height, width = pictures.shape[1:3]
    wide = round(width * SIDE_PX / height)
    if height != SIDE_PX:
        enlarged = [Image.fromarray(p).resize((wide, SIDE_PX), Image.Resampling.BICUBIC) for p in pictures]
        pictures = np.stack([np.asarray(picture) for picture in enlarged])
    left = (wide - SIDE_PX) // 2
    return pictures[:, :, left : left + SIDE_PX]


def measure_look(engine: Engine, listed: Sequence[Picture], folder: Path, every: int = 1) -> dict[str, float]:
    """All measures of an engine but its speed.

    Args:
        engine: its concepts are those of the list.
        listed: what it was made of.
        folder: of the pictures; they may lie in folders below it.
        every: measure every n-th picture only.

    Raises:
        ValueError: the list has another length than the engine's vocabulary, or a file is missing.
    """
    if len(listed) != len(engine.concepts):
        raise ValueError(f"{engine.name} has {len(engine.concepts)} concepts, its list {len(listed)} rows")
    found = _find_files(listed[::every], folder)
    width, height = engine.native_size_px
    made = np.stack(list(paint_rows(engine, np.eye(len(listed), dtype=np.float32)[::every])))
    real = load_pictures(folder, found, (width, height))
    large = real if height == SIDE_PX else load_pictures(folder, found, (round(width * SIDE_PX / height), SIDE_PX))
    squares, wanted = to_squares(made), to_squares(large)
    sharp = psnr_db(squares, wanted)
    lines = mesh(made, real)
    first, halfway, last = paint_transitions(engine, choose_pairs(engine, min(len(made), MOST_PAIRS)), 3).swapaxes(0, 1)
    return {
        "n": len(made),
        "detail": effective_px(squares, wanted),
        "distance": _measure_distance(squares, wanted),
        "psnr_db": float(sharp.mean()),
        "psnr_sd": float(sharp.std()),
        "psnr_min": float(sharp.min()),
        "mesh": max(lines.values(), key=lambda line: abs(np.log(line))),
        **{f"mesh_{period}": line for period, line in lines.items()},
        "sharpness": float(np.median(halfway_contrast(first, halfway, last))),
        "blended": float(np.mean(double_exposure(first, halfway, last))),
    }


def _measure_distance(made: U8, real: U8) -> float:
    """Mean distance of features, (N, 512, 512, 3) twice."""
    import torch

    from training.generator.canvas.losses import feature_distance
    from training.translator.judge.backbone import load_published

    network, values = load_published("lite0"), []
    with torch.no_grad():
        for pair in zip(made, real, strict=True):
            one, other = (torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255 for picture in pair)
            values.append(float(feature_distance(network, one, other)))
    return float(np.mean(values))


def _find_files(listed: Sequence[Picture], folder: Path) -> list[Picture]:
    """The list with the folders in which its files are."""
    found = []
    for picture in listed:
        place = folder / picture.file
        if not place.is_file():
            place = next((path for path in sorted(folder.glob(f"*/{picture.file}")) if path.is_file()), place)
        if not place.is_file():
            raise ValueError(f"{picture.file} is not in {folder}; give the folder that holds it")
        found.append(replace(picture, file=str(place.relative_to(folder))))
    return found


def measure_speed(engines: Mapping[str, Engine], rounds: int = SPEED_ROUNDS) -> dict[str, dict[str, float]]:
    """Milliseconds a picture, the smallest of several rounds in which engines take turns.

    Args:
        engines: by name, opened with one thread.
        rounds: of each engine.

    Returns:
        By engine: of one concept, and half-way between two.
    """
    times: dict[str, dict[str, float]] = {name: {"ms": np.inf, "halfway_ms": np.inf} for name in engines}
    for _ in range(rounds):
        for name, engine in engines.items():
            for measure, shares in (("ms", (1.0, 0.0)), ("halfway_ms", (0.5, 0.5))):
                weights = np.zeros((1, len(engine.concepts)), np.float32)
                weights[0, :2] = shares
                noise, truncation = np.ones((1, engine.noise_size), np.float32), np.full(1, 0.3, np.float32)
                began_s = time.perf_counter()
                engine.paint(weights, noise, truncation)
                times[name][measure] = min(times[name][measure], 1e3 * (time.perf_counter() - began_s))
    return times


def format_table(report: Mapping[str, Mapping[str, float]]) -> str:
    """One column for each engine."""
    names = list(report)
    lines = [f"{'':28}" + "".join(f"{name:>14}" for name in names)]
    for key, title, shape in ROWS:
        if any(key in report[name] for name in names):
            cells = [shape.format(report[name][key]) if key in report[name] else "" for name in names]
            lines.append(f"{title:28}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines) + "\n"


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing eval look", __doc__ or "", EXAMPLES)
    parser.add_argument("--pictures", type=Path, required=True, metavar="DIR", help="folder of the pictures")
    parser.add_argument(
        "--engine", type=Path, action="append", required=True, metavar="FILE", help="an engine's .onnx; may be repeated"
    )
    parser.add_argument(
        "--list", type=Path, action="append", required=True, metavar="CSV", help="of the engine before it"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="measure every n-th picture (default: all)")
    parser.add_argument("--speed", action="store_true", help="also time the engines, in turn")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the evaluation."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if len(options.engine) != len(options.list):
        parser.error(f"{len(options.engine)} --engine, but {len(options.list)} --list; give one for each")
    engines = {path.stem: open_engine(path) for path in options.engine}
    report: dict[str, dict[str, Any]] = {}
    steps = track(list(zip(engines.values(), options.list, strict=True)), "looking", console=Console(stderr=True))
    for engine, table in steps:
        report[engine.name] = dict(measure_look(engine, read_list(table, rated=False), options.pictures, options.every))
    for path in options.engine:
        report[path.stem]["mb"] = path.stat().st_size / 1e6
    if options.speed:
        for name, times in measure_speed(engines).items():
            report[name] |= times
    sys.stdout.write(json.dumps(report) + "\n" if options.json else format_table(report))


if __name__ == "__main__":
    main()
