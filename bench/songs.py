"""Songs to measure with: the bundled one, and long ones made on the spot."""

import io
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

__all__ = ["BUNDLED", "RATE_HZ", "chords", "make_long_song"]

BUNDLED = Path(__file__).resolve().parents[1] / "examples" / "peer_gynt.mp3"
RATE_HZ = 44_100
FRAME = 1_152  # samples of an mp3 frame
SEED = 3


def chords(seconds: float) -> npt.NDArray[np.int16]:
    """Decaying chords over a little noise, a new one every half second; (2, seconds * RATE_HZ)."""
    generator = np.random.default_rng(SEED)
    count = int(seconds * RATE_HZ)
    time_s = np.arange(count) / RATE_HZ
    roots = 110 * 2 ** (generator.integers(0, 24, int(seconds * 2) + 1) / 12)
    root = roots[(time_s * 2).astype(int)]
    sound = sum(np.sin(2 * np.pi * np.cumsum(root * step) / RATE_HZ) for step in (1, 1.26, 1.5)) / 3
    sound = sound * np.exp(-4 * (time_s % 0.5)) + 0.02 * generator.standard_normal(count)
    left = np.clip(sound * 20_000, -32_768, 32_767).astype(np.int16)
    return np.stack([left, np.roll(left, 200)])


def make_long_song(minutes: int, folder: Path) -> Path:
    """An mp3 of about so many minutes: one minute, encoded once, many times over."""
    path = folder / f"{minutes}-minutes.mp3"
    path.write_bytes(_encode_minute() * minutes)
    return path


def _encode_minute() -> bytes:
    """A minute of mp3 frames that can be repeated: no header before them, and none depends on the one before."""
    samples = chords(60)
    file = io.BytesIO()
    options = {"write_xing": "0", "id3v2_version": "0"}
    with av.open(file, "w", format="mp3", options=options) as container:
        stream = container.add_stream("libmp3lame", rate=RATE_HZ, options={"reservoir": "0"}, layout="stereo")
        stream.bit_rate = 128_000
        for first in range(0, samples.shape[1], FRAME):
            block = np.ascontiguousarray(samples[:, first : first + FRAME])
            frame = av.AudioFrame.from_ndarray(block, format="s16p", layout="stereo")
            frame.sample_rate = RATE_HZ
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
