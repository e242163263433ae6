"""What one frame of a story shows, beside its pixels."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FrameInfo"]


@dataclass(frozen=True)
class FrameInfo:
    """What a frame shows: see Frame in the contract.

    Attributes:
        time_s: when it is shown, seconds from the start of the story.
        target: (arousal, valence) that the song asks for, [-1, 1].
        expected: (arousal, valence) that people, or the engine's labeller, felt at what it shows.
        concepts, styles: (name, weight), heaviest first.
    """

    seq: int
    time_s: float
    target: tuple[float, float]
    expected: tuple[float, float]
    concepts: tuple[tuple[str, float], ...]
    styles: tuple[tuple[str, float], ...]
