"""One PlanStory call: receives config and song, and answers with the keys of the story."""

import dataclasses
from collections.abc import AsyncIterator
from itertools import pairwise

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2
from services.composer.backends.client import Backends
from services.composer.pipeline.capabilities import Capabilities
from services.composer.pipeline.planning import PlannedKey, StoryPlanner
from services.composer.pipeline.task import StoryTask
from services.composer.session.config import parse_config
from services.composer.session.messages import build_song_facts
from services.composer.session.receive import receive_config, receive_song
from services.composer.session.storyboard import build_storyboard_key
from services.composer.settings import ComposerSettings
from services.composer.story.plan import StoryPlan
from services.composer.upload.resources import Resources

__all__ = ["plan_story"]

LONG_HOLD_S = 20.0  # from one key to the next; without a storyboard, eleven seconds are the longest


async def plan_story(
    requests: AsyncIterator[pb.PlanStoryRequest],
    settings: ComposerSettings,
    backends: Backends,
    resources: Resources,
    story_id: str,
) -> pb.PlanStoryResponse:
    """Answers one call.

    Args:
        requests: config, then the song.
        settings: limits and timeouts.
        backends: the other services.
        resources: of this composer; the song lies there while the call lasts.
        story_id: for logs, and for the generator's queue.

    Raises:
        ServiceError: see the contract.
    """
    incoming = aiter(requests)
    plan = _plan_whole(parse_config(await receive_config(incoming, settings.upload_stall_s)))
    with resources.open_song() as song_file:
        await receive_song(incoming, song_file, settings.upload_stall_s)
        capabilities = await Capabilities.fetch(plan, backends)
        planner = StoryPlanner(StoryTask(plan, capabilities, story_id), song_file, backends)
        keys = await planner.plan()
    return pb.PlanStoryResponse(
        song=build_song_facts(planner.song) if planner.song else None,
        keys=map(_build_planned_key, keys),
        warnings=_list_warnings(keys),
        digests=capabilities.digests,
    )


def _plan_whole(plan: StoryPlan) -> StoryPlan:
    """The plan of the whole song. Raises InvalidArgument STORYBOARD_INVALID for live pacing."""
    if plan.live:
        message = "a story is planned from the whole song; leave live pacing out"
        raise InvalidArgument(message, reason=reasons.ERROR_REASON_STORYBOARD_INVALID, field="pacing")
    return dataclasses.replace(plan, start_us=0, duration_us=0)


def _build_planned_key(key: PlannedKey) -> pb.PlannedKey:
    target, expected = (
        sentiment_pb2.Sentiment(arousal=arousal, valence=valence) for arousal, valence in (key.target, key.expected)
    )
    return pb.PlannedKey(key=build_storyboard_key(key.written), target=target, expected=expected, image=key.image)


def _list_warnings(keys: list[PlannedKey]) -> list[str]:
    """At most one sentence on pictures that are held for long."""
    spans = [(after.written.time_s - one.written.time_s, one.written.time_s) for one, after in pairwise(keys)]
    longest_s, at_s = max(spans, default=(0.0, 0.0))
    if longest_s <= LONG_HOLD_S:
        return []
    count = sum(span_s > LONG_HOLD_S for span_s, _ in spans)
    return [f"{count} keys are held for more than {LONG_HOLD_S:g} s, the one at {at_s:.3f} s for {longest_s:.0f} s"]
