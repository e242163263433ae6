"""Settings of audio_sentiment, read from DEEPSING_AUDIO_SENTIMENT_*."""

from dataclasses import dataclass

__all__ = ["PREFIX", "Settings"]

PREFIX = "DEEPSING_AUDIO_SENTIMENT_"


@dataclass(frozen=True)
class Settings:
    """What an operator may change."""

    provider: str = "cpu"  # cpu, cuda or auto: where the network runs
    threads: int = 1  # of the network; more do not help at this size
    smoothing_s: float = 4.0  # time constant of a reading where the caller names none, > 0
    memory_s: float = 120.0  # time constant of the piece's level, from which moves are told, > 0
    max_sessions: int = 64  # streams at once; more are refused with SESSIONS_EXHAUSTED
    upload_stall_s: float = 60.0  # longest wait for the caller's next message, else UPLOAD_STALLED
    weights: str = ""  # folder of the models; empty is the one that is shipped
