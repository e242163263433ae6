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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from deepsing.audio import AudioError, decode_blocks
from services.audio_sentiment.embedding import Network
from services.audio_sentiment.features import SAMPLE_RATE_HZ
from services.audio_sentiment.labels import LabelsError, RatedSong, read_labels
from services.audio_sentiment.metrics import agreement, bootstrap_interval, correlation, quadrant_f1
from services.audio_sentiment.rendering import RenderingError, audible
from services.audio_sentiment.sentiment import WINDOW_S, Analyser, Head, Pacing, Point

__all__ = ["Reading", "Reader", "main", "report"]

F64 = NDArray[np.float64]
WEIGHTS = Path(__file__).with_name("weights")
DIMENSIONS = ("arousal", "valence")
MIDDLE_S = 10.0
MIN_MEASURES = 3  # fewer have no course that could be followed


@dataclass(frozen=True)
class Reading:
    """What the model makes of a song.

    Attributes:
        song: (2,), arousal and valence of the whole, or of the part that the context leaves.
        points: every half second, of the whole song.
        middle: (2,), of the ten seconds in its middle alone; None where the song is shorter or a context is set.
    """

    song: F64
    points: list[Point]
    middle: F64 | None = None


class Reader:
    """Reads songs as the service does.

    Args:
        weights: folder with network.onnx and head.npz.
        context_s: most that the model hears, seconds; 0 is all.
    """

    def __init__(self, weights: Path = WEIGHTS, context_s: float = 0.0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._network: Network = onnxruntime.InferenceSession(
            str(weights / "network.onnx"), options, providers=["CPUExecutionProvider"]
        )
        with np.load(weights / "head.npz", allow_pickle=False) as arrays:
            self._head = Head.from_arrays(arrays)
        self._context_s = context_s

    def read(self, path: Path) -> Reading:
        """Reads a song; with a context, the song's sentiment is that of its middle `context_s` seconds.

        Raises:
            AudioError: the song cannot be used.
        """
        points, song, duration_s = self._analysed(path, Pacing(context_s=self._context_s))
        if self._context_s:
            part = self._middle(path, duration_s, self._context_s)
            return Reading(song if part is None else part, points)
        return Reading(song, points, self._middle(path, duration_s, MIDDLE_S))

    def _middle(self, path: Path, duration_s: float, length_s: float) -> F64 | None:
        """The sentiment of the middle of a song heard alone; None where the song is not longer."""
        if duration_s <= length_s:
            return None
        start_s = (duration_s - length_s) / 2
        return self._analysed(path, Pacing(), start_s=start_s, duration_s=length_s)[1]

    def _analysed(self, path: Path, pacing: Pacing, **part: float) -> tuple[list[Point], F64, float]:
        analyser = Analyser(self._network, self._head, pacing)
        points: list[Point] = []
        with decode_blocks(path, mono=True, sample_rate_hz=SAMPLE_RATE_HZ, **part) as decoding:
            for block in decoding:
                points.extend(analyser.push(block))
            facts = decoding.facts
        points.extend(analyser.finish(-(-2 * facts.sample_count // facts.sample_rate_hz)))
        return points, np.array(analyser.sentiment()), facts.duration_s


def report(songs: Sequence[RatedSong], readings: Sequence[Reading]) -> dict[str, Any]:
    """Compares readings with ratings.

    Returns:
        `n`; for `arousal` and `valence` each `r`, `ccc`, `rmse`, `accuracy`; `quadrant_f1`, None unless the ratings
        are quadrants; where songs have curves, `dynamics`: their number `n` and the mean within-piece r of `arousal`
        and `valence`. `readings` holds mean, sd and n of what was read, `intervals` the 95 % intervals of the r's over
        songs; `context_10s` the agreement of the ten seconds in the middle of the `n` songs that are longer.
    """
    said = np.array([reading.song for reading in readings])
    felt = np.array([(song.arousal, song.valence) for song in songs])
    answer: dict[str, Any] = {"n": len(songs)}
    for i, name in enumerate(DIMENSIONS):
        answer[name] = agreement(said[:, i], felt[:, i])
    answer["quadrant_f1"] = quadrant_f1(said, felt) if all(song.kind == "quadrant" for song in songs) else None
    courses = [c for pair in zip(songs, readings, strict=True) if (c := _course_agreement(*pair)) is not None]
    if courses:
        arousal, valence = np.mean(courses, axis=0).tolist()
        answer["dynamics"] = {"n": len(courses), "arousal": arousal, "valence": valence}
    answer["readings"] = _spread(said)
    answer["intervals"] = {name: _r_interval(said[:, i], felt[:, i]) for i, name in enumerate(DIMENSIONS)}
    if courses:
        inside = np.stack(courses)
        bounds = [bootstrap_interval(lambda a, _: float(a.mean()), c, c) for c in inside.T]
        answer["intervals"]["dynamics"] = dict(zip(DIMENSIONS, map(list, bounds), strict=True))
    kept = [(r.middle, f) for r, f in zip(readings, felt, strict=True) if r.middle is not None]
    if kept:
        short, truth = (np.stack(column) for column in zip(*kept, strict=True))
        answer["context_10s"] = {"n": len(kept)} | {
            name: agreement(short[:, i], truth[:, i]) | {"r_95": _r_interval(short[:, i], truth[:, i])}
            for i, name in enumerate(DIMENSIONS)
        }
    return answer


def _r_interval(said: F64, felt: F64) -> list[float]:
    return list(bootstrap_interval(correlation, said, felt))


def _spread(said: F64) -> dict[str, Any]:
    return {
        name: {"mean": float(said[:, i].mean()), "sd": float(said[:, i].std()), "n": len(said)}
        for i, name in enumerate(DIMENSIONS)
    }


def _course_agreement(song: RatedSong, reading: Reading) -> F64 | None:
    """Within-piece r of (arousal, valence); None without a curve."""
    if song.curve is None or len(song.curve) < MIN_MEASURES:
        return None
    measures = len(song.curve)
    duration_s = song.duration_s or len(reading.points) * WINDOW_S
    middles_s = (np.arange(measures) + 0.5) * duration_s / measures
    known_s = (np.arange(len(reading.points)) + 1) * WINDOW_S
    said = np.array([(point.arousal, point.valence) for point in reading.points])
    return np.array([correlation(np.interp(middles_s, known_s, said[:, i]), song.curve[:, i]) for i in range(2)])


def _write_curves(path: Path, songs: Iterable[RatedSong], readings: Iterable[Reading]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "time_s", "arousal", "valence", "loudness", "onset_strength"])
        for song, reading in zip(songs, readings, strict=True):
            for p in reading.points:
                values = (f"{v:.4f}" for v in (p.arousal, p.valence, p.loudness, p.onset_strength))
                writer.writerow([song.path.name, f"{p.time_us / 1e6:g}", *values])


def as_table(answer: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f"{answer['n']} songs", f"{'':10}{'r':>8}{'CCC':>8}{'RMSE':>8}{'sign':>8}"]
    for name in DIMENSIONS:
        lines.append(f"{name:10}" + "".join(f"{answer[name][key]:8.3f}" for key in ("r", "ccc", "rmse", "accuracy")))
    if answer["quadrant_f1"] is not None:
        lines.append(f"quadrants, macro F1: {answer['quadrant_f1']:.3f}")
    if "dynamics" in answer:
        moves = answer["dynamics"]
        lines.append(f"inside {moves['n']} pieces: r {moves['arousal']:.3f} arousal, {moves['valence']:.3f} valence")
    return "\n".join(lines) + "\n"


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
    heard = {}
    folders = _collections(options.data)
    for folder in folders:
        if pairs := _listen(reader, folder, console):
            heard[folder.name] = pairs
    if not heard:
        return 2
    everything = [pair for pairs in heard.values() for pair in pairs]
    if options.curves:
        _write_curves(options.curves, *zip(*everything, strict=True))
    reports = {name: report(*zip(*pairs, strict=True)) for name, pairs in heard.items()}
    if folders == [options.data]:
        (answer,) = reports.values()
        text = as_table(answer)
    else:
        answer = {"collections": reports, "readings": _spread(np.stack([reading.song for _, reading in everything]))}
        text = "\n".join(f"{name}: {as_table(row)}" for name, row in reports.items())
    sys.stdout.write(json.dumps(answer) + "\n" if options.json else text)
    return 0


def _collections(data: Path) -> list[Path]:
    """The folder itself, or those in it that have labels."""
    inside = sorted(table.parent for table in data.glob("*/labels.csv"))
    return [data] if (data / "labels.csv").is_file() or not inside else inside


def _listen(reader: Reader, folder: Path, console: Console) -> list[tuple[RatedSong, Reading]]:
    """Reads a collection; says what cannot be read, and leaves it out."""
    pairs = []
    complain = partial(_complain, console)
    try:
        with tempfile.TemporaryDirectory() as renderings:
            for song in track(read_labels(folder, complain), f"listening {folder.name}", console=console):
                try:
                    pairs.append((song, reader.read(audible(song.path, Path(renderings)))))
                except AudioError as error:
                    complain(f"{song.path.name}: {error.message}; left out")
    except (LabelsError, RenderingError) as error:
        complain(str(error))
    return pairs


def _complain(console: Console, message: str) -> None:
    console.print(message, style="red", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    raise SystemExit(main())
