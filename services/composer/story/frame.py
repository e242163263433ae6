"""What one frame of a story shows: sentiments, concepts and styles."""

from dataclasses import dataclass

__all__ = ["FrameInfo"]


@dataclass(frozen=True)
class FrameInfo:
    """What one frame shows; see Frame in the contract.

    Attributes:
        time_s: when it is shown, seconds from the start of the story.
        target: (arousal, valence) that it is meant to carry, [-1, 1]: the song's, shifted by the mood.
        expected: (arousal, valence) by the ratings of the concepts it shows, [-1, 1].
        concepts, styles: (name, weight), largest weight first.
        song: (arousal, valence) of the song itself; None if there is no mood, so that it is the target.
    """

    seq: int
    time_s: float
    target: tuple[float, float]
    expected: tuple[float, float]
    concepts: tuple[tuple[str, float], ...]
    styles: tuple[tuple[str, float], ...]
    song: tuple[float, float] | None = None
