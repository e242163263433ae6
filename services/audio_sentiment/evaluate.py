"""`python -m services.audio_sentiment.evaluate --data DIR`: how well the served model agrees with people.

It runs what the service runs: the same decoder, streaming features, network, head and pacing. DIR is one collection, a
folder with labels.csv, or holds several. Songs that cannot be read are named and left out.
"""

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from deepsing.audio import AudioError, decode_blocks
from services.audio_sentiment.embedding import Network, Networks
from services.audio_sentiment.features import SAMPLE_RATE_HZ
from services.audio_sentiment.labels import LabelsError, RatedSong, read_labels
from services.audio_sentiment.rendering import RenderingError, audible
from services.audio_sentiment.report import Reading, as_table, report, spread, typical
from services.audio_sentiment.sentiment import WINDOW_S, Analyser, Head, Pacing, Point

__all__ = ["Reader", "main"]

F64 = NDArray[np.float64]
WEIGHTS = Path(__file__).with_name("weights")
Heard = tuple[RatedSong, Reading, list[Point]]
MIDDLE_S = 10.0


class Reader:
    """Reads songs as the service does.

    Args:
        weights: folder with network.onnx, patch.onnx and head.npz.
        context_s: most that the model hears, seconds; 0 is all.
    """

    def __init__(self, weights: Path = WEIGHTS, context_s: float = 0.0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        sessions: list[Network] = [
            onnxruntime.InferenceSession(str(weights / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
            for name in ("network", "patch")
        ]
        self._networks = Networks(*sessions)
        with np.load(weights / "head.npz", allow_pickle=False) as arrays:
            self._head = Head.from_arrays(arrays)
        self._context_s = context_s

    def read(self, path: Path) -> tuple[Reading, list[Point]]:
        """Reads a song, and gives the points of the whole; with a context, the song's sentiment is that of its middle.

        Raises:
            AudioError: the song cannot be used.
        """
        points, song, duration_s = self._analysed(path, Pacing(context_s=self._context_s))
        course = np.array([(point.arousal, point.valence) for point in points])
        if self._context_s:
            part = self._middle(path, duration_s, self._context_s)
            return Reading(song if part is None else part, course), points
        return Reading(song, course, self._middle(path, duration_s, MIDDLE_S)), points

    def _middle(self, path: Path, duration_s: float, length_s: float) -> F64 | None:
        """The sentiment of the middle of a song heard alone; None where the song is not longer."""
        if duration_s <= length_s:
            return None
        start_s = (duration_s - length_s) / 2
        return self._analysed(path, Pacing(), start_s=start_s, duration_s=length_s)[1]

    def _analysed(self, path: Path, pacing: Pacing, **part: float) -> tuple[list[Point], F64, float]:
        analyser = Analyser(self._networks, self._head, pacing)
        points: list[Point] = []
        with decode_blocks(path, mono=True, sample_rate_hz=SAMPLE_RATE_HZ, **part) as decoding:
            for block in decoding:
                points.extend(analyser.push(block))
            facts = decoding.facts
        points.extend(analyser.finish(-(-2 * facts.sample_count // facts.sample_rate_hz)))
        return points, np.array(analyser.sentiment()), facts.duration_s


def _write_curves(path: Path, heard: Iterable[Heard]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "time_s", "arousal", "valence", "loudness", "onset_strength"])
        for song, _, points in heard:
            for p in points:
                values = (f"{v:.4f}" for v in (p.arousal, p.valence, p.loudness, p.onset_strength))
                writer.writerow([song.path.name, f"{p.time_us / 1e6:g}", *values])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the evaluation; returns the exit status."""
    parser = argparse.ArgumentParser(prog="deepsing eval audio", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.csv and the songs it names")
    parser.add_argument("--context", type=float, default=0.0, metavar="S", help="most seconds heard (default: all)")
    parser.add_argument("--curves", type=Path, metavar="FILE", help="write every half second's reading as CSV")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the models")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if options.context and not options.context >= WINDOW_S:
        parser.error(f"--context is {options.context}; choose {WINDOW_S} seconds or more")
    console = Console(stderr=True)
    reader = Reader(options.weights, options.context)
    folders = _collections(options.data)
    heard = {folder.name: found for folder in folders if (found := _listen(reader, folder, console))}
    if not heard:
        return 2
    if options.curves:
        _write_curves(options.curves, (row for rows in heard.values() for row in rows))
    reports = {name: report(*_columns(rows)) for name, rows in heard.items()}
    music = typical([_columns(rows)[1] for rows in heard.values()])
    if folders == [options.data]:
        (answer,) = reports.values()
        text = as_table(answer)
        answer["typical"] = music
    else:
        everything = [reading for rows in heard.values() for _, reading, _ in rows]
        answer = {"collections": reports, "readings": spread(everything), "typical": music}
        text = "\n".join(f"{name}: {as_table(row)}" for name, row in reports.items())
        rows = (f"{name} {row['mean']:.3f} (sd {row['sd']:.3f}, n = {row['n']})" for name, row in music.items())
        text += f"\nall collections alike, points from the fifth second on: {', '.join(rows)}\n"
    sys.stdout.write(json.dumps(answer) + "\n" if options.json else text)
    return 0


def _columns(rows: Sequence[Heard]) -> tuple[list[RatedSong], list[Reading]]:
    return [song for song, _, _ in rows], [reading for _, reading, _ in rows]


def _collections(data: Path) -> list[Path]:
    """The folder itself, or those in it that have labels."""
    inside = sorted(table.parent for table in data.glob("*/labels.csv"))
    return [data] if (data / "labels.csv").is_file() or not inside else inside


def _listen(reader: Reader, folder: Path, console: Console) -> list[Heard]:
    """Reads a collection; says what cannot be read, and leaves it out."""
    heard: list[Heard] = []
    complain = partial(_complain, console)
    try:
        songs = read_labels(folder, complain)
    except LabelsError as error:
        complain(str(error))
        return []
    with tempfile.TemporaryDirectory() as renderings:
        for song in track(songs, f"listening {folder.name}", console=console):
            try:
                heard.append((song, *reader.read(audible(song.path, Path(renderings)))))
            except AudioError as error:
                complain(f"{song.path.name}: {error.message}; left out")
            except RenderingError as error:
                complain(f"{error}; left out")
    return heard


def _complain(console: Console, message: str) -> None:
    console.print(message, style="red", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    raise SystemExit(main())
