"""A summary of many stories: pooled over songs, with the spread between songs, as plain values and as a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.agreement import DIMENSIONS, bootstrap_intervals, compute_agreement, pearson_r, pearson_rs
from training.stories.figures import Figures

__all__ = ["summarize", "format_table"]

F64 = NDArray[np.float64]

NAME_WIDTH = 24
COLUMNS = ("judge r", "ccc", "rmse", "people r", "ccc", "rmse", "latent", "pixels")
LEGEND = "pairs: arousal/valence; latent, pixels: mean/largest step from frame to frame; n: frames that the judge read"


def summarize(stories: Sequence[Figures]) -> dict[str, Any]:
    """Sums up the stories of one translator.

    Returns:
        For the judge and for people's ratings, per dimension: r, ccc and rmse over the moments of all songs together,
        n moments, a 95 % bootstrap interval of r over songs, and the median and quartiles of the songs' own r. For
        the judge also its ceiling (its agreement with people on photos), the share of it that is reached, and
        `judge_with_people`: its r with the ratings of what the same pictures show. Of the rest, medians and quartiles.
    """
    facts: list[dict[str, Any]] = [story.facts() for story in stories]
    judged = [story for story in stories if story.read]
    return {
        "songs": len(stories),
        "by_judge": _summarize_judge(judged) if judged else None,
        "by_people": _pool_songs([np.hstack([story.targets, story.rated]) for story in stories]),
        "concepts_per_minute": _quartiles([one["concepts_per_minute"] for one in facts]),
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
        pooled[name]["judge_with_people"] = round(pearson_r(beside[:, column], beside[:, 2 + column]), 4)
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
    for source, title in (("by_judge", "the judge"), ("by_people", "people's ratings of what is shown")):
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
        f"max {_format_quartiles(pixels['max'])}; at most {total['flashes_per_second']} flashes a second"
    )
    return "\n".join(lines)


def _format_line(facts: dict[str, Any]) -> str:
    judge, cells = facts["by_judge"], []
    for source in (judge, facts["by_people"]):
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
    return f"{said}; {share}; with the ratings of what these pictures show r {one['judge_with_people']:.3f}"


def _format_quartiles(spread: dict[str, Any]) -> str:
    low, high = spread["quartiles"]
    return f"{spread['median']:.3g} [{low:.3g}, {high:.3g}]"
