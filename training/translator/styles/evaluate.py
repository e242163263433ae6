"""deepsing eval styles: measures what painting styles do to the emotion of pictures, and rates the styles by it.

Every concept of an engine is painted once and restyled in each style. Two image-sentiment models read the pictures: the
labeller's readings rate the styles (--table), the judge's make the report. Neither has seen ratings of a picture's
theme.
"""

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.generator.engine import Engine
from services.translator.catalogue import EMBEDDED
from services.translator.judge.model import PictureFeatures, load_judge
from services.translator.judge.reader import BACKBONE, CONCEPTS
from services.translator.lexicon import F32, F64, load_lexicon
from services.translator.translate import NOISE_LIMIT
from training.cache import load_or_compute
from training.generator.painting import list_concepts, open_engine, paint_rows
from training.program import new_parser
from training.translator.styles.readings import (
    StyleReadings,
    StyleSet,
    build_report,
    feeling_correlation,
    open_built_in_styles,
    open_style_pictures,
)

__all__ = ["StyleFeatures", "build_parser", "extract_style_features", "format_table", "main", "write_table"]

EXAMPLES = """In the folder of --style-pictures a table styles.csv may say which pictures are styles, by the columns
file and name; without it each picture is one, named after its file. --table writes such a table, with these columns:
  file              the picture (only with --style-pictures)
  name              of the style
  share             how much of the style is shown, above 0, to 1
  arousal, valence  what the style makes people feel, -1 to 1

examples:
  deepsing eval styles --engine services/generator/weights/canvas.onnx --styles services/generator/weights/painting.onnx
  deepsing eval styles --engine services/generator/weights/canvas.onnx \\
    --styles services/generator/weights/any_style.onnx --style-pictures DIR --table DIR/styles.csv
"""
TRUNCATION = 0.2  # how far stories move a picture from its concept, in the middle
STRENGTH = 0.6  # at which stories are styled by default
SHARES = (1.0, 0.6, 0.36)  # of it that are tried until a style keeps enough
ENOUGH = 0.35  # see `feeling_correlation`


@dataclass(frozen=True)
class StyleFeatures:
    """Features of N pictures, unstyled and in each of S styles at the style's share."""

    names: tuple[str, ...]  # S
    shares: tuple[float, ...]  # S
    plain: F32  # (N, D)
    styled: tuple[F32, ...]  # S times (N, D)


def extract_style_features(
    engine: Engine,
    styles: StyleSet,
    backbone: PictureFeatures,
    read: Callable[[F32], F64],
    progress: Callable[[str], object],
    lanes: int = 1,
    cache: Path | None = None,
) -> StyleFeatures:
    """Paints every concept once under its own noise, restyles it in every style, and extracts all features.

    Args:
        engine: what paints.
        styles: the ones to measure.
        backbone: makes features of pictures.
        read: the labeller; a style gets a smaller share until enough of the pictures' sentiment is kept.
        progress: is called with each style.
        lanes: styles at the same time, one core each.
        cache: folder that keeps features, so that a run that was stopped goes on.
    """
    rng, names = np.random.default_rng(0), styles.names
    noise = rng.standard_normal((len(engine.concepts), engine.noise_size), dtype=np.float32)
    noise = np.clip(noise, -NOISE_LIMIT, NOISE_LIMIT)
    pictures = list(paint_rows(engine, np.eye(len(engine.concepts), dtype=np.float32), noise, TRUNCATION))
    plain = load_features(cache and cache / "plain.npy", lambda: backbone.extract(pictures))

    def measure_style(style: int) -> tuple[float, F32]:
        for share in SHARES:
            features = load_features(
                cache and cache / f"{names[style]} {share:g}.npy",
                lambda share=share: backbone.extract(styles.stylize(pictures, style, STRENGTH * share)),  # type: ignore[misc]
            )
            enough = feeling_correlation(read(plain), read(features)) >= ENOUGH
            if enough or share == SHARES[-1]:
                break
        progress(f"{names[style]}: {share:g}")
        return share, features

    with ThreadPoolExecutor(lanes) as pool:
        found = list(pool.map(measure_style, range(len(names))))
    shares, styled = zip(*found, strict=True)
    return StyleFeatures(names, shares, plain, styled)


def load_features(path: Path | None, make: Callable[[], F32]) -> F32:
    """Features from a file of the cache, or made and written there."""
    return np.asarray(load_or_compute(path, make), np.float32)


def format_table(names: tuple[str, ...], report: dict[str, Any]) -> str:
    """The report as two Markdown tables, those of the model card."""
    lines = [f"n = {report['n']} pictures a style", "", "| style | arousal r | valence r |", "|---|---|---|"]
    for name, row in report["chosen"].items():
        shown = (f"{value['r']:.2f} {format_interval(value['r_95'])}" for value in row.values())
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(shown)} |")
    lines += ["", "| style | sentiment A / V | share | kept | shift A | shift V | r A / V | taken |", "|---" * 8 + "|"]
    for name, row in zip(names, report["styles"], strict=True):
        felt = " / ".join(f"{value:+.2f}" for value in row["sentiment"].values())
        shifts = (f"{value['mean']:+.2f} {format_interval(value['mean_95'])}" for value in row["shift"].values())
        follows = " / ".join(f"{value['r']:.2f}" for value in row["r"].values())
        cells = (name, felt, f"{row['share']:g}", f"{row['kept']:.2f}", *shifts, follows, str(row["taken"]))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def format_interval(ends: list[float]) -> str:
    """An interval."""
    return f"[{ends[0]:+.2f}, {ends[1]:+.2f}]"


def write_table(path: Path, files: Mapping[str, Path], names: tuple[str, ...], report: dict[str, Any]) -> None:
    """Writes the table that the generator takes: of its built-in styles, or of `files`, by the styles' names."""
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow((*(["file"] if files else []), "name", "share", "arousal", "valence"))
        for name, row in zip(names, report["styles"], strict=True):
            values = (name, row["share"], *(f"{value:.2f}" for value in row["sentiment"].values()))
            writer.writerow(((files[name].name, *values)) if files else values)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    options = build_parser().parse_args(arguments)
    lexicon = load_lexicon(options.weights / CONCEPTS)
    engine = open_engine(options.engine)
    own = options.style_pictures
    styles = open_style_pictures(options.styles, own) if own else open_built_in_styles(options.styles)
    if list_concepts(engine) != tuple(lexicon.names):
        raise SystemExit(f"{options.engine} and {CONCEPTS} name other concepts; build the concept table again")
    themes = [[theme] for theme in lexicon.themes]
    labeller, judge = (load_judge(options.weights / f"{name}.npz") for name in ("labeller", "judge"))
    features = extract_style_features(
        engine,
        styles,
        PictureFeatures(options.weights / BACKBONE),
        lambda features: labeller.read(features, themes),
        lambda line: sys.stderr.write(f"{line}\n"),
        options.lanes,
        options.cache,
    )
    judged = StyleReadings.from_features(lambda features: judge.read(features, themes), features.plain, features.styled)
    taught = StyleReadings.from_features(
        lambda features: labeller.read(features, themes), features.plain, features.styled
    )
    report = build_report(judged, taught, lexicon, features.shares)
    if options.table:
        write_table(options.table, styles.files, features.names, report)
    by_name = dict(zip(features.names, report["styles"], strict=True))
    sys.stdout.write(
        json.dumps(report | {"styles": by_name}, indent=1) + "\n"
        if options.json
        else format_table(features.names, report)
    )


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing eval styles", __doc__ or "", EXAMPLES)
    parser.add_argument("--engine", type=Path, required=True, metavar="FILE", help="the engine's .onnx file")
    parser.add_argument(
        "--styles",
        type=Path,
        required=True,
        metavar="FILE",
        help="painting.onnx, or any_style.onnx with --style-pictures",
    )
    parser.add_argument("--style-pictures", type=Path, metavar="DIR", help="measure these pictures as styles instead")
    parser.add_argument(
        "--weights", type=Path, default=EMBEDDED, metavar="DIR", help="folder of the readers and the concept table"
    )
    parser.add_argument(
        "--table", type=Path, metavar="CSV", help="table of the styles' emotions to write; columns below"
    )
    parser.add_argument(
        "--lanes",
        type=int,
        default=os.cpu_count(),
        metavar="N",
        help="styles at the same time (default: one for each core)",
    )
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="keeps features, so that a run that was stopped goes on"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


if __name__ == "__main__":
    main()
