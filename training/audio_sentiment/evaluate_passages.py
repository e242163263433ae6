"""deepsing eval passages: measures whether the reading follows when the music changes.

Makes medleys of rated songs (four parts of 25 seconds, one of each quadrant in random order, with hard cuts or, by
--fade, with cross-fades), reads them as the service does, and prints in what share of the half seconds the sign is
right, by the time since the cut; how well the cuts are found; and, on medleys in which songs come back, whether those
passages are known again. A sign is right if the reading lies on the same side of music in general, as the model's
manifest states it, as the rating of 0.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from deepsing.audio import AudioError
from services.audio_sentiment.analyser import Point
from services.audio_sentiment.sentiment import WINDOW_S
from training.agreement import DIMENSIONS, bootstrap_intervals
from training.audio_sentiment.evaluate import HEARINGS, OfflineReader, add_reader_options, choose_songs, print_warning
from training.audio_sentiment.labels import LABELS_HELP, LabelsError, read_labels
from training.audio_sentiment.medleys import Medley, draw_medleys, draw_returns, render_medley
from training.audio_sentiment.rendering import RenderingError, render_if_midi
from training.program import new_parser

__all__ = [
    "ReadMedley",
    "build_parser",
    "main",
    "measure_boundaries",
    "measure_certainty",
    "measure_sections",
    "measure_signs",
]

F64 = NDArray[np.float64]
EXAMPLES = """examples:
  deepsing eval passages --data DIR
  deepsing eval passages --data DIR --hearing live --seed 2 --count 12 --json
"""
COUNT = 48
TOLERANCE_S = 3.0  # within which a cut counts as found
SETTLED_S = 5.0
LONGEST_FADE_S = 10.0  # of parts of 25 s
# Names of the columns, and which windows they hold: number of the part, seconds since its start.
BANDS: dict[str, Callable[[int, float], bool]] = {
    "first part, after 5 s": lambda part, since_s: part == 0 and since_s >= SETTLED_S,
    "0-5 s after a cut": lambda part, since_s: part > 0 and since_s < SETTLED_S,
    "5-10 s": lambda part, since_s: part > 0 and SETTLED_S <= since_s < 10.0,
    "10-25 s": lambda part, since_s: part > 0 and since_s >= 10.0,
    "all later parts": lambda part, since_s: part > 0,
}
CERTAINTIES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class ReadMedley:
    """A medley and its points."""

    medley: Medley
    points: list[Point]

    def place(self, index: int) -> tuple[int, float]:
        """The part in which a point's window has its middle, and the seconds from that part's start to there."""
        middle_s = (index + 0.5) * WINDOW_S
        starts = [0.0, *self.medley.cuts_s]
        part = int(np.searchsorted(starts, middle_s, side="right")) - 1
        return part, middle_s - starts[part]


def measure_signs(medleys: Sequence[ReadMedley], typical: Sequence[float]) -> dict[str, Any]:
    """Share of windows with the right sign, by band: arousal, valence, their 95 % intervals over medleys, and n.

    Args:
        medleys: read.
        typical: (arousal, valence) of music in general.
    """
    answer = {}
    for name, belongs in BANDS.items():
        rows = np.array([_count_right(one, typical, belongs) for one in medleys])
        if not rows[:, 2].any():
            continue
        share, bounds = _divide(rows), bootstrap_intervals(_divide, rows)
        answer[name] = share | {"intervals": bounds, "n": int(rows[:, 2].sum())}
    return answer


def _count_right(one: ReadMedley, typical: Sequence[float], belongs: Callable[[int, float], bool]) -> F64:
    """Windows with the right sign of arousal, of valence, and all windows of a band, (3,)."""
    counts = np.zeros(3)
    for index, point in enumerate(one.points):
        part, since_s = one.place(index)
        if belongs(part, since_s):
            read = (point.reading.arousal > typical[0], point.reading.valence > typical[1])
            counts += [*(a == b for a, b in zip(read, one.medley.parts[part].signs, strict=True)), 1]
    return counts


def _divide(rows: F64) -> dict[str, float]:
    total = rows.sum(axis=0)
    return dict(zip(DIMENSIONS, (total[:2] / max(total[2], 1.0)).tolist(), strict=True))


def measure_boundaries(medleys: Sequence[ReadMedley]) -> dict[str, Any]:
    """Precision, recall and F of the starts of passages against the cuts, within TOLERANCE_S, with intervals."""
    rows = np.array([_match_cuts(one) for one in medleys], np.float64)
    return {**_score(rows), "intervals": bootstrap_intervals(_score, rows), "n": int(rows[:, 2].sum())}


def _match_cuts(one: ReadMedley) -> tuple[int, int, int]:
    """Cuts found, passages that start, cuts."""
    passages = [point.reading.passage for point in one.points]
    starts = [index * WINDOW_S for index in range(1, len(passages)) if passages[index] != passages[index - 1]]
    left, found = list(starts), 0
    for cut_s in one.medley.cuts_s:
        near = [start_s for start_s in left if abs(start_s - cut_s) <= TOLERANCE_S]
        if near:
            left.remove(min(near, key=lambda start_s: abs(start_s - cut_s)))
            found += 1
    return found, len(starts), len(one.medley.cuts_s)


def measure_sections(medleys: Sequence[ReadMedley]) -> dict[str, Any]:
    """Precision, recall and F of the pairs of windows that are said to be of one section, with intervals."""
    rows = np.array([_match_pairs(one) for one in medleys], np.float64)
    return {**_score(rows), "intervals": bootstrap_intervals(_score, rows), "n": len(rows)}


def _match_pairs(one: ReadMedley) -> tuple[int, int, int]:
    """Pairs that are one section and are said to be, that are said to be, that are."""
    said = np.array([point.reading.section for point in one.points])
    letters = np.array([one.medley.parts[one.place(index)[0]].letter for index in range(len(said))])
    same, truth = said[:, None] == said, letters[:, None] == letters
    pairs = np.triu_indices(len(said), 1)
    return int((same & truth)[pairs].sum()), int(same[pairs].sum()), int(truth[pairs].sum())


def _score(rows: F64) -> dict[str, float]:
    both, said, true = rows.sum(axis=0)
    return {"precision": both / max(said, 1.0), "recall": both / max(true, 1.0), "f": 2 * both / max(said + true, 1.0)}


def measure_certainty(medleys: Sequence[ReadMedley], typical: Sequence[float]) -> list[dict[str, Any]]:
    """How often readings are right that are said to be so certain: by dimension and certainty, with n."""
    rows = []
    for axis, name in enumerate(DIMENSIONS):
        pairs = np.array([pair for one in medleys for pair in _list_certainties(one, typical, axis)])
        for low, high in pairwise(CERTAINTIES):
            chosen = pairs[(pairs[:, 0] >= low) & ((pairs[:, 0] < high) | (high == 1.0))]
            if len(chosen):
                said, right = chosen.mean(axis=0).tolist()
                rows.append({"dimension": name, "certainty": said, "right": right, "n": len(chosen)})
    return rows


def _list_certainties(one: ReadMedley, typical: Sequence[float], axis: int) -> list[tuple[float, bool]]:
    found = []
    for index, point in enumerate(one.points):
        value = (point.reading.arousal, point.reading.valence)[axis]
        truth = one.medley.parts[one.place(index)[0]].signs[axis]
        found.append((point.reading.certainty[axis], (value > typical[axis]) == truth))
    return found


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing eval passages", __doc__ or "", f"{LABELS_HELP}\n{EXAMPLES}")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder with labels.csv and songs of 30 seconds or more"
    )
    parser.add_argument("--hearing", choices=(*HEARINGS, "both"), default="both", help="(default: both)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="draws other medleys (default: 1)")
    parser.add_argument(
        "--count", type=int, default=COUNT, metavar="N", help=f"medleys of each kind (default: {COUNT})"
    )
    parser.add_argument(
        "--fade", type=float, default=0.0, metavar="S", help="parts fade into each other for S seconds (default: 0)"
    )
    add_reader_options(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the evaluation; returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.count < 1:
        parser.error(f"--count is {options.count}; choose 1 or more")
    if not 0 <= options.fade <= LONGEST_FADE_S:
        parser.error(f"--fade is {options.fade:g}; choose 0 to {LONGEST_FADE_S:g} seconds")
    console = Console(stderr=True)
    warn = partial(print_warning, console)
    try:
        songs = choose_songs(read_labels(options.data, warn), options.songs)
        plain = draw_medleys(songs, options.count, options.seed, fade_s=options.fade)
        returns = draw_returns(songs, options.count, options.seed)
    except LabelsError as error:
        warn(str(error))
        return 2
    hearings = HEARINGS if options.hearing == "both" else (options.hearing,)
    readers = {hearing: OfflineReader(options.weights, whole=hearing == "whole") for hearing in hearings}
    try:
        read = {
            kind: _read_medleys(kind, found, readers, console)
            for kind, found in (("cuts", plain), ("returns", returns))
        }
    except RenderingError as error:
        warn(str(error))
        return 2
    answer = {"seed": options.seed, "medleys": options.count, "fade_s": options.fade, "songs": options.songs}
    tables = {
        hearing: _report(read["cuts"][hearing], read["returns"][hearing], reader.typical)
        for hearing, reader in readers.items()
    }
    sys.stdout.write(json.dumps(answer | tables) + "\n" if options.json else _format(answer, tables))
    return 0


def _read_medleys(
    kind: str, medleys: Sequence[Medley], readers: dict[str, OfflineReader], console: Console
) -> dict[str, list[ReadMedley]]:
    """The medleys as every reader reads them."""
    found: dict[str, list[ReadMedley]] = {hearing: [] for hearing in readers}
    with tempfile.TemporaryDirectory() as renderings:
        for medley in track(medleys, f"reading medleys, {kind}", console=console):
            files = [render_if_midi(part.song.path, Path(renderings)) for part in medley.parts]
            try:
                samples = render_medley(medley, files)
            except AudioError as error:
                names = ", ".join(dict.fromkeys(file.name for file in files))
                print_warning(console, f"{error.message}; the medley of {names} is left out")
                continue
            for hearing, reader in readers.items():
                found[hearing].append(ReadMedley(medley, reader.read_samples(samples)))
    return found


def _report(cuts: Sequence[ReadMedley], returns: Sequence[ReadMedley], typical: Sequence[float]) -> dict[str, Any]:
    return {
        "signs": measure_signs(cuts, typical),
        "boundaries": measure_boundaries(cuts),
        "boundaries, with returns": measure_boundaries(returns),
        "sections": measure_sections(returns),
        "certainty": measure_certainty(cuts, typical),
    }


def _format(answer: dict[str, Any], tables: dict[str, Any]) -> str:
    drawn = f"seed {answer['seed']}, songs: {answer['songs']}, fades of {answer['fade_s']:g} s"
    lines = [f"{answer['medleys']} medleys of each kind, {drawn}"]
    for hearing, table in tables.items():
        lines += ["", f"hearing {hearing}: share of half seconds with the right sign (95 % interval over medleys)"]
        for name, row in table["signs"].items():
            cells = (f"{key} {row[key]:.3f} {_bounds(row['intervals'][key])}" for key in DIMENSIONS)
            lines.append(f"  {name:24}" + "   ".join(cells) + f"   n {row['n']}")
        for name in ("boundaries", "boundaries, with returns", "sections"):
            row = table[name]
            lines.append(
                f"  {name}: F {row['f']:.3f} {_bounds(row['intervals']['f'])}, precision {row['precision']:.3f}, "
                f"recall {row['recall']:.3f}, n {row['n']}"
            )
        for row in table["certainty"]:
            lines.append(
                f"  {row['dimension']} said {row['certainty']:.2f} sure: right {row['right']:.2f}, n {row['n']}"
            )
    return "\n".join(lines) + "\n"


def _bounds(interval: Sequence[float]) -> str:
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]"


if __name__ == "__main__":
    raise SystemExit(main())
