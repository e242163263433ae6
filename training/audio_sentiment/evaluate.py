"""deepsing eval audio: measures how well the model that is served agrees with people's ratings of songs.

It runs what the service runs: the same decoder, features, networks, model and smoothing. The folder is one collection,
with a labels.csv, or holds several. Songs that cannot be read are named and left out.
"""

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

import services.audio_sentiment
from deepsing.audio import AudioError, decode_blocks
from deepsing.runtime.onnx import open_session
from services.audio_sentiment.analyser import Analyser, Point
from services.audio_sentiment.embedding import Networks
from services.audio_sentiment.features import SAMPLE_RATE_HZ
from services.audio_sentiment.passages import PassageModel
from services.audio_sentiment.readers import Pacing
from services.audio_sentiment.sentiment import WINDOW_S, SentimentModel
from training.agreement import DIMENSIONS
from training.audio_sentiment.labels import LABELS_HELP, LabelsError, RatedSong, is_kept, read_labels
from training.audio_sentiment.rendering import RenderingError, render_if_midi
from training.audio_sentiment.report import Reading, format_table, mean_and_sd, pool_collections, report
from training.program import new_parser

__all__ = [
    "HEARINGS",
    "WEIGHTS",
    "OfflineReader",
    "add_reader_options",
    "build_parser",
    "choose_songs",
    "main",
    "print_warning",
]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
EXAMPLES = """examples:
  deepsing eval audio --data DIR
  deepsing eval audio --data DIR --json
  deepsing eval audio --data DIR --hearing live --songs kept
  deepsing eval audio --data DIR --context 10 --curves readings.csv
"""
HEARINGS = ("live", "whole")
WEIGHTS = Path(services.audio_sentiment.__file__).with_name("weights")
CURVE_COLUMNS = (
    *("file", "time_s", "arousal", "valence", "loudness", "onset_strength"),
    *("certainty_arousal", "certainty_valence", "passage", "section"),
)
ReadSong = tuple[RatedSong, Reading, list[Point]]
MIDDLE_S = 10.0


class OfflineReader:
    """Reads songs as the service does.

    Args:
        weights: folder with network.onnx, patch.onnx, head.npz and its manifest.
        context_s: the model remembers at most this many seconds; 0 is all.
        whole: True if a point may depend on what follows it.
    """

    def __init__(self, weights: Path = WEIGHTS, context_s: float = 0.0, *, whole: bool = True) -> None:
        self._networks = Networks(*(open_session(weights / f"{name}.onnx", threads=1) for name in ("network", "patch")))
        with np.load(weights / "head.npz", allow_pickle=False) as arrays:
            self._model, self._passage_model = SentimentModel.from_arrays(arrays), PassageModel.from_arrays(arrays)
        self._context_s, self._whole = context_s, whole
        typical = json.loads((weights / "head.json").read_text(encoding="utf-8"))["typical"]
        self.typical = [float(typical[HEARINGS[whole]][name]["mean"]) for name in DIMENSIONS]

    def read(self, path: Path) -> tuple[Reading, list[Point]]:
        """Reads a song, and gives the points of the whole; with a context, the song's sentiment is that of its middle.

        Raises:
            AudioError: the song cannot be used.
        """
        points, song, duration_s = self._analyse(path, Pacing(context_s=self._context_s))
        course = np.array([(point.reading.arousal, point.reading.valence) for point in points])
        if self._context_s:
            part = self._middle(path, duration_s, self._context_s)
            return Reading(song if part is None else part, course), points
        return Reading(song, course, self._middle(path, duration_s, MIDDLE_S)), points

    def _middle(self, path: Path, duration_s: float, length_s: float) -> F64 | None:
        """The sentiment of the middle of a song, analysed alone; None where the song is not longer."""
        if duration_s <= length_s:
            return None
        start_s = (duration_s - length_s) / 2
        return self._analyse(path, Pacing(), start_s=start_s, duration_s=length_s)[1]

    def read_samples(self, samples: F32) -> list[Point]:
        """The points of samples at SAMPLE_RATE_HZ, mono."""
        analyser = self._new_analyser(Pacing(context_s=self._context_s))
        return [*analyser.push(samples), *analyser.finish(-(-2 * samples.size // SAMPLE_RATE_HZ))]

    def _new_analyser(self, pacing: Pacing) -> Analyser:
        return Analyser(self._networks, self._model, self._passage_model, pacing, whole=self._whole)

    def _analyse(self, path: Path, pacing: Pacing, **part: Any) -> tuple[list[Point], F64, float]:
        analyser = self._new_analyser(pacing)
        points: list[Point] = []
        with decode_blocks(path, mono=True, sample_rate_hz=SAMPLE_RATE_HZ, **part) as decoding:
            for block in decoding:
                points.extend(analyser.push(block))
            facts = decoding.facts
        points.extend(analyser.finish(-(-2 * facts.sample_count // facts.sample_rate_hz)))
        return points, np.array(analyser.sentiment()), facts.duration_s


def choose_songs(songs: Sequence[RatedSong], which: str) -> list[RatedSong]:
    """The songs of `which` groups: "all", those that choices were "chosen" on, or those "kept" out of every choice."""
    return [song for song in songs if which == "all" or is_kept(song.group) == (which == "kept")]


def _write_curves(path: Path, songs_read: Iterable[ReadSong]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(CURVE_COLUMNS)
        for song, _, points in songs_read:
            for point in points:
                reading = point.reading
                values = (reading.arousal, reading.valence, point.loudness, point.onset_strength, *reading.certainty)
                texts = (f"{value:.4f}" for value in values)
                writer.writerow([song.path.name, f"{point.time_us / 1e6:g}", *texts, reading.passage, reading.section])


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing eval audio", __doc__ or "", f"{LABELS_HELP}\n{EXAMPLES}")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder with labels.csv and its songs, or several such"
    )
    parser.add_argument(
        "--context", type=float, default=0.0, metavar="S", help="the model remembers at most S seconds (default: all)"
    )
    parser.add_argument(
        "--curves",
        type=Path,
        metavar="FILE",
        help="CSV to write, a row for every half second: file, time_s, arousal and valence (-1 to 1), loudness and "
        "onset_strength (0 to 1), how sure arousal and valence are (0.5 to 1), and the numbers of passage and section",
    )
    parser.add_argument(
        "--hearing",
        choices=HEARINGS,
        default="whole",
        help="live: a point depends on nothing after it, as with live stories (default: whole)",
    )
    add_reader_options(parser)
    return parser


def add_reader_options(parser: argparse.ArgumentParser) -> None:
    """Adds what all programs take that measure an OfflineReader: which songs, which models, and --json."""
    parser.add_argument(
        "--songs", choices=("all", "chosen", "kept"), default="all", help="kept: the third that no choice was made on"
    )
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="DIR", help="folder of the models")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the evaluation; returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.context and not options.context >= WINDOW_S:
        parser.error(f"--context is {options.context}; choose {WINDOW_S} seconds or more")
    console = Console(stderr=True)
    reader = OfflineReader(options.weights, options.context, whole=options.hearing == "whole")
    folders = _find_collections(options.data)
    songs_read = {
        folder.name: found for folder in folders if (found := _read_collection(reader, folder, options.songs, console))
    }
    if not songs_read:
        return 2
    if options.curves:
        _write_curves(options.curves, (row for rows in songs_read.values() for row in rows))
    reports = {name: report(*_split_columns(rows)) for name, rows in songs_read.items()}
    music = pool_collections([_split_columns(rows)[1] for rows in songs_read.values()])
    if folders == [options.data]:
        (answer,) = reports.values()
        text = format_table(answer)
        answer["typical"] = music
    else:
        everything = [reading for rows in songs_read.values() for _, reading, _ in rows]
        answer = {"collections": reports, "readings": mean_and_sd(everything), "typical": music}
        text = "\n".join(f"{name}: {format_table(row)}" for name, row in reports.items())
        rows = (f"{name} {row['mean']:.3f} (sd {row['sd']:.3f}, n = {row['n']})" for name, row in music.items())
        text += f"\nall collections alike, points from the fifth second on: {', '.join(rows)}\n"
    sys.stdout.write(json.dumps(answer) + "\n" if options.json else text)
    return 0


def _split_columns(rows: Sequence[ReadSong]) -> tuple[list[RatedSong], list[Reading]]:
    return [song for song, _, _ in rows], [reading for _, reading, _ in rows]


def _find_collections(data: Path) -> list[Path]:
    """The folder itself, or those in it that have labels."""
    inside = sorted(table.parent for table in data.glob("*/labels.csv"))
    return [data] if (data / "labels.csv").is_file() or not inside else inside


def _read_collection(reader: OfflineReader, folder: Path, which: str, console: Console) -> list[ReadSong]:
    """Reads a collection; warns of songs that cannot be read, and leaves them out."""
    songs_read: list[ReadSong] = []
    warn = partial(print_warning, console)
    try:
        songs = choose_songs(read_labels(folder, warn), which)
    except LabelsError as error:
        warn(str(error))
        return []
    with tempfile.TemporaryDirectory() as renderings:
        for song in track(songs, f"reading {folder.name}", console=console):
            try:
                songs_read.append((song, *reader.read(render_if_midi(song.path, Path(renderings)))))
            except AudioError as error:
                warn(f"{song.path.name}: {error.message}; left out")
            except RenderingError as error:
                warn(f"{error}; left out")
    return songs_read


def print_warning(console: Console, message: str) -> None:
    """Prints a line in red, as it is."""
    console.print(message, style="red", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    raise SystemExit(main())
