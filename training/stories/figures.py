"""The measures of one story, from its events: sentiments asked for and shown, variety, and how smoothly it moves.

And a summary of many: pooled over songs, with the spread between songs, as plain values and as a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsing.client.session import Event
from deepsing.client.story import achievement_facts, agreement_facts
from deepsing.v1.composer_pb2 import AchievedPoint, Frame, SessionEnd
from deepsing.v1.sentiment_pb2 import AffectPoint
from training.agreement import DIMENSIONS, bootstrap_intervals, compute_agreement, pearson_r, pearson_rs

__all__ = ["Figures", "summarize", "format_table"]

F64 = NDArray[np.float64]

NAME_WIDTH = 24
COLUMNS = ("judge r", "ccc", "rmse", "ratings r", "ccc", "rmse", "latent", "pixels")
LEGEND = "pairs: arousal/valence; latent, pixels: mean/largest step from frame to frame; n: frames that the judge read"
SOON_S = 20.0  # a concept that comes back sooner, though the music does not, is noticed
TURN_US = 2_000_000  # a picture begins to turn so long before its passage begins, at the most


@dataclass
class Figures:
    """The measures of one story; frames are raw RGB, all of one size.

    Attributes:
        targets: per frame, the (arousal, valence) asked for.
        rated: per frame, the rating of its mixture of concepts.
        read: per judgement, the target and the judgement: four numbers.
    """

    song: str
    translator: str
    targets: list[tuple[float, float]] = field(default_factory=list)
    rated: list[tuple[float, float]] = field(default_factory=list)
    read: list[tuple[float, float, float, float]] = field(default_factory=list)
    rated_and_read: list[tuple[float, float, float, float]] = field(default_factory=list)
    end: SessionEnd = field(default_factory=SessionEnd)
    _points: list[tuple[int, int, int]] = field(default_factory=list)  # time µs, passage, section
    _led: list[tuple[int, int, str]] = field(default_factory=list)  # from when until when a concept led, µs
    _steps: list[tuple[float, float, float]] = field(default_factory=list)  # latent, pixels, light
    _shown: set[str] = field(default_factory=set)
    _last: tuple[dict[str, float], NDArray[np.uint8]] | None = None

    def take(self, event: Event) -> None:
        """Adds an event."""
        match event:
            case Frame():
                self._take_frame(event)
            case AchievedPoint():
                target, rated, read = event.target, event.expected, event.achieved
                self.read.append((target.arousal, target.valence, read.arousal, read.valence))
                self.rated_and_read.append((rated.arousal, rated.valence, read.arousal, read.valence))
            case AffectPoint():
                self._points.append((event.time_us, event.passage, event.section))
            case SessionEnd():
                self.end = event

    def _take_frame(self, frame: Frame) -> None:
        self.targets.append((frame.target.arousal, frame.target.valence))
        self.rated.append((frame.expected.arousal, frame.expected.valence))
        weights = {concept.name: concept.weight for concept in frame.concepts}
        picture = np.frombuffer(frame.image, np.uint8)
        if frame.concepts:
            self._shown.add(frame.concepts[0].name)
            if self._led and self._led[-1][2] == frame.concepts[0].name:
                self._led[-1] = (self._led[-1][0], frame.pts_us, frame.concepts[0].name)
            else:
                self._led.append((frame.pts_us, frame.pts_us, frame.concepts[0].name))
        if self._last is not None:
            before, earlier = self._last
            names = weights.keys() | before.keys()
            moved = sum(abs(weights.get(name, 0.0) - before.get(name, 0.0)) for name in names) / 2
            apart = picture.astype(np.int16) - earlier
            self._steps.append((moved, float(np.abs(apart).mean()) / 255, abs(float(apart.mean())) / 255))
        self._last = weights, picture

    def measure_returns_s(self) -> list[float]:
        """After how many seconds each concept came back that had led before, where the music did not come back, too."""
        last: dict[str, tuple[int, int, str]] = {}
        returns = []
        for one in self._led:
            before = last.get(one[2])
            if before is not None and not self._music_returned(before[0], one[0]):
                returns.append((one[0] - before[1]) / 1e6)
            last[one[2]] = one
        return returns

    def _music_returned(self, first_us: int, again_us: int) -> bool:
        """Whether two times lie in different passages that sound alike."""
        found = [
            max((point for point in self._points if point[0] <= time_us + TURN_US), default=(0, 0, 0))
            for time_us in (first_us, again_us)
        ]
        return found[0][1] != found[1][1] and found[0][2] == found[1][2]

    def facts(self) -> dict[str, object]:
        """All measures as plain values; steps are from one frame to the next, so they depend on the frame rate."""
        end, seconds = self.end, self.end.duration_us / 1e6
        steps = np.array(self._steps) if self._steps else np.zeros((1, 3))
        returns_s = self.measure_returns_s()
        return {
            "song": self.song,
            "translator": self.translator,
            "duration_s": round(seconds, 3),
            "by_judge": achievement_facts(end.achieved) if end.HasField("achieved") else None,
            "by_ratings": {"arousal": agreement_facts(end.arousal), "valence": agreement_facts(end.valence)},
            "concepts": len(self._shown),
            "concepts_per_minute": round(len(self._shown) * 60 / seconds, 2) if seconds else 0.0,
            "soonest_return_s": round(min(returns_s), 2) if returns_s else None,
            "soon_returns": sum(gap_s < SOON_S for gap_s in returns_s),
            **{
                name: {"mean": round(float(column.mean()), 4), "max": round(float(column.max()), 4)}
                for name, column in zip(("latent_step", "pixel_step", "light_step"), steps.T, strict=True)
            },
            "flashes_per_second": end.flashes_per_second,
            "warnings": [*(warning.message for warning in end.song.warnings), *end.warnings],
        }


def summarize(stories: Sequence[Figures]) -> dict[str, Any]:
    """Sums up the stories of one translator.

    Returns:
        For the judge and for the ratings, per dimension: r, ccc and rmse over the moments of all songs together,
        n moments, a 95 % bootstrap interval of r over songs, and the median and quartiles of the songs' own r. For
        the judge also its ceiling (its agreement with people on photos), the share of it that is reached, and
        `judge_with_ratings`: its r with the ratings of what the same pictures show. Of the rest, medians and quartiles.
    """
    facts: list[dict[str, Any]] = [story.facts() for story in stories]
    judged = [story for story in stories if story.read]
    return {
        "songs": len(stories),
        "by_judge": _summarize_judge(judged) if judged else None,
        "by_ratings": _pool_songs([np.hstack([story.targets, story.rated]) for story in stories]),
        "concepts_per_minute": _quartiles([one["concepts_per_minute"] for one in facts]),
        "soon_returns": sum(one["soon_returns"] for one in facts),
        **{
            name: {part: _quartiles([one[name][part] for one in facts]) for part in ("mean", "max")}
            for name in ("latent_step", "pixel_step", "light_step")
        },
        "flashes_per_second": max(one["flashes_per_second"] for one in facts),
    }


def _summarize_judge(stories: Sequence[Figures]) -> dict[str, Any]:
    pooled = _pool_songs([np.array(story.read) for story in stories])
    beside = np.concatenate([story.rated_and_read for story in stories])
    judge = stories[-1].end.achieved.judge
    for column, name in enumerate(DIMENSIONS):
        ceiling = getattr(judge, name)
        pooled[name]["ceiling"] = {"r": round(ceiling.r, 4), "n": ceiling.n}
        pooled[name]["share"] = round(pooled[name]["r"] / ceiling.r, 4) if ceiling.r else None
        pooled[name]["judge_with_ratings"] = round(pearson_r(beside[:, column], beside[:, 2 + column]), 4)
    return {**pooled, "judge": judge.digest}


def _pool_songs(songs: Sequence[F64]) -> dict[str, Any]:
    """Agreement over all songs; a song is (n, 4): wanted arousal and valence, then given."""
    everything = np.concatenate(songs)
    numbers = np.repeat(np.arange(len(songs)), [len(song) for song in songs])  # whole songs are drawn
    bounds = bootstrap_intervals(pearson_rs, everything[:, :2], everything[:, 2:], groups=numbers)
    report = {}
    for column, name in enumerate(DIMENSIONS):
        found = compute_agreement(everything[:, column], everything[:, 2 + column])
        report[name] = {
            "r": round(found.r, 4),
            "r_95": [round(edge, 4) for edge in bounds[name]],
            "ccc": round(found.ccc, 4),
            "rmse": round(found.rmse, 4),
            "n": found.n,
            "song_r": _quartiles([pearson_r(song[:, column], song[:, 2 + column]) for song in songs]),
        }
    return report


def _quartiles(values: Sequence[float]) -> dict[str, Any]:
    low, middle, high = (round(float(value), 4) for value in np.quantile(values, (0.25, 0.5, 0.75)))
    return {"median": middle, "quartiles": [low, high]}


def format_table(translator: str, stories: Sequence[Figures], fps: str) -> str:
    """A line for each song of a translator, and what holds for all of them."""
    total = summarize(stories)
    head = "".join(f"{name:>12}" for name in COLUMNS)
    lines = [
        f"translator: {translator or 'the default'} ({len(stories)} songs, {fps} frames a second)",
        f"{'song':<{NAME_WIDTH}}{'s':>5}{'n':>5}{head}{'concepts/min':>14}{'flashes':>9}",
        *(_format_line(story.facts()) for story in stories),
        LEGEND,
    ]
    for source, title in (("by_judge", "the judge"), ("by_ratings", "the ratings of what is shown")):
        if total[source] is None:
            lines.append(f"by {title}: not read")
            continue
        for name in DIMENSIONS:
            lines.append(f"by {title}, {name}: {_format_total(total[source][name])}")
    variety, latent, pixels = total["concepts_per_minute"], total["latent_step"], total["pixel_step"]
    lines.append(
        f"median of songs [quartiles]: {_format_quartiles(variety)} concepts a minute; from frame to frame latent mean "
        f"{_format_quartiles(latent['mean'])}, max {_format_quartiles(latent['max'])}; "
        f"pixels mean {_format_quartiles(pixels['mean'])}, "
        f"max {_format_quartiles(pixels['max'])}; at most {total['flashes_per_second']} flashes a second; "
        f"{total['soon_returns']} times a concept came back within {SOON_S:.0f} s though the music did not"
    )
    return "\n".join(lines)


def _format_line(facts: dict[str, Any]) -> str:
    judge, cells = facts["by_judge"], []
    for source in (judge, facts["by_ratings"]):
        for measure in ("r", "ccc", "rmse"):
            cells.append("/".join(f"{source[name][measure]:.2f}" for name in DIMENSIONS) if source else "-")
    cells += [f"{facts[step]['mean']:.3f}/{facts[step]['max']:.2f}" for step in ("latent_step", "pixel_step")]
    name, read = facts["song"][-NAME_WIDTH:], judge["arousal"]["n"] if judge else 0
    return (
        f"{name:<{NAME_WIDTH}}{facts['duration_s']:5.0f}{read:5}{''.join(f'{cell:>12}' for cell in cells)}"
        f"{facts['concepts_per_minute']:14.1f}{facts['flashes_per_second']:9}"
    )


def _format_total(one: dict[str, Any]) -> str:
    low, high = one["r_95"]
    said = f"r {one['r']:.3f} [{low:.3f}, {high:.3f}], ccc {one['ccc']:.3f}, rmse {one['rmse']:.3f}, n {one['n']}"
    said += f"; songs' own r: {_format_quartiles(one['song_r'])}"
    if "ceiling" not in one or not one["ceiling"]["n"]:
        return said
    share = f"{one['share']:.0%} of its ceiling {one['ceiling']['r']:.3f} (photos, n {one['ceiling']['n']})"
    return f"{said}; {share}; with the ratings of what these pictures show r {one['judge_with_ratings']:.3f}"


def _format_quartiles(spread: dict[str, Any]) -> str:
    low, high = spread["quartiles"]
    return f"{spread['median']:.3g} [{low:.3g}, {high:.3g}]"
