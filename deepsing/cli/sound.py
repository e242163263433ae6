"""Live sound: from a microphone, or from a file at the speed at which it plays."""

import asyncio
import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Generator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepsing.local.failures import USAGE, CommandError, missing_extra
from deepsing.v1.sentiment_pb2 import SAMPLE_FORMAT_S16LE, AudioFormat

if TYPE_CHECKING:
    import av  # comes with the extra "serve"; imported where it is used, so that other commands work without it

__all__ = ["Sound", "open_file_sound", "open_microphone"]

RATE_HZ = 48_000
PIECE_S = 0.02  # sent at a time
LOUDEST = 32_767
CARDS = Path("/dev/snd")
ALSA_FOLDER = "/usr/share/alsa"
CAPTURES = ("pulse", "alsa")  # FFmpeg's inputs for a microphone, as far as this PyAV has them
NO_MICROPHONE = "no microphone can be opened ({why}); name one with --device, or play a file: deepsing live song.mp3"


class Sound:
    """Raw sound in real time, in the format `form`.

    Args:
        samples: yields blocks of raw samples; it may block, and runs in a thread of its own.
        paced: whether to hold the source back to the speed at which it plays.
        seconds: to stop after; None is to its end.

    Attributes:
        began_s: when its first sample played, on the monotonic clock; 0 before.
    """

    form = AudioFormat(sample_format=SAMPLE_FORMAT_S16LE, sample_rate_hz=RATE_HZ, channel_count=1)

    def __init__(self, samples: Generator[bytes], *, paced: bool, seconds: float | None = None) -> None:
        self.began_s = 0.0
        self._samples, self._paced, self._seconds = samples, paced, seconds

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yields the sound in pieces of at most PIECE_S, each when it has been played or recorded.

        Raises:
            CommandError: the file cannot be decoded.
        """
        loop, piece_bytes = asyncio.get_running_loop(), 2 * round(PIECE_S * RATE_HZ)
        most_bytes = 2 * round(self._seconds * RATE_HZ) if self._seconds else sys.maxsize
        thread, sent = ThreadPoolExecutor(1, thread_name_prefix="sound"), 0
        try:
            while sent < most_bytes and (block := await loop.run_in_executor(thread, next, self._samples, None)):
                self.began_s = self.began_s or time.monotonic() - (0.0 if self._paced else _seconds(len(block)))
                for at in range(0, min(len(block), most_bytes - sent), piece_bytes):
                    piece = block[at : at + piece_bytes][: most_bytes - sent]
                    sent += len(piece)
                    if self._paced:
                        await asyncio.sleep(max(0.0, self.began_s + _seconds(sent) - time.monotonic()))
                    yield piece
        finally:
            thread.submit(self._samples.close)  # runs after its last step; a microphone that hangs is not waited for
            thread.shutdown(wait=False)


def _seconds(byte_count: int) -> float:
    return byte_count / (2 * RATE_HZ)


def open_file_sound(path: str, seconds: float | None = None) -> Sound:
    """Opens a song of any format that `deepsing.audio` reads, to be sent at the speed at which it plays.

    Raises:
        CommandError: PyAV is not installed, or it is a pipe or a device, whose silence could not be interrupted.
        OSError: the file cannot be read.
    """
    _require_av()
    if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
        raise CommandError(f"{path} is no regular file; save what comes through it first, and play that", USAGE)
    with open(path, "rb"):  # reports a missing file before anything is started
        return Sound(_decode_file(path), paced=True, seconds=seconds)


def _require_av() -> None:
    if find_spec("av") is None:
        raise missing_extra("live sound needs PyAV, which is not installed here", "serve")


def _decode_file(path: str) -> Generator[bytes]:
    from deepsing.audio import AudioError, decode_blocks

    try:
        with decode_blocks(path, sample_rate_hz=RATE_HZ) as decoding:
            for block in decoding:
                yield (block.clip(-1, 1) * LOUDEST).astype("<i2").tobytes()
    except AudioError as error:
        raise CommandError(error.message, USAGE) from None


def open_microphone(device: str = "default", seconds: float | None = None, capture: str = "") -> Sound:
    """Opens a microphone.

    Args:
        device: as FFmpeg names it.
        seconds: to stop after; None is never.
        capture: FFmpeg's input; empty is the first of CAPTURES that there is.

    Raises:
        CommandError: there is none that can be opened, or PyAV is not installed.
    """
    _require_av()
    import av

    capture = capture or next((one for one in CAPTURES if one in av.formats_available), "")
    if not capture:
        raise CommandError(NO_MICROPHONE.format(why="this PyAV has no input for one"), USAGE)
    if capture == "alsa" and "ALSA_CONFIG_DIR" not in os.environ:
        if not CARDS.exists():
            raise CommandError(NO_MICROPHONE.format(why="this machine has no sound card"), USAGE)
        os.environ["ALSA_CONFIG_DIR"] = ALSA_FOLDER  # PyAV's own ALSA looks where it was built
    try:
        container = av.open(device, format=capture)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise CommandError(NO_MICROPHONE.format(why=f"{capture} '{device}': {error}"), USAGE) from None
    return Sound(_capture_blocks(container), paced=False, seconds=seconds)


def _capture_blocks(container: "av.container.InputContainer") -> Generator[bytes]:
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    with container:
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                yield np.ascontiguousarray(piece.to_ndarray(), "<i2").tobytes()
