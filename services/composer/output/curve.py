"""The chart of a story's sentiments over time: the song's with its passages, and those that the pictures express."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from services.composer.output.contact_sheet import EvenSampler
from services.composer.story.frame import FrameInfo
from services.composer.story.judge_sampling import Judgement
from services.composer.story.music import MusicForm, Passage, name_section
from services.composer.story.rhythm import Tempo
from services.composer.story.summary import StorySummary

__all__ = ["Curve", "describe_agreement"]

SURE_TEMPO = 0.5  # certainty from which a tempo is named
POINTS = 4000  # samples kept of a curve; longer songs are thinned evenly
STRIP = 12  # pictures below the chart, at most
NAME_LENGTH = 17  # characters of a concept's name below its picture; longer ones would overlap the next
LEAST_S, LEAST_JUDGEMENTS = 60.0, 20  # shortest story and fewest judgements for which r is meaningful
PANELS = (("Arousal", "calm", "excited", "#c8374a"), ("Valence", "unpleasant", "pleasant", "#1f6fb2"))
# One thread draws for all stories: matplotlib opens its fonts again, and keeps them open, for each drawing thread.
DRAWING = ThreadPoolExecutor(1, thread_name_prefix="curve")
TINTS = ("#f6efe2", "#e8f0f3", "#eef2e3", "#f5e8ea", "#ece9f4", "#e5f1ec")  # of sections, in turn
BOUNDARY = "#b3ab9c"
LEAST_SHARE = 0.012  # of the story: a shorter passage has no letter, because it would overlap the next
JUDGED, RATED = "#1b1b1f", "#8a8a94"
RATERS = {
    "people": "by people's ratings",
    "model": "by a model's ratings",
    "mixed": "by ratings of people or of a model",
    "": "by the ratings of what is shown",
}


class Curve:
    """Target and achieved sentiment over time, a panel for each dimension, with the story's pictures below."""

    def __init__(self) -> None:
        self._samples: EvenSampler[FrameInfo] = EvenSampler(POINTS)

    def add(self, info: FrameInfo) -> None:
        """Adds a frame's sentiments, if the chart needs them."""
        if self._samples.takes_next():
            self._samples.keep(info)

    def write(
        self,
        path: Path,
        thumbnails: list[tuple[Image.Image, FrameInfo]],
        title: str,
        judgements: Sequence[Judgement] = (),
        verdicts: tuple[str, str] = ("", ""),
        music: MusicForm | None = None,
    ) -> None:
        """Draws the chart as PNG. matplotlib is imported only here, because it is slow to load.

        Args:
            path: PNG to write.
            thumbnails: pictures of the story, in order.
            title: title of the story.
            judgements: in order of time.
            verdicts: for each dimension, how well the pictures follow the song, in words.
            music: passages and tempo of the music.
        """
        music = music or MusicForm()
        DRAWING.submit(self._draw, path, thumbnails, title, judgements, verdicts, music).result()

    def _draw(
        self,
        path: Path,
        thumbnails: list[tuple[Image.Image, FrameInfo]],
        title: str,
        judgements: Sequence[Judgement],
        verdicts: tuple[str, str],
        music: MusicForm,
    ) -> None:
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        samples = self._samples.select_evenly()
        end_s = max(samples[-1].time_s, 0.5)
        figure = Figure(figsize=(14, 9), facecolor="white")
        *panels, strip = figure.subplots(3, 1, height_ratios=(3, 3, 1.3))
        for axis, panel in enumerate(panels):
            self._draw_panel(panel, axis, samples, judgements)
            _draw_passages(panel, music.passages, end_s, lettered=axis == 0)
            panel.set_title(verdicts[axis], loc="right", fontsize=10, color="#444")
            panel.set(xlim=(0, end_s))
            panel.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 1.5, 2, 3, 6, 10]))
            panel.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _format_clock(seconds)))
        panels[1].set_xlabel("time in the story (minutes:seconds)" + _describe_tempo(music.tempo))
        self._draw_strip(strip, thumbnails[:: max(1, -(-len(thumbnails) // STRIP))], end_s)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.suptitle(title, x=0.01, y=0.985, ha="left", fontsize=13)
        figure.legend(handles, labels, loc="upper right", ncols=4, fontsize=10, frameon=False)
        figure.tight_layout(rect=(0, 0, 1, 0.96))
        figure.savefig(path, format="png", dpi=100, metadata={"Software": None})

    @staticmethod
    def _draw_panel(panel: Any, axis: int, samples: Sequence[FrameInfo], judgements: Sequence[Judgement]) -> None:
        """One dimension: the song's sentiment, the ratings of the concepts shown, and the judgements."""
        name, low, high, colour = PANELS[axis]
        times = [sample.time_s for sample in samples]
        panel.axhline(0, color="#ccc", linewidth=0.8)
        asked, label = [sample.target[axis] for sample in samples], "the song asks for"
        if songs := [sample.song for sample in samples if sample.song is not None]:
            label = "asked for, with the mood"
            panel.plot(times, [song[axis] for song in songs], color=colour, linewidth=1, alpha=0.5, label="the song")
        panel.plot(times, asked, color=colour, linewidth=2.2, label=label)
        rated = [sample.expected[axis] for sample in samples]
        label = "what the pictures stand for (ratings of their concepts)"
        panel.plot(times, rated, color=RATED, linewidth=1.1, linestyle="--", label=label)
        if judgements:
            panel.plot(
                [judgement.info.time_s for judgement in judgements],
                [judgement.achieved[axis] for judgement in judgements],
                color=JUDGED,
                linewidth=0.8,
                marker="o",
                markersize=max(1.0, min(3.5, 600 / len(judgements))),
                label="a judge reads off the finished pictures",
            )
        panel.set_title(name, loc="left", fontsize=12, color=colour)
        panel.set(ylim=(-1, 1), yticks=(-1, -0.5, 0, 0.5, 1))
        panel.set_yticklabels((f"{low} −1", "−0.5", "0", "0.5", f"{high} +1"))
        panel.spines[["right", "top"]].set_visible(False)

    @staticmethod
    def _draw_strip(strip: Any, thumbnails: list[tuple[Image.Image, FrameInfo]], end_s: float) -> None:
        """Pictures side by side in the order of the story, each with its time and its concept below."""
        strip.set(xlim=(0, end_s), ylim=(0, 1.25))
        strip.set_axis_off()
        width = end_s / max(1, len(thumbnails))
        for place, (tile, info) in enumerate(thumbnails):
            left = place * width
            strip.imshow(np.asarray(tile), extent=(left, left + width * 0.94, 0.25, 1.25), aspect="auto", zorder=2)
            name = _shorten(info.concepts[0][0]) if info.concepts else ""
            strip.text(left, 0.2, f"{_format_clock(info.time_s)}\n{name}", fontsize=7, color="#444", va="top")


def _draw_passages(panel: Any, passages: Sequence[Passage], end_s: float, *, lettered: bool) -> None:
    """A band for each passage, in the tint of its section, with the section's letter; none if there is only one."""
    if len(passages) < 2:
        return
    ends_s = [*(passage.start_s for passage in passages[1:]), end_s]
    for place, (passage, stop_s) in enumerate(zip(passages, ends_s, strict=True)):
        panel.axvspan(passage.start_s, stop_s, color=TINTS[passage.section % len(TINTS)], linewidth=0, zorder=0)
        if place:
            panel.axvline(passage.start_s, color=BOUNDARY, linewidth=0.9, zorder=1)
        if lettered and stop_s - passage.start_s >= LEAST_SHARE * end_s:
            middle_s, above = (passage.start_s + stop_s) / 2, panel.get_xaxis_transform()
            letters = name_section(passage.section)
            style = {"ha": "center", "va": "top", "fontsize": 11, "fontweight": "bold", "color": "#7d7464"}
            panel.text(middle_s, 0.975, letters, transform=above, **style)


def _describe_tempo(tempo: Tempo | None) -> str:
    """Tempo and metre, as the end of a caption; empty if no tempo is kept."""
    if tempo is None or tempo.certainty < SURE_TEMPO:
        return ""
    metre = f", {tempo.beats_per_bar} to the bar" if tempo.beats_per_bar else ""
    return f"  ·  {tempo.beats_per_minute:.0f} beats a minute{metre}"


def _format_clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _shorten(name: str) -> str:
    return name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1].rstrip() + "…"


def describe_agreement(summary: StorySummary) -> tuple[str, str]:
    """How well the pictures follow the song in arousal and in valence, in words, as captions of the chart.

    Empty for a story shorter than LEAST_S; without the judge if it judged fewer than LEAST_JUDGEMENTS frames.
    """
    if summary.duration_us < LEAST_S * 1e6:
        return "", ""
    judged = summary.judged if summary.judged and summary.judged.arousal.n >= LEAST_JUDGEMENTS else None
    texts = []
    for dimension in ("arousal", "valence"):
        text = f"{RATERS[summary.rated_by]} r = {getattr(summary, dimension).r:.2f}"
        if judged is not None:
            skill = getattr(judged, f"{dimension}_skill")
            most = f" (on rated photos it agrees with people at r = {skill.r:.2f})" if skill.n else ""
            text += f" · by the judge r = {getattr(judged, dimension).r:.2f}{most}"
        texts.append(text)
    return texts[0], texts[1]
