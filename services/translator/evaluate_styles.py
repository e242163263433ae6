"""Measures what painting styles do to the feeling of pictures, and makes their sentiments from it.

`python -m services.translator.evaluate_styles --engine ENGINE.onnx --styles PAINTING.onnx [--table CSV] [--json]`
`… --styles ANY_STYLE.onnx --style-pictures DIR [--table DIR/styles.csv]` does it for the styles of one's own pictures.
Every concept is painted once and restyled in each style. The labeller's readings make the table; the judge, who shares
no fold with it, reports. Neither has seen ratings of a picture's theme.
"""

from __future__ import annotations

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

from services.translator.catalogue import EMBEDDED
from services.translator.judge import Eyes, load_judge
from services.translator.lexicon import F32, F64, load_lexicon
from services.translator.reading import CONCEPTS, EYES
from services.translator.sampling import Painter
from services.translator.style_readings import Brush, PictureBrush, StyleReadings, kept
from services.translator.style_report import report_of
from services.translator.translate import NOISE_LIMIT

__all__ = ["Evidence", "as_table", "gather", "main", "write_table"]

TRUNCATION = 0.2  # how far stories move a picture from its concept, in the middle
STRENGTH = 0.6  # at which stories are styled unless told otherwise
SHARES = (1.0, 0.6, 0.36)  # of it that are tried until a style keeps enough
ENOUGH = 0.35  # see `kept`


@dataclass(frozen=True)
class Evidence:
    """Features of N pictures, unstyled and in each of S styles at the style's share."""

    names: tuple[str, ...]  # S
    shares: tuple[float, ...]  # S
    plain: F32  # (N, D)
    styled: tuple[F32, ...]  # S times (N, D)


def gather(
    painter: Painter,
    brush: Brush | PictureBrush,
    eyes: Eyes,
    read: Callable[[F32], F64],
    progress: Callable[[str], object],
    lanes: int = 1,
    cache: Path | None = None,
) -> Evidence:
    """Paints every concept once under its own noise, restyles it in every style, and looks at all pictures.

    Args:
        painter: the engine.
        brush: the styles.
        eyes: look at pictures.
        read: the labeller; a style gets a smaller share until enough of the pictures' feeling is kept.
        progress: is told each style.
        lanes: styles at the same time, one core each.
        cache: folder that keeps features, so that a run that was cut short goes on.
    """
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((len(painter.names), painter.noise_size), dtype=np.float32)
    noise = np.clip(noise, -NOISE_LIMIT, NOISE_LIMIT)
    pictures = list(painter.paint(np.eye(len(painter.names), dtype=np.float32), noise, TRUNCATION))
    plain = cached(cache and cache / "plain.npy", lambda: eyes.features(pictures))

    def looked_at(style: int) -> tuple[float, F32]:
        for share in SHARES:
            features = cached(
                cache and cache / f"{brush.names[style]} {share:g}.npy",
                lambda share=share: eyes.features(brush.paint(pictures, style, STRENGTH * share)),  # type: ignore[misc]
            )
            enough = kept(read(plain), read(features)) >= ENOUGH
            if enough or share == SHARES[-1]:
                break
        progress(f"{brush.names[style]}: {share:g}")
        return share, features

    with ThreadPoolExecutor(lanes) as pool:
        found = list(pool.map(looked_at, range(len(brush.names))))
    shares, styled = zip(*found, strict=True)
    return Evidence(brush.names, shares, plain, styled)


def cached(path: Path | None, make: Callable[[], F32]) -> F32:
    """An array from a file, or made and written there."""
    if path is not None and path.exists():
        return np.asarray(np.load(path, allow_pickle=False), np.float32)
    made = make()
    if path is not None:
        np.save(path, made)
    return made


def as_table(names: tuple[str, ...], report: dict[str, Any]) -> str:
    """The report as two Markdown tables, those of the model card."""
    lines = [f"n = {report['n']} pictures a style", "", "| style | arousal r | valence r |", "|---|---|---|"]
    for name, row in report["chosen"].items():
        shown = (f"{value['r']:.2f} {between(value['r_95'])}" for value in row.values())
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(shown)} |")
    lines += ["", "| style | sentiment A / V | share | kept | shift A | shift V | r A / V | taken |", "|---" * 8 + "|"]
    for name, row in zip(names, report["styles"], strict=True):
        felt = " / ".join(f"{value:+.2f}" for value in row["sentiment"].values())
        shifts = (f"{value['mean']:+.2f} {between(value['mean_95'])}" for value in row["shift"].values())
        follows = " / ".join(f"{value['r']:.2f}" for value in row["r"].values())
        cells = (name, felt, f"{row['share']:g}", f"{row['kept']:.2f}", *shifts, follows, str(row["taken"]))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def between(ends: list[float]) -> str:
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
    options = parser().parse_args(arguments)
    lexicon = load_lexicon(options.weights / CONCEPTS)
    painter = Painter(options.engine)
    own = options.style_pictures
    brush = PictureBrush(options.styles, own) if own else Brush(options.styles)
    if painter.names != tuple(lexicon.names):
        raise SystemExit(f"{options.engine} and {CONCEPTS} name other concepts; build the concept table again")
    themes = [[theme] for theme in lexicon.themes]
    labeller, judge = (load_judge(options.weights / f"{name}.npz") for name in ("labeller", "judge"))
    evidence = gather(
        painter,
        brush,
        Eyes(options.weights / EYES),
        lambda features: labeller.read(features, themes),
        lambda line: sys.stderr.write(f"{line}\n"),
        options.lanes,
        options.cache,
    )
    judged = StyleReadings.of(lambda features: judge.read(features, themes), evidence.plain, evidence.styled)
    taught = StyleReadings.of(lambda features: labeller.read(features, themes), evidence.plain, evidence.styled)
    report = report_of(judged, taught, lexicon, evidence.shares)
    if options.table:
        write_table(options.table, brush.files, evidence.names, report)
    styles = dict(zip(evidence.names, report["styles"], strict=True))
    sys.stdout.write(
        json.dumps(report | {"styles": styles}, indent=1) + "\n" if options.json else as_table(evidence.names, report)
    )


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--engine", type=Path, required=True, help="ONNX file of services.generator.export")
    made.add_argument(
        "--styles", type=Path, required=True, help="painting.onnx, or any_style.onnx with --style-pictures"
    )
    made.add_argument("--style-pictures", type=Path, metavar="DIR", help="measure these pictures as styles instead")
    made.add_argument("--weights", type=Path, default=EMBEDDED, help="folder of the readers and the concept table")
    made.add_argument("--table", type=Path, help="styles.csv to write: name, share, arousal, valence")
    made.add_argument("--lanes", type=int, default=os.cpu_count(), help="styles at the same time (default: one a core)")
    made.add_argument("--cache", type=Path, help="existing folder: keeps features, to go on after a break")
    made.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return made


if __name__ == "__main__":
    main()
