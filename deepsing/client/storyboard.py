"""Storyboards: the keys of a story, as an application writes them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from deepsing.client.errors import Refused
from deepsing.v1 import composer_pb2 as pb

__all__ = ["StoryboardKey"]

LONGEST_S = 2**63 / 1e6  # the contract's int64 of microseconds


@dataclass(frozen=True)
class StoryboardKey:
    """A picture of the story; see StoryboardKey in the contract, which the composer checks."""

    time_s: float  # of the whole song, when the picture has changed to this one
    concepts: Mapping[str, float] = field(default_factory=dict)  # one or two names with their shares
    style: str = ""  # "none", a style's name, or empty for the story's
    motion: float | None = None  # of the camera from here on, [0, 1]; None is the story's
    locked: bool = True  # False: the story chooses what is shown at this time

    @classmethod
    def from_message(cls, key: pb.StoryboardKey) -> "StoryboardKey":
        """The key of a message, for example of PlanStoryResponse."""
        concepts = {one.name: one.weight for one in key.concepts}
        motion = key.motion if key.HasField("motion") else None
        return cls(key.time_us / 1e6, concepts, key.style, motion, key.locked)

    def to_message(self) -> pb.StoryboardKey:
        """The contract's message; raises Refused if the time does not fit it."""
        if not (math.isfinite(self.time_s) and abs(self.time_s) < LONGEST_S):
            message = f"a key of the storyboard is at {self.time_s} s; choose a time within the song"
            raise Refused(message, reason="STORYBOARD_INVALID", metadata={"field": "storyboard"})
        concepts = [pb.NamedWeight(name=name, weight=share) for name, share in self.concepts.items()]
        time_us = round(self.time_s * 1e6)
        return pb.StoryboardKey(
            time_us=time_us, concepts=concepts, style=self.style, motion=self.motion, locked=self.locked
        )
