"""Facts about a decoded song, and warnings about it."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["SongFacts", "SongWarning", "WarningKind"]

WarningKind = Literal[  # named as in sentiment.proto's SongWarningKind
    "SILENT", "CLIPPED", "TRUNCATED", "DAMAGED", "ANTI_PHASE", "NOT_FINITE", "FORMAT_CHANGES"
]


class SongWarning(NamedTuple):
    """Something unusual about a song, which can still be used.

    Attributes:
        kind: which one; SONG_WARNING_KIND_<kind> in the contract.
        message: one English sentence with the measured value.
    """

    kind: WarningKind
    message: str


@dataclass(frozen=True, slots=True)
class SongFacts:
    """What was decoded so far; all of the song once its blocks are used up.

    Attributes:
        sample_count: decoded samples per channel, at `sample_rate_hz`.
        sample_rate_hz: rate of the first decoded frame; later ones are resampled to it. 0 before that frame.
        channel_count: channels of the first decoded frame.
        codec: FFmpeg's name, for example "mp3" or "pcm_s16le".
        container: FFmpeg's name, for example "wav"; "" for raw samples.
        peak: largest magnitude of any channel, full scale is 1.
        clipped_share: share of all channels' samples at or over full scale, [0, 1].
        warnings: in the order of the contract; empty for a healthy song.
    """

    sample_count: int
    sample_rate_hz: int
    channel_count: int
    codec: str
    container: str
    peak: float
    clipped_share: float
    warnings: tuple[SongWarning, ...]

    @property
    def duration_us(self) -> int:
        """True length of the decoded audio, microseconds, rounded down."""
        return self.sample_count * 1_000_000 // max(self.sample_rate_hz, 1)

    @property
    def duration_s(self) -> float:
        """True length of the decoded audio, seconds."""
        return self.sample_count / max(self.sample_rate_hz, 1)
