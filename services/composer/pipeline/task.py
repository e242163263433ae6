"""What the parts of the pipeline have to know of the story that they make."""

from __future__ import annotations

from dataclasses import dataclass

from services.composer.pipeline.capabilities import Capabilities
from services.composer.story.plan import Size, StoryPlan

__all__ = ["StoryTask"]


@dataclass(frozen=True)
class StoryTask:
    """One story to make.

    Attributes:
        plan: what was asked for.
        capabilities: what the services behind can do for it.
        story_id: of the session or the stored story, for logs, the manifest and the generator's queue.
        first_seq: first frame that is wanted; those before it are made only as far as later ones depend on them.
        judge_all: True for stored stories: frames wait for the judge, so that every chosen one is judged (see
            JudgeClient). False judges as many as it keeps up with.
    """

    plan: StoryPlan
    capabilities: Capabilities
    story_id: str
    first_seq: int = 0
    judge_all: bool = False

    @property
    def size(self) -> Size:
        """Of every frame: the one asked for, or the engine's own."""
        return self.plan.size or self.capabilities.native_size
