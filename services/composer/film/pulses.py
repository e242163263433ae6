"""How strongly the music pushes the camera, every 10 ms: kicks of onsets, and swells of beats.

Offline both follow what is heard. Live a window is known only after it has sounded, when its onsets are too late to be
answered: there, kicks come on the beats that are expected, as strong as the onsets of the last window.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import e, exp

from services.composer.story.rhythm import STEPS, WINDOW_S, Beat, Rhythm
from services.composer.story.timeline import smoothstep

__all__ = ["EARLY", "KICKS_PER_S", "KICK_RESERVE", "RELEASE_S", "STEP_S", "Pulses", "WindowPulses"]

STEP_S = WINDOW_S / STEPS
BANDS = (0.36, 0.33, 0.31)  # share of onsets of the low, middle and high band in a kick: what sounds deep kicks most
FLOOR, FULL = 0.08, 0.8  # onsets below the one are noise, from the other on they kick fully
EARLY = 2  # steps that onsets are reported before a note is heard, because windows see it come; measured with clicks
RELEASE_S = 0.16  # a kick decays to 1/e in this time: it has gone before the next beat at 120 beats a minute
KICKS_PER_S = 1.0  # full kicks a second for long; more onsets kick more weakly: see FASTEST in camera.py
KICK_RESERVE = 0.8  # full kicks that a quiet time saves up
SWELL_S = 0.12  # from a beat to the height of its swell
UNSURE, SURE = 0.35, 0.65  # certainty of a beat from which on it swells, and swells fully
DOWNBEAT, BEAT, UNPLACED = 1.0, 0.55, 0.7  # height of a swell: first beat of a bar, another one, no bar heard


@dataclass(frozen=True)
class WindowPulses:
    """Kicks and swells of one window, STEPS each; kicks are in [0, 1], swells in [0, 2]."""

    kicks: list[float]
    swells: list[float]


class Pulses:
    """Turns the rhythm of windows into kicks and swells. Causal: a window's pulses need no later window.

    Args:
        look_ahead: True if a window is shown while it sounds (offline); False (live): see the module.
    """

    def __init__(self, *, look_ahead: bool) -> None:
        self._look_ahead = look_ahead
        self._kick, self._budget = 0.0, KICK_RESERVE
        self._held = [0.0] * EARLY  # the last onsets of the window before
        self._impulse = self._swell = 0.0  # the two stages of a swell's filter
        self._keep_kick, self._keep_swell = exp(-STEP_S / RELEASE_S), exp(-STEP_S / SWELL_S)

    def add(self, rhythm: Rhythm | None, shown_s: float, gain: float) -> WindowPulses:
        """Adds the next window.

        Args:
            rhythm: of the window; None if nothing is heard.
            shown_s: when the window begins to be shown, seconds of the story.
            gain: factor on its onsets, [0, 1].
        """
        strengths, heights = [0.0] * STEPS, [0.0] * STEPS
        if rhythm is not None:
            onsets = _weigh_onsets(rhythm)
            for step, beat in _place_beats(rhythm.beats if self._look_ahead else rhythm.forecast, shown_s):
                heights[step] = max(heights[step], _rate_beat(beat))
                if not self._look_ahead:
                    strengths[step] = max(strengths[step], _trust_beat(beat) * max(onsets))
            strengths = onsets if self._look_ahead else strengths
        if self._look_ahead:
            delayed = self._held + strengths
            strengths, self._held = delayed[:STEPS], delayed[STEPS:]
        kicks, swells = [], []
        for strength, height in zip(strengths, heights, strict=True):
            kicks.append(self._step_kick(strength * gain))
            swells.append(self._step_swell(height))
        return WindowPulses(kicks, swells)

    def _step_kick(self, strength: float) -> float:
        """Rises at once as far as the budget allows, else decays."""
        self._kick *= self._keep_kick
        self._budget = min(KICK_RESERVE, self._budget + KICKS_PER_S * STEP_S)
        rise = min(max(0.0, strength - self._kick), self._budget)
        self._kick += rise
        self._budget -= rise
        return self._kick

    def _step_swell(self, height: float) -> float:
        """Rises and falls without a corner: a beat's swell is t/SWELL_S * exp(1 - t/SWELL_S) of its height."""
        self._swell = (self._swell + self._impulse * STEP_S / SWELL_S) * self._keep_swell
        self._impulse = self._impulse * self._keep_swell + height * e
        return self._swell


def _weigh_onsets(rhythm: Rhythm) -> list[float]:
    """Strength of a window's onsets, STEPS values in [0, 1]; those that are missing count as 0."""
    bands = (band[:STEPS].ljust(STEPS, b"\0") for band in (rhythm.low, rhythm.middle, rhythm.high))
    low, middle, high = (share / 255 for share in BANDS)
    means = (low * one + middle * two + high * three for one, two, three in zip(*bands, strict=True))
    return [min(1.0, max(0.0, (mean - FLOOR) / (FULL - FLOOR))) for mean in means]


def _place_beats(beats: Iterable[Beat], shown_s: float) -> list[tuple[int, Beat]]:
    """The beats in the window that begins at a time, each with its step."""
    steps = ((int((beat.time_s - shown_s) / STEP_S + 1e-6), beat) for beat in beats if beat.time_s >= shown_s)
    return [(step, beat) for step, beat in steps if step < STEPS]


def _trust_beat(beat: Beat) -> float:
    return smoothstep((beat.certainty - UNSURE) / (SURE - UNSURE))


def _rate_beat(beat: Beat) -> float:
    """Height of a beat's swell, [0, 1]."""
    return _trust_beat(beat) * (UNPLACED if not beat.position else DOWNBEAT if beat.position == 1 else BEAT)
