"""Cuts a stream of samples into half-second windows and computes their features, equal for any chunk sizes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.embedding import Embedder, Networks, PatchReader
from services.audio_sentiment.features import (
    HOP_LENGTH,
    MEL_COUNT,
    SAMPLE_RATE_HZ,
    MelStream,
    loudness,
    onset_strength,
)
from services.audio_sentiment.harmony import Harmony
from services.audio_sentiment.running_mean import RunningMean

__all__ = ["WINDOW_SAMPLES", "FeatureExtractor", "RunningGain", "Window", "WindowCutter", "apply_gain"]

F32 = NDArray[np.float32]

TYPICAL_POWER = 0.126**2  # -18 dBFS: quieter than most mastered songs, louder than most rendered MIDI
LEAST_POWER = 1e-6  # -60 dBFS: quieter audio gets no more gain than this, or noise would count as music
MEMORY_WINDOWS = 120.0  # a minute
WINDOW_SAMPLES = SAMPLE_RATE_HZ // 2
LATE_SAMPLES = 64  # 4 ms at the end of a window that a resampler may still hold back: the window does without them


class RunningGain:
    """Brings a stream to one level, causally, so that a quieter copy of a song is read like the song itself.

    The gain brings the mean power of the past (old windows weigh exponentially less, over a minute) to that of typical
    music; louder and softer passages keep their difference.

    Args:
        window_limit: how many past windows count; 0 is no limit.
    """

    def __init__(self, window_limit: int = 0) -> None:
        self._power = RunningMean(math.exp(-1.0 / MEMORY_WINDOWS), window_limit)

    def update(self, samples: F32) -> float:
        """Takes the next window; returns its gain, a factor of the amplitude."""
        if samples.size:
            self._power.add(np.asarray(np.mean(np.square(samples, dtype=np.float64))), 1.0)
        power = self._power.mean()
        return math.sqrt(TYPICAL_POWER / max(LEAST_POWER, 0.0 if power is None else float(power)))


def apply_gain(frames: F32, gain: float) -> F32:
    """The log-mel frames (n, mels) of the same samples times `gain`."""
    power = np.float32(10.0) ** frames - np.float32(1.0)
    return np.asarray(np.log10(np.maximum(power, 0.0) * np.float32(gain * gain) + np.float32(1.0)))


@dataclass(frozen=True)
class Window:
    """The features of one half second, and of what came before it.

    Attributes:
        embedding: (2, channels), output of the streaming network over the last three seconds: mean and maximum.
        patch: (features,), output of the patch network over them.
        harmony: (HARMONY_SIZE,), chord, key and roughness.
        timbre: (MEL_COUNT,), mean log-mel frame of the window.
        block: (2, channels), output of the streaming network over the half second LAG_FRAMES before this one.
        pitches: (PITCHES_SIZE,), shares of pitch classes and octaves. These six are computed at a typical level.
        loudness: [0, 1], of the window before the gain.
        onset_strength: [0, 1], of the window before the gain.
    """

    embedding: F32
    patch: F32
    harmony: F32
    timbre: F32
    block: F32
    pitches: F32
    loudness: float
    onset_strength: float


class WindowCutter:
    """Cuts a stream into the samples of its windows, equal for any chunk sizes.

    A window does without its last LATE_SAMPLES; the next one begins with them.
    """

    def __init__(self) -> None:
        self._pending: F32 = np.empty(0, np.float32)
        self._need = WINDOW_SAMPLES - LATE_SAMPLES

    def push(self, samples: F32) -> Iterator[F32]:
        """Takes the next samples, any number; yields those of each window that they complete."""
        self._pending = np.concatenate([self._pending, samples])
        while self._pending.size >= self._need:
            head, self._pending = self._pending[: self._need], self._pending[self._need :]
            self._need = WINDOW_SAMPLES
            yield head

    def drain(self) -> F32:
        """Ends the stream; returns the samples that are left."""
        left, self._pending = self._pending, np.empty(0, np.float32)
        return left


class FeatureExtractor:
    """Takes samples in pieces of any size and yields windows as soon as their samples are there.

    Args:
        networks: the music networks' sessions.
        window_limit: how many past windows may be used; 0 is no limit.
    """

    def __init__(self, networks: Networks, window_limit: int = 0) -> None:
        self._embedder = Embedder(networks.stream, window_limit)
        self._patches = PatchReader(networks.patch, window_limit)
        self._harmony = Harmony(window_limit)
        self._gain = RunningGain(window_limit)
        self._mel = MelStream()
        self._cutter = WindowCutter()
        self._start = 0  # sample index of the next window
        self._consumed = 0  # samples given to the mel stream
        self._last_frame = np.zeros(MEL_COUNT, np.float32)

    @property
    def window_count(self) -> int:
        """Windows yielded so far."""
        return self._start // WINDOW_SAMPLES

    def push(self, samples: F32) -> Iterator[Window]:
        """Takes the next samples at SAMPLE_RATE_HZ, mono, any number; yields the windows they complete."""
        return map(self._read_window, self._cutter.push(samples))

    def finish(self, window_count: int) -> Iterator[Window]:
        """Yields the remaining windows up to `window_count`; the last may be shorter than half a second."""
        while self.window_count < window_count:
            head = self._cutter.drain()
            if self.window_count == 0 and head.size < HOP_LENGTH:
                head = np.pad(head, (0, HOP_LENGTH - head.size))  # enough for a first frame
            yield self._read_window(head)

    def _read_window(self, samples: F32) -> Window:
        """Computes the next window; `samples` begin with the LATE_SAMPLES of the window before."""
        frames = self._mel.push(samples)
        own = samples[max(0, self._start - self._consumed) :]
        onset = onset_strength(frames, self._last_frame)
        if len(frames):
            self._last_frame = frames[-1]
        gain = self._gain.update(own)
        music = apply_gain(frames, gain)
        embedding, patch = self._embedder.push(music), self._patches.push(music)
        harmony = self._harmony.push(samples * np.float32(gain))
        timbre = music.mean(axis=0) if len(music) else apply_gain(self._last_frame, gain)
        self._consumed += samples.size
        self._start += WINDOW_SAMPLES
        block, pitches = self._embedder.latest_block, self._harmony.pitch_shares
        return Window(embedding, patch, harmony, timbre, block, pitches, loudness(own), onset)
