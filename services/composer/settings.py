"""The composer's settings; each field is read from the variable DEEPSING_COMPOSER_<FIELD>."""

from dataclasses import dataclass
from typing import Annotated

from deepsing.runtime.settings import Between

__all__ = ["PREFIX", "ComposerSettings"]

PREFIX = "DEEPSING_COMPOSER_"


@dataclass(frozen=True)
class ComposerSettings:
    """Addresses of the other services, limits and timeouts."""

    audio_sentiment_target: str = "127.0.0.1:50052"  # host:port, or any gRPC target
    translator_target: str = "127.0.0.1:50053"  # host:port, or any gRPC target
    generator_target: str = "127.0.0.1:50054"  # host:port, or any gRPC target
    batch: Annotated[int, Between(1, 16)] = 8  # frames per request to the generator, 1 to 16
    batches_in_flight: Annotated[int, Between(1, 64)] = 3  # batches of one session at the generator at a time
    max_sessions: Annotated[int, Between(0)] = 64  # sessions at a time; one more is refused
    max_sessions_per_caller: Annotated[int, Between(1)] | None = None  # of a key, or a machine; unset: three quarters
    max_song_bytes: Annotated[int, Between(1)] = 512 * 1024 * 1024  # largest encoded song, bytes
    frames_bytes: Annotated[int, Between(2**20)] = 640 * 2**20  # of memory, for frames and encoders of all sessions
    spool_bytes: Annotated[int, Between(2**20)] = 6 * 2**30  # of disk, for songs and files of all calls, held songs too
    held_songs_bytes: Annotated[int, Between(0)] = 2**30  # total size of songs kept for callers who resume a story
    held_songs_count: Annotated[int, Between(0)] = 1000  # number of such songs; 0 keeps none
    held_song_s: Annotated[float, Between(0)] = 600.0  # how long such a song is kept after its last use
    patience_s: Annotated[float, Between(0)] = 30.0  # how long another service may be unavailable before a story fails
    call_timeout_s: Annotated[float, Between(0.001)] = 20.0  # timeout of one attempt at a unary call
    upload_stall_s: Annotated[float, Between(0.1)] = 60.0  # an upload of < 256 bytes a second for so long ends
    credit_stall_s: Annotated[float, Between(0.1)] = 300.0  # time without credit that ends the session
    heartbeat_s: Annotated[float, Between(0.01, 15)] = 10.0  # longest silence towards the caller
    live_late_s: Annotated[float, Between(0)] = 0.25  # older live frames are dropped; as much may wait for credit
    encoder_threads: Annotated[int, Between(1, 64)] = 2  # threads of one story's H.264 encoder
    judge_every_s: Annotated[float, Between(0, 3600)] = 1.0  # seconds of song between judged frames; 0 judges none
    store: str = ""  # where stored stories are kept: a folder, or s3://bucket/prefix; empty keeps none
    store_endpoint: str = ""  # address of an S3 server that is not Amazon's, e.g. http://127.0.0.1:8333
    queue: str = ""  # where stored stories wait: a file of SQLite, or redis://host:port/0; empty: in the store's folder
    story_ttl_s: Annotated[float, Between(1)] = 604_800.0  # how long a stored story is kept after its end; a week
    stories_running: Annotated[int, Between(0, 64)] = 1  # stored stories that this composer makes at a time; 0: none
    stories_waiting: Annotated[int, Between(1)] = 1000  # unfinished stored stories of one caller, at most
    segment_s: Annotated[float, Between(0.5, 600)] = 10.0  # length of a stored segment; as much may be painted twice
    lease_s: Annotated[float, Between(1, 3600)] = 30.0  # silence of a composer after which another takes its story
    link_s: Annotated[int, Between(1, 604_800)] = 3600  # how long links to files in S3 are valid
    judge_wait_s: Annotated[float, Between(0, 600)] = 20.0  # longest wait for the last judgements
