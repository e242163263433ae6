"""Settings of audio_sentiment, read from DEEPSING_AUDIO_SENTIMENT_*."""

from dataclasses import dataclass

__all__ = ["PREFIX", "Settings"]

PREFIX = "DEEPSING_AUDIO_SENTIMENT_"


@dataclass(frozen=True)
class Settings:
    """Settings of the service."""

    provider: str = "cpu"  # cpu, cuda or auto: where the networks run
    threads: int = 1  # of each network; more do not help at this size
    smoothing_s: float = (
        4.0  # time constant of moves inside a passage unless the caller chooses one, s, > 0; in the digest
    )
    memory_s: float = (
        120.0  # time constant of a passage's level, and of what moves are measured from, s, > 0; in the digest
    )
    max_sessions: int = 64  # streams at once; more are refused with SESSIONS_EXHAUSTED
    spool_bytes: int = 1536 * 2**20  # of disk, for the songs of all streams; more are refused with DISK_FULL
    upload_stall_s: float = 60.0  # with less than 256 bytes a second for so long, s: UPLOAD_STALLED
    weights: str = ""  # folder of the models; empty is the shipped one
