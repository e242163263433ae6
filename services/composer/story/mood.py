"""The mood of a story: a shift of what its pictures are to carry away from the song's own sentiment.

Only the targets move. When pictures change, and which passages resemble each other, follows the song as it is.
"""

from dataclasses import dataclass, replace

from services.composer.story.timeline import Point

__all__ = ["Mood"]


@dataclass(frozen=True)
class Mood:
    """A shift on the scale of pictures, [-1, 1] each: below 0 calmer and darker, above it wilder and brighter."""

    arousal: float = 0.0
    valence: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.arousal or self.valence)

    def shift(self, arousal: float, valence: float) -> tuple[float, float]:
        """The target for a sentiment of the song, cut to [-1, 1]; without a mood the sentiment itself."""
        if not self:
            return arousal, valence
        return _cut(arousal + self.arousal), _cut(valence + self.valence)

    def shift_point(self, point: Point) -> Point:
        """A point of the song with its target in place of its sentiment."""
        arousal, valence = self.shift(point.arousal, point.valence)
        return replace(point, arousal=arousal, valence=valence) if self else point


def _cut(value: float) -> float:
    return min(1.0, max(-1.0, value))
