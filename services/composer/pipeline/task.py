"""What all parts of the pipeline need to know about the story."""

from dataclasses import dataclass

from services.composer.pipeline.capabilities import Capabilities
from services.composer.story.plan import Size, StoryPlan

__all__ = ["StoryTask"]


@dataclass(frozen=True)
class StoryTask:
    """One story to make.

    Attributes:
        plan: what was asked for.
        capabilities: what the other services offer for it.
        story_id: id of the session or stored story; used in logs, in the manifest and in the generator's queue.
        first_seq: first frame wanted; earlier ones are made only if later ones depend on them.
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
        """Size of every frame: the requested one, or the engine's own."""
        return self.plan.size or self.capabilities.native_size
