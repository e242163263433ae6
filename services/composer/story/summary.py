"""What can be said of a story once all its frames are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepsing.audio.facts import SongWarning
from services.composer.story.agreement import Agreement

__all__ = ["JudgeReport", "JudgeSkill", "SongInfo", "StorySummary"]


@dataclass(frozen=True)
class SongInfo:
    """What was found in a song while it was analysed; see SongFacts in the contract."""

    duration_us: int
    sample_count: int
    sample_rate_hz: int
    channel_count: int
    codec: str
    container: str
    warnings: tuple[SongWarning, ...]


@dataclass(frozen=True)
class JudgeSkill:
    """A judge's agreement with people on rated photos that it never saw: Pearson's r over n; n 0 is not known."""

    r: float
    n: int


@dataclass(frozen=True)
class JudgeReport:
    """How well the pictures follow the song by the judge's readings.

    Attributes:
        arousal, valence: of targets with judgements.
        digest: of the judge's weights.
        arousal_skill, valence_skill: the judge's own agreement with people, the most that can be asked of it.
        missed_count: frames that were to be judged and were not.
    """

    arousal: Agreement
    valence: Agreement
    digest: str
    arousal_skill: JudgeSkill
    valence_skill: JudgeSkill
    missed_count: int


@dataclass(frozen=True)
class StorySummary:
    """A finished story; see SessionEnd in the contract.

    Attributes:
        engine, translator: names of those that made it.
        song: None where only a part of the song was analysed.
        rated_by: who rated the concepts shown: "people", "model", or "" where the engine does not say.
        arousal, valence: agreement of targets with those ratings.
        judged: None where no frame was judged.
        frames_digest: empty where frames were dropped or the story was resumed.
    """

    frame_count: int
    duration_us: int
    engine: str
    translator: str
    digests: Mapping[str, str]
    song: SongInfo | None
    rated_by: str
    arousal: Agreement
    valence: Agreement
    judged: JudgeReport | None
    flashes_per_second: int
    warnings: tuple[str, ...]
    song_digest: str = ""
    frames_digest: str = ""
    dropped_count: int = 0
