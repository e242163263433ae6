"""The measures of one story, from its events: sentiments asked for and shown, variety, and how smoothly it moves."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deepsing.client.session import Event
from deepsing.client.story import achievement_facts, agreement_facts
from deepsing.v1.composer_pb2 import AchievedPoint, Frame, SessionEnd

__all__ = ["Figures"]


@dataclass
class Figures:
    """The measures of one story; frames are raw RGB, all of one size.

    Attributes:
        targets: per frame, the (arousal, valence) asked for.
        rated: per frame, people's rating of its mixture of concepts.
        read: per judgement, the target and the judgement: four numbers.
    """

    song: str
    translator: str
    targets: list[tuple[float, float]] = field(default_factory=list)
    rated: list[tuple[float, float]] = field(default_factory=list)
    read: list[tuple[float, float, float, float]] = field(default_factory=list)
    rated_and_read: list[tuple[float, float, float, float]] = field(default_factory=list)
    end: SessionEnd = field(default_factory=SessionEnd)
    _steps: list[tuple[float, float, float]] = field(default_factory=list)  # latent, pixels, light
    _shown: set[str] = field(default_factory=set)
    _last: tuple[dict[str, float], NDArray[np.uint8]] | None = None

    def take(self, event: Event) -> None:
        """Adds an event."""
        match event:
            case Frame():
                self._take_frame(event)
            case AchievedPoint():
                target, rated, read = event.target, event.expected, event.achieved
                self.read.append((target.arousal, target.valence, read.arousal, read.valence))
                self.rated_and_read.append((rated.arousal, rated.valence, read.arousal, read.valence))
            case SessionEnd():
                self.end = event

    def _take_frame(self, frame: Frame) -> None:
        self.targets.append((frame.target.arousal, frame.target.valence))
        self.rated.append((frame.expected.arousal, frame.expected.valence))
        weights = {concept.name: concept.weight for concept in frame.concepts}
        picture = np.frombuffer(frame.image, np.uint8)
        if frame.concepts:
            self._shown.add(frame.concepts[0].name)
        if self._last is not None:
            before, earlier = self._last
            names = weights.keys() | before.keys()
            moved = sum(abs(weights.get(name, 0.0) - before.get(name, 0.0)) for name in names) / 2
            apart = picture.astype(np.int16) - earlier
            self._steps.append((moved, float(np.abs(apart).mean()) / 255, abs(float(apart.mean())) / 255))
        self._last = weights, picture

    def facts(self) -> dict[str, object]:
        """All measures as plain values; steps are from one frame to the next, so they depend on the frame rate."""
        end, seconds = self.end, self.end.duration_us / 1e6
        steps = np.array(self._steps) if self._steps else np.zeros((1, 3))
        return {
            "song": self.song,
            "translator": self.translator,
            "duration_s": round(seconds, 3),
            "by_judge": achievement_facts(end.achieved) if end.HasField("achieved") else None,
            "by_people": {"arousal": agreement_facts(end.arousal), "valence": agreement_facts(end.valence)},
            "concepts": len(self._shown),
            "concepts_per_minute": round(len(self._shown) * 60 / seconds, 2) if seconds else 0.0,
            **{
                name: {"mean": round(float(column.mean()), 4), "max": round(float(column.max()), 4)}
                for name, column in zip(("latent_step", "pixel_step", "light_step"), steps.T, strict=True)
            },
            "flashes_per_second": end.flashes_per_second,
            "warnings": [*(warning.message for warning in end.song.warnings), *end.warnings],
        }
