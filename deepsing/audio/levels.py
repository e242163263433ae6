"""Measures the channels of a song block by block: peak, clipping, cancellation, values that are no finite numbers."""

import math

import numpy as np
import numpy.typing as npt

from deepsing.audio.facts import SongWarning

__all__ = ["LevelMeter"]

F32 = npt.NDArray[np.float32]

SILENT_PEAK = 10 ** (-60 / 20)  # -60 dBFS
CLIPPED_SHARE = 1e-3
ANTI_PHASE_DB = 20.0  # the mono sum is at least so much quieter than the channels
PLAUSIBLE_PEAK = 2.0**32  # floats above are no sound; 32-bit integers stored as floats stay below


class LevelMeter:
    """Adds up levels over a song in constant memory."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._value_count = 0
        self._clipped_count = 0
        self._replaced_count = 0
        self._channels_power = 0.0  # sum over samples of the channels' mean square
        self._mono_power = 0.0

    @property
    def clipped_share(self) -> float:
        """Share of values at or over full scale, [0, 1]."""
        return self._clipped_count / max(self._value_count, 1)

    def clean(self, channels: F32) -> F32:
        """Replaces values that are NaN, infinite or beyond 2**32 by 0 and count them; any shape."""
        peak = np.abs(channels).max(initial=0.0)
        if peak <= PLAUSIBLE_PEAK:  # false for NaN
            return channels
        sound = np.abs(channels) <= PLAUSIBLE_PEAK
        self._replaced_count += int(channels.size - np.count_nonzero(sound))
        return np.where(sound, channels, np.float32(0))

    def measure(self, channels: F32, full_scale: float) -> F32:
        """Measures the next samples.

        Args:
            channels: (channels, n), finite; full scale is ±1.
            full_scale: magnitude from which a sample counts as clipped (its format's largest value).

        Returns:
            The mean of the channels, (1, n).
        """
        peak = float(np.abs(channels).max(initial=0.0))
        self.peak = max(self.peak, peak)
        self._value_count += channels.size
        if peak >= full_scale:
            self._clipped_count += int(np.count_nonzero(np.abs(channels) >= full_scale))
        if len(channels) == 1:
            return channels
        mono: F32 = channels.mean(axis=0, dtype=np.float32, keepdims=True)
        self._channels_power += float(np.vdot(channels, channels)) / len(channels)
        self._mono_power += float(np.vdot(mono, mono))
        return mono

    def warnings(self) -> list[SongWarning]:
        """Returns the warnings that these levels call for."""
        found = []
        if self._value_count and self.peak <= SILENT_PEAK:
            level = f"{20 * math.log10(self.peak):.0f} dBFS" if self.peak else "digital silence"
            found.append(SongWarning("SILENT", f"Nothing is louder than -60 dBFS (loudest: {level})."))
        if self.clipped_share > CLIPPED_SHARE:
            share = f"{100 * self.clipped_share:.2g} %"
            found.append(SongWarning("CLIPPED", f"{share} of the samples are at or over full scale."))
        if self.peak > SILENT_PEAK and self._cancels():
            if self._mono_power:
                loss = f"{10 * math.log10(self._channels_power / self._mono_power):.0f} dB quieter than"
            else:
                loss = "silent, unlike"
            message = f"The channels cancel each other: their mean is {loss} the channels."
            found.append(SongWarning("ANTI_PHASE", message))
        if self._replaced_count:
            message = f"{self._replaced_count} samples were no finite numbers and were replaced by 0."
            found.append(SongWarning("NOT_FINITE", message))
        return found

    def _cancels(self) -> bool:
        return self._channels_power > 0 and self._mono_power <= self._channels_power * 10 ** (-ANTI_PHASE_DB / 10)
