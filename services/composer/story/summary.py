"""The summary of a finished story: its song, its models, and how well its pictures follow the song."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from deepsing.audio.facts import SongWarning
from services.composer.story.agreement import Agreement
from services.composer.story.music import MusicForm

__all__ = ["JudgeReport", "JudgeSkill", "SongInfo", "StorySummary"]


@dataclass(frozen=True)
class SongInfo:
    """Facts of an analysed song; see SongFacts in the contract."""

    duration_us: int
    sample_count: int
    sample_rate_hz: int
    channel_count: int
    codec: str
    container: str
    warnings: tuple[SongWarning, ...]


@dataclass(frozen=True)
class JudgeSkill:
    """A judge's agreement with people: Pearson's r over n rated photos not used in training; n is 0 if not known."""

    r: float
    n: int


@dataclass(frozen=True)
class JudgeReport:
    """How well the pictures follow the song by the judge.

    Attributes:
        arousal, valence: agreement of targets with judgements.
        digest: digest of the judge's weights.
        arousal_skill, valence_skill: the judge's own agreement with people, an upper bound for the above.
        missed_count: frames that were chosen but not judged.
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
        engine, translator: names of the engine and translator used.
        song: None if only a part of the song was analysed.
        rated_by: who rated the concepts shown: "people", "model", "mixed", or "" if the engine does not say.
        arousal, valence: agreement of targets with those ratings.
        judged: None if no frame was judged.
        music: passages, beats and tempo of the music.
        frames_digest: empty if frames were dropped or the story was resumed.
        paint_rate: pictures a second that were asked of the engine; 0 is as many as frames.
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
    music: MusicForm = field(default_factory=MusicForm)
    paint_rate: float = 0.0
