"""Measures what painting styles do to the feeling of pictures, and makes their sentiments from it.

`python -m services.translator.evaluate_styles --engine ENGINE.onnx --styles PAINTING.onnx [--table CSV] [--json]`
Every concept is painted once and restyled in each style. The labeller's readings make the table; the judge, who shares
no fold with it, reports. Neither has seen ratings of a picture's theme.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.translator.catalogue import EMBEDDED
from services.translator.judge import Eyes, load_judge
from services.translator.lexicon import F32, F64, Lexicon, load_lexicon
from services.translator.reading import EYES
from services.translator.sampling import Painter
from services.translator.style_readings import Brush, StyleReadings, kept, nearest_styles, sentiments_of
from services.translator.translate import NOISE_LIMIT

__all__ = ["Evidence", "gather", "main", "report_of"]

TRUNCATION = 0.2  # how far stories move a picture from its concept, in the middle
STRENGTH = 0.6  # at which stories are styled unless told otherwise
SHARES = (1.0, 0.6, 0.36)  # of it that are tried until a style keeps enough
ENOUGH = 0.35  # see `kept`
DRAWS = 1000  # of the bootstrap
CONCEPTS = "morph_concepts.json"


@dataclass(frozen=True)
class Evidence:
    """Features of N pictures, unstyled and in each of S styles at the style's share."""

    names: tuple[str, ...]  # S
    shares: tuple[float, ...]  # S
    plain: F32  # (N, D)
    styled: tuple[F32, ...]  # S times (N, D)


def gather(
    painter: Painter,
    brush: Brush,
    eyes: Eyes,
    read: Callable[[F32], F64],
    progress: Callable[[str], None],
    lanes: int = 1,
) -> Evidence:
    """Paints every concept once under its own noise, restyles it in every style, and looks at all pictures.

    Args:
        painter: the engine.
        brush: the styles.
        eyes: look at pictures.
        read: the labeller; a style gets a smaller share until enough of the pictures' feeling is kept.
        progress: is told each style.
        lanes: styles at the same time, one core each.
    """
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((len(painter.names), len(painter.basis)), dtype=np.float32)
    noise = np.clip(noise, -NOISE_LIMIT, NOISE_LIMIT)
    pictures = list(painter.paint(np.eye(len(painter.names), dtype=np.float32), noise, TRUNCATION))
    plain = eyes.features(pictures)

    def looked_at(style: int) -> tuple[float, F32]:
        for share in SHARES:
            features = eyes.features(brush.paint(pictures, style, STRENGTH * share))
            enough = kept(read(plain), read(features)) >= ENOUGH
            if enough or share == SHARES[-1]:
                break
        progress(f"{brush.names[style]}: {share:g}")
        return share, features

    with ThreadPoolExecutor(lanes) as pool:
        found = list(pool.map(looked_at, range(len(brush.names))))
    shares, styled = zip(*found, strict=True)
    return Evidence(brush.names, shares, plain, styled)


def report_of(
    judged: StyleReadings, taught: StyleReadings, lexicon: Lexicon, shares: tuple[float, ...]
) -> dict[str, Any]:
    """What styles do, by the judge, and what the table makes of it.

    Args:
        judged: the judge's readings.
        taught: the labeller's.
        lexicon: the pictures' concepts, rated by people.
        shares: of the styles.

    Returns:
        For every style its sentiment, mean shift and r with people, the labeller's shift; r with people's ratings of
        the concept without style, with the style that a story would take, and with one drawn at random, each with
        95 % bootstrap intervals over themes.
    """
    ratings, draws = lexicon.ratings.astype(np.float64), drawn(np.array(lexicon.themes))
    table = sentiments_of(taught, ratings)
    auto = nearest_styles(ratings, table)
    random = np.random.default_rng(0).integers(len(table), size=len(ratings))
    styles = [
        {
            "sentiment": dict(zip(("arousal", "valence"), table[style].round(2).tolist(), strict=True)),
            "share": shares[style],
            "kept": kept(judged.plain, judged.styled[style]),
            "shift": spread(judged.styled[style] - judged.plain, draws),
            "labeller_shift": (taught.styled[style] - taught.plain).mean(0).tolist(),
            "r": follows(ratings, judged.styled[style], draws),
            "taken": int((auto == style).sum()),
        }
        for style in range(len(table))
    ]
    sets = {"none": judged.plain, "auto": judged.chosen(auto), "random": judged.chosen(random)}
    chosen = {name: follows(ratings, readings, draws) for name, readings in sets.items()}
    gain = [
        [r(ratings[rows], sets["auto"][rows], place) - r(ratings[rows], sets["none"][rows], place) for rows in draws]
        for place in (0, 1)
    ]
    chosen["auto_less_none"] = {
        name: {"r_95": np.quantile(values, (0.025, 0.975)).tolist()}
        for name, values in zip(("arousal", "valence"), gain, strict=True)
    }
    return {"n": len(ratings), "styles": styles, "chosen": chosen}


def drawn(themes: NDArray[np.str_]) -> list[NDArray[np.int64]]:
    """Rows of DRAWS bootstrap samples; whole themes are drawn, because what belongs together errs together."""
    members = [np.flatnonzero(themes == theme) for theme in np.unique(themes)]
    rng = np.random.default_rng(0)
    return [
        np.concatenate([members[pick] for pick in rng.integers(len(members), size=len(members))]) for _ in range(DRAWS)
    ]


def spread(shifts: F64, draws: list[NDArray[np.int64]]) -> dict[str, dict[str, Any]]:
    """Mean of shifts (N, 2) with its interval."""
    means = np.array([shifts[rows].mean(0) for rows in draws])
    return {
        name: {"mean": float(shifts[:, place].mean()), "mean_95": np.quantile(means[:, place], (0.025, 0.975)).tolist()}
        for place, name in enumerate(("arousal", "valence"))
    }


def follows(ratings: F64, readings: F64, draws: list[NDArray[np.int64]]) -> dict[str, dict[str, Any]]:
    """Pearson's r of readings with ratings, both (N, 2), with its interval."""
    made = {}
    for place, name in enumerate(("arousal", "valence")):
        values = [r(ratings[rows], readings[rows], place) for rows in draws]
        made[name] = {"r": r(ratings, readings, place), "r_95": np.quantile(values, (0.025, 0.975)).tolist()}
    return made


def r(left: F64, right: F64, place: int) -> float:
    """Pearson's r of one dimension."""
    return float(np.corrcoef(left[:, place], right[:, place])[0, 1])


def as_table(names: tuple[str, ...], report: dict[str, Any]) -> str:
    """The report as text."""
    lines = ["style                 sentiment A/V  share kept  shift A            shift V            r A/V      taken"]
    for name, row in zip(names, report["styles"], strict=True):
        parts = [f"{name:<21} {row['sentiment']['arousal']:+.2f} {row['sentiment']['valence']:+.2f}   "]
        parts.append(f"{row['share']:.2f}  {row['kept']:.2f}  ")
        for shift in row["shift"].values():
            parts.append(f"{shift['mean']:+.2f} [{shift['mean_95'][0]:+.2f}, {shift['mean_95'][1]:+.2f}] ")
        parts.append(f" {row['r']['arousal']['r']:.2f} {row['r']['valence']['r']:.2f}  {row['taken']}")
        lines.append("".join(parts))
    for name, row in report["chosen"].items():
        shown = [
            f"{value.get('r', float('nan')):.2f} [{value['r_95'][0]:+.2f}, {value['r_95'][1]:+.2f}]"
            for value in row.values()
        ]
        lines.append(f"r with people, {name}: arousal {shown[0]}, valence {shown[1]} (n = {report['n']})")
    return "\n".join(lines) + "\n"


def write_table(path: Path, names: tuple[str, ...], report: dict[str, Any]) -> None:
    """Writes the table that services.generator.rebuild_styles reads."""
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(("name", "share", "arousal", "valence"))
        for name, row in zip(names, report["styles"], strict=True):
            writer.writerow((name, row["share"], *(f"{value:.2f}" for value in row["sentiment"].values())))


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", type=Path, required=True, help="ONNX file of services.generator.export")
    parser.add_argument("--styles", type=Path, required=True, help="ONNX file of services.generator.rebuild_styles")
    parser.add_argument("--weights", type=Path, default=EMBEDDED, help="folder of the readers and the concept table")
    parser.add_argument("--table", type=Path, help="styles.csv to write: name, share, arousal, valence")
    parser.add_argument(
        "--lanes", type=int, default=os.cpu_count(), help="styles at the same time (default: a core each)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(arguments)
    lexicon = load_lexicon(options.weights / CONCEPTS)
    painter, brush = Painter(options.engine), Brush(options.styles)
    if painter.names != tuple(lexicon.names):
        parser.error(f"{options.engine} and {CONCEPTS} name other concepts; build the concept table again")
    themes = [[theme] for theme in lexicon.themes]
    labeller, judge = (load_judge(options.weights / f"{name}.npz") for name in ("labeller", "judge"))
    evidence = gather(
        painter,
        brush,
        Eyes(options.weights / EYES),
        lambda features: labeller.read(features, themes),
        lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201 - it takes minutes
        options.lanes,
    )
    judged = StyleReadings.of(lambda features: judge.read(features, themes), evidence.plain, evidence.styled)
    taught = StyleReadings.of(lambda features: labeller.read(features, themes), evidence.plain, evidence.styled)
    report = report_of(judged, taught, lexicon, evidence.shares)
    if options.table:
        write_table(options.table, evidence.names, report)
    styles = dict(zip(evidence.names, report["styles"], strict=True))
    sys.stdout.write(
        json.dumps(report | {"styles": styles}, indent=1) + "\n" if options.json else as_table(evidence.names, report)
    )


if __name__ == "__main__":
    main()
