"""What an operator may set; every field is read from DEEPSING_COMPOSER_<FIELD>."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from deepsing.runtime.settings import Between

__all__ = ["PREFIX", "ComposerSettings"]

PREFIX = "DEEPSING_COMPOSER_"


@dataclass(frozen=True)
class ComposerSettings:
    """Where the other services are, and the composer's bounds."""

    audio_sentiment_target: str = "127.0.0.1:50052"  # host:port, or any gRPC target
    translator_target: str = "127.0.0.1:50053"  # likewise
    generator_target: str = "127.0.0.1:50054"  # likewise
    batch: int = 8  # frames asked of the generator at once, 1 to 16
    batches_in_flight: int = 3  # batches of one session before the generator at a time
    max_sessions: int = 64  # stories told at a time; one more is refused
    max_song_bytes: int = 512 * 1024 * 1024  # of one encoded song
    held_songs_bytes: Annotated[int, Between(0)] = 2**30  # of songs kept for callers who come back
    held_songs_count: Annotated[int, Between(0)] = 1000  # of such songs; 0: none
    held_song_s: Annotated[float, Between(0)] = 600.0  # how long one is kept after it was last asked for
    patience_s: float = 30.0  # how long a service may stay away before a story is given up
    call_timeout_s: float = 20.0  # of one attempt at a unary call
    upload_stall_s: float = 60.0  # silence of an upload that ends the session
    credit_stall_s: float = 300.0  # time without credit that ends the session
    heartbeat_s: Annotated[float, Between(0.01, 15)] = 10.0  # longest silence towards the caller
    live_late_s: float = 0.25  # older live frames are left out, and where so many wait, the oldest of them
    encoder_threads: int = 1  # of one story's H.264 encoder
    judge_every_s: Annotated[float, Between(0, 3600)] = 1.0  # of the song, between frames that the judge reads; 0: none
    store: str = ""  # of stored stories: a folder, or s3://bucket/prefix; empty keeps none
    store_endpoint: str = ""  # of an S3 server that is not Amazon's, e.g. http://127.0.0.1:8333
    story_ttl_s: Annotated[float, Between(1)] = 604_800.0  # after its end a stored story is deleted; a week
    stories_running: Annotated[int, Between(0, 64)] = 1  # stored stories that this composer tells at a time; 0: none
    stories_waiting: Annotated[int, Between(1)] = 1000  # stored stories of one caller that have not ended
    segment_s: Annotated[float, Between(0.5, 600)] = 10.0  # of a story, stored at a time: as much is painted twice
    lease_s: Annotated[float, Between(1, 3600)] = 30.0  # silence of a composer after which another takes its story
    link_s: Annotated[int, Between(1, 604_800)] = 3600  # for which links to files of S3 hold
    judge_wait_s: Annotated[float, Between(0, 600)] = 20.0  # for the last judgements once all frames are painted
