"""Computes the latent of each frame: class weights, noise and style weights, from which the generator paints it.

Source: Passalis & Doropoulos (2021), section 3.4, moving noise.
Differs: between two concepts the weights travel along a straight line of the latent space, and noise turns in a
plane by an angle that grows with loudness and onsets, so that it never jumps.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from math import hypot

import numpy as np
from numpy.typing import NDArray

from services.composer.story.timeline import MOVE, Key, Moment

__all__ = ["FrameLatent", "KeyLatent", "KinMemory", "LatentPath"]

F32 = NDArray[np.float32]
KEYS_KEPT = 64  # a moment lies between two keys; more are kept because keys are known some seconds before frames
KIN_STEPS, KIN_KEPT = 16, 256  # keys of a passage, and keys of a story, that are remembered for sections to come back


@dataclass(frozen=True)
class KeyLatent:
    """The latent of a key.

    Attributes:
        classes: (K,), on the simplex.
        noise: (Z,), about standard normal.
        style: (S,), weights of styles, sum ≤ 1; empty for no style.
        expected: (arousal, valence) by the ratings of these concepts.
    """

    classes: F32
    noise: F32
    style: F32
    expected: tuple[float, float]


@dataclass(frozen=True)
class FrameLatent:
    """The latent of one frame; its noise is already scaled by Moment.push, in units of truncation 1."""

    classes: F32
    noise: F32
    style: F32
    expected: tuple[float, float]


class KinMemory:
    """Remembers what the keys of each section showed, so that a section that comes back shows its kin.

    Keys must come in order. Memory does not grow with the song.
    """

    def __init__(self) -> None:
        self._first: OrderedDict[tuple[int, int], tuple[Key, KeyLatent]] = OrderedDict()

    def find_draw(self, key: Key) -> int:
        """The index from which a key's concept and noise are drawn: that of its first kin, else its own."""
        first = self._first.get((key.section, key.step))
        return first[0].index if first is not None else key.index

    def recall(self, key: Key, style: F32) -> KeyLatent | None:
        """What the first kin of a key showed, in another style; None if its sentiment differs by more than MOVE."""
        first = self._first.get((key.section, key.step))
        if first is None or hypot(key.arousal - first[0].arousal, key.valence - first[0].valence) > MOVE:
            return None
        return replace(first[1], style=style)

    def add(self, key: Key, latent: KeyLatent) -> None:
        """Remembers a key, if it is the first of its kind."""
        if key.step < KIN_STEPS and (key.section, key.step) not in self._first:
            self._first[key.section, key.step] = (key, latent)
            if len(self._first) > KIN_KEPT:
                self._first.popitem(last=False)


class LatentPath:
    """Interpolates between the latents of a story's keys."""

    def __init__(self) -> None:
        self._keys: OrderedDict[int, KeyLatent] = OrderedDict()

    def add(self, index: int, key: KeyLatent) -> None:
        """Adds the latent of a key; only the last KEYS_KEPT are kept."""
        self._keys[index] = key
        while len(self._keys) > KEYS_KEPT:
            self._keys.popitem(last=False)

    def latent_at(self, moment: Moment) -> FrameLatent:
        """The latent of a moment; both its keys must have been added."""
        left, right, share = self._keys[moment.left], self._keys[moment.right], np.float32(moment.progress)
        noise = rotate_noise(left.noise, moment.phase)
        if share:
            noise = noise * (1 - share) + rotate_noise(right.noise, moment.phase) * share
            noise /= np.sqrt((1 - share) ** 2 + share**2)  # the mean of two independent normals is narrower
        expected = tuple(a + (b - a) * moment.progress for a, b in zip(left.expected, right.expected, strict=True))
        return FrameLatent(
            classes=left.classes + (right.classes - left.classes) * share,
            noise=(noise * moment.push).astype(np.float32),
            style=left.style + (right.style - left.style) * share,
            expected=(expected[0], expected[1]),
        )


def rotate_noise(noise: F32, angle: float) -> F32:
    """Noise rotated by an angle (radians) in the plane that it spans with its own reversal."""
    return np.float32(np.cos(angle)) * noise + np.float32(np.sin(angle)) * noise[::-1]
