"""The manifest of a story, story.json: what each frame shows, and all that is needed to make the story again."""

import dataclasses
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from services.composer.story.agreement import Agreement
from services.composer.story.frame import FrameInfo
from services.composer.story.judge_sampling import Judgement
from services.composer.story.music import MusicForm, Passage, name_section
from services.composer.story.plan import Size, StoryboardKey, StoryPlan
from services.composer.story.rhythm import Tempo
from services.composer.story.summary import JudgeReport, SongInfo, StorySummary

__all__ = ["ManifestWriter", "build_manifest_facts"]

VERSION = 2  # of the format; docs/story-json.md explains each field


class ManifestWriter:
    """Writes the manifest frame by frame, so that memory does not grow with the song."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._file.write('{"frames": [')
        self._separator = ""

    def add(self, info: FrameInfo) -> None:
        """Appends one frame."""
        row = {
            "seq": info.seq,
            "time_s": round(info.time_s, 6),
            "target": _round_pair(info.target),
            "expected": _round_pair(info.expected),
            "concepts": {name: round(weight, 4) for name, weight in info.concepts},
            "styles": {name: round(weight, 4) for name, weight in info.styles},
        }
        if info.song is not None:
            row["song"] = _round_pair(info.song)
        self._file.write(self._separator + "\n" + json.dumps(row, ensure_ascii=False))
        self._separator = ","

    def finish(self, facts: dict[str, Any], music: MusicForm | None = None) -> None:
        """Completes the file with the facts about the whole story and the beats of its music."""
        self._file.write("\n],\n")
        self._write_beats(music or MusicForm())
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
        self._file.write(text[1:].lstrip() + "\n")
        self._file.close()

    def _write_beats(self, music: MusicForm) -> None:
        """Writes beats one by one, eight a line, because an object for each would need a hundred bytes."""
        self._file.write('"beats": [')
        for place, (time_s, position) in enumerate(music.iter_beats()):
            self._file.write(("," if place else "") + ("\n" if place % 8 == 0 else " "))
            self._file.write(json.dumps([round(time_s, 3), position], allow_nan=False))
        self._file.write("],\n")

    def close(self) -> None:
        """Closes the file, as far as the disk has room for it; does nothing after finish()."""
        with suppress(OSError):
            self._file.close()


def build_manifest_facts(
    plan: StoryPlan, size: Size, summary: StorySummary, judgements: Sequence[Judgement], story_id: str
) -> dict[str, Any]:
    """All of the manifest but its frames; together with the song it is enough to make the story again."""
    facts: dict[str, Any] = {
        "manifest_version": VERSION,
        "session_id": story_id,
        "title": plan.title,
        "parameters": _describe_parameters(plan, size, summary),
        "frame_count": summary.frame_count,
        "duration_us": summary.duration_us,
        "song_digest": summary.song_digest,
        "frames_digest": summary.frames_digest,
        "digests": dict(sorted(summary.digests.items())),
        "dropped_count": summary.dropped_count,
        "flashes_per_second": summary.flashes_per_second,
        "rated_by": summary.rated_by,
        "arousal": _describe_agreement(summary.arousal),
        "valence": _describe_agreement(summary.valence),
        "warnings": list(summary.warnings),
        "passages": [_describe_passage(passage) for passage in summary.music.passages],
        "tempo": _describe_tempo(summary.music.tempo),
        "readings": [_describe_judgement(judgement) for judgement in judgements],
    }
    if summary.song is not None:
        facts["song"] = _describe_song(summary.song)
    if summary.judged is not None:
        facts["achieved"] = _describe_judge(summary.judged)
    return facts


def _describe_parameters(plan: StoryPlan, size: Size, summary: StorySummary) -> dict[str, Any]:
    """What was asked for; engine, translator and rate of painting as they were chosen."""
    return {
        "seed": plan.seed,
        "frame_rate": f"{plan.rate.numerator}/{plan.rate.denominator}",
        "size": str(size),
        "engine": summary.engine,
        "translator": summary.translator,
        "style": plan.style,
        "style_strength": plan.style_strength,
        "sentiment_mode": plan.mode,
        "truncation": plan.truncation,
        "motion": plan.motion,
        "react": plan.react,
        "paint_rate": summary.paint_rate,
        "themes": list(plan.themes),
        "only": list(plan.only),
        "without": list(plan.without),
        "mood": [plan.mood.arousal, plan.mood.valence],
        "start_us": plan.start_us,
        "duration_us": plan.duration_us,
        "storyboard": [_describe_key(key) for key in plan.storyboard],
    }


def _describe_key(key: StoryboardKey) -> dict[str, Any]:
    return {
        "time_us": round(key.time_s * 1e6),
        "concepts": dict(key.concepts),
        "style": key.style,
        "motion": key.motion,
        "locked": key.locked,
    }


def _describe_passage(passage: Passage) -> dict[str, Any]:
    return {
        "start_s": round(passage.start_s, 6),
        "section": name_section(passage.section),
        "arousal": round(passage.arousal, 5),
        "valence": round(passage.valence, 5),
    }


def _describe_tempo(tempo: Tempo | None) -> dict[str, Any] | None:
    if tempo is None:
        return None
    return {
        "beats_per_minute": round(tempo.beats_per_minute, 2),
        "beats_per_bar": tempo.beats_per_bar,
        "certainty": round(tempo.certainty, 3),
    }


def _describe_judgement(judgement: Judgement) -> dict[str, Any]:
    info = judgement.info
    return {
        "seq": info.seq,
        "time_s": round(info.time_s, 6),
        "target": _round_pair(info.target),
        "expected": _round_pair(info.expected),
        "achieved": _round_pair(judgement.achieved),
    }


def _describe_song(song: SongInfo) -> dict[str, Any]:
    return dataclasses.asdict(song) | {"warnings": [warning._asdict() for warning in song.warnings]}


def _describe_agreement(agreement: Agreement) -> dict[str, Any]:
    return dataclasses.asdict(agreement)


def _describe_judge(report: JudgeReport) -> dict[str, Any]:
    return {
        "arousal": _describe_agreement(report.arousal),
        "valence": _describe_agreement(report.valence),
        "missed_count": report.missed_count,
        "judge": {
            "digest": report.digest,
            "arousal": dataclasses.asdict(report.arousal_skill),
            "valence": dataclasses.asdict(report.valence_skill),
        },
    }


def _round_pair(pair: tuple[float, float]) -> list[float]:
    return [round(value, 5) for value in pair]
