"""Has the generator paint points of latent space: the one request of films and of plans."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from deepsing.access.accounts import charge, charge_unfinished
from deepsing.v1 import generator_pb2, sentiment_pb2
from services.composer.backends.client import Backends
from services.composer.pipeline.task import StoryTask
from services.composer.story.latents import FrameLatent
from services.composer.story.plan import Size

__all__ = ["build_picture_request", "paint_pictures"]


def build_picture_request(
    task: StoryTask, latents: Sequence[FrameLatent], size: Size, **options: Any
) -> generator_pb2.GenerateRequest:
    """The request for pictures of a story.

    Args:
        task: the story.
        latents: of the pictures, at least one.
        size: of each.
        options: further fields of the request: format and urgency.
    """
    return generator_pb2.GenerateRequest(
        engine=task.plan.engine,
        frame_count=len(latents),
        # protobuf copies a list five times as fast as an array.
        class_weights=np.concatenate([latent.classes for latent in latents]).tolist(),
        noise=np.concatenate([latent.noise for latent in latents]).tolist(),
        truncation=task.plan.truncation,
        style_weights=np.concatenate([latent.style for latent in latents]).tolist(),
        size=sentiment_pb2.Size(width_px=size.width_px, height_px=size.height_px),
        session_id=task.story_id,
        **options,
    )


async def paint_pictures(
    task: StoryTask, backends: Backends, request: generator_pb2.GenerateRequest
) -> generator_pb2.GenerateResponse:
    """Has a batch painted, by the engine that the story began with, and charges the caller for it."""

    def fits(answer: generator_pb2.GenerateResponse) -> bool:
        return answer.engine_digest == task.capabilities.digests["engine"]  # during a roll-out, replicas differ

    began = time.monotonic()
    try:
        answer: generator_pb2.GenerateResponse = await backends.call(
            backends.generator.Generate, request, "generator", fits
        )
    except asyncio.CancelledError:  # the device may have worked on it all the same; how long, nobody says any more
        usual_s = backends.pace.frame_us * request.frame_count / 1e6
        charge_unfinished(min(usual_s, time.monotonic() - began))
        raise
    charge(answer.compute_us / 1e6)
    return answer
