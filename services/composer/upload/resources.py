"""What all calls of this composer share and what each may have of it: disk, threads that decode, held songs."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TypeVar

from deepsing.access.accounts import caller_name, charge
from deepsing.rpc.errors import ResourceExhausted
from deepsing.runtime.byte_budget import ByteBudget, build_refusal
from deepsing.runtime.cores import available_cores
from deepsing.runtime.fair_queue import QueueFull
from deepsing.runtime.fair_threads import FairThreads, Pause
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.settings import PREFIX, ComposerSettings
from services.composer.upload.scratch import ScratchDir
from services.composer.upload.song_cache import SongCache
from services.composer.upload.song_file import SongFile

__all__ = ["Resources"]

Result = TypeVar("Result")
WANT_S = 3.0  # for which a want of memory counts
MOST_DECODING = 64  # songs that are decoded here at a time, and that wait for it; each holds a few MB at most
RETRY_AFTER_S = 5.0
REFUSE_DISK = build_refusal(
    "songs and files on their way",
    f"or ask the operator to raise {PREFIX}SPOOL_BYTES",
    reasons.ERROR_REASON_DISK_FULL,
    30,
)
REFUSE_MEMORY = build_refusal(
    "frames of open sessions",
    f"ask for smaller frames, or ask the operator to raise {PREFIX}FRAMES_BYTES",
    reasons.ERROR_REASON_SESSIONS_EXHAUSTED,
    10,
)


class Resources:
    """Opened once for a composer.

    Attributes:
        scratch: the folder for temporary files.
        disk: budget for the files in it.
        memory: budget for the frames of sessions.
        song_cache: songs of earlier sessions; they make room where others need it.
    """

    def __init__(self, settings: ComposerSettings) -> None:
        self._wanted_until_s = 0.0
        self.scratch, self._max_song_bytes = ScratchDir(), settings.max_song_bytes
        self.disk = ByteBudget(settings.spool_bytes, REFUSE_DISK)
        self.memory = ByteBudget(settings.frames_bytes, REFUSE_MEMORY)
        held = self.disk.open_share(makes_room=False)
        limits = (settings.held_songs_bytes, settings.held_songs_count, settings.held_song_s)
        self.song_cache = SongCache(self.scratch.path, *limits, on_resize=held.resize)
        self.disk.make_room = self.song_cache.make_room
        self._threads = FairThreads("decode", available_cores(), MOST_DECODING)

    @property
    def is_memory_wanted(self) -> bool:
        """Whether a session waits for memory."""
        return monotonic() < self._wanted_until_s

    def note_want(self) -> None:
        """Says that a session waits for memory; to be repeated every second."""
        self._wanted_until_s = monotonic() + WANT_S

    @contextmanager
    def open_song(self) -> Iterator[SongFile]:
        """An empty song, which is deleted at the end. Raises OSError."""
        with (
            self.disk.open_share(caller_name()) as disk,
            tempfile.TemporaryDirectory(dir=self.scratch.path) as folder,
        ):
            song_file = SongFile(Path(folder) / "song", self._max_song_bytes, disk)
            try:
                yield song_file
            finally:
                song_file.close()

    async def decode(self, work: Callable[[Pause], Result]) -> Result:
        """Decodes in a thread, in turns with other callers; the caller is charged, and the work ends with the call.

        Args:
            work: blocks; calls `pause`, its argument, before each packet.

        Raises:
            ResourceExhausted: QUEUE_FULL, QUOTA_EXCEEDED.
            Exception: what `work` raised.
        """
        try:
            return await self._threads.run(work, caller=caller_name(), charge=charge)
        except QueueFull as full:
            message = f"{full}; try again in {RETRY_AFTER_S:g} s"
            reason = reasons.ERROR_REASON_QUEUE_FULL
            raise ResourceExhausted(message, reason=reason, retry_after_s=RETRY_AFTER_S) from None

    def close(self) -> None:
        """Ends what is being decoded, and deletes all temporary files."""
        self._threads.close()
        self.scratch.close()
