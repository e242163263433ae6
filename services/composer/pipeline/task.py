"""What all parts of the pipeline need to know about the story."""

from dataclasses import dataclass

from services.composer.film.pace import Pace
from services.composer.pipeline.capabilities import Capabilities
from services.composer.story.plan import SHORTEST_SIDE_PX, Size, StoryPlan

__all__ = ["StoryTask"]

STYLED = 0.75  # of the size; strokes of a style are as fine as people see, in little more than half the time
MOST_ENLARGED = 1.5  # times, beyond which people see that a picture is soft


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

    @property
    def painted_size(self) -> Size:
        """Size in which pictures are painted: a frame's, or smaller in its shape if the engine's pictures are.

        With style it is STYLED of that. The film enlarges them, once each: less is sent, and the generator has less to
        do.
        """
        native, shown = self.capabilities.native_size, self.size
        fits = min(1.0, native.width_px / shown.width_px, native.height_px / shown.height_px)
        fits *= STYLED if self.plan.is_styled else 1.0
        scale = min(1.0, max(fits, SHORTEST_SIDE_PX / min(shown.width_px, shown.height_px)))
        return Size(*(2 * round(scale * side / 2) for side in (shown.width_px, shown.height_px)))

    @property
    def pace(self) -> Pace:
        """How far apart painted pictures are. Live, a block is not waited for; what callers ask for, they get."""
        rests = not self.plan.live and not self.plan.paint_rate
        return Pace.choose(self.plan.rate, self.capabilities.paint_rate, rests=rests)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the caller should know of what was asked for, one English sentence each."""
        shown, painted = self.size, self.painted_size
        times = shown.width_px / painted.width_px
        if times <= MOST_ENLARGED:
            return ()
        return (
            f"pictures are enlarged {times:.1f} times, from {painted} px to {shown} px; a smaller size is as sharp",
        )
