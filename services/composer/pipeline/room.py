"""How many pictures and frames of one story are held at a time, so that those of all stories fit into memory."""

import math
from dataclasses import dataclass

from services.composer.backends.client import BATCH_BYTES
from services.composer.pipeline.task import StoryTask
from services.composer.settings import ComposerSettings
from services.composer.story.plan import FileKind, ImageFormat

__all__ = ["STYLED_BATCH", "FrameRoom", "plan_room"]

# Pictures with style per request: one takes up to a second on a busy processor, the requests in flight wait for each
# other, and each has the composer's `call_timeout_s`.
STYLED_BATCH = 4
FILM_BYTES = 64 * 2**20  # of the frames of one batch, at most, if it has more than one picture
CONSUMED = 1  # batches that were delivered, and of which the last references go when the next is
FILMS = 2  # batches whose frames are made: one that is being delivered, and the next
DELIVERED = {ImageFormat.RAW_RGB: 4, ImageFormat.NONE: 0}  # frames on their way to the caller; 1 if they are encoded
ENCODER_FRAMES, ENCODER_BYTES = 50, 10 * 2**20  # that the encoder of the video holds: of 1.5 bytes a pixel, and others


@dataclass(frozen=True)
class FrameRoom:
    """What one story may hold.

    Attributes:
        batch: pictures per request, at least 1.
        in_flight: requests at a time, at least 1.
        films: batches whose frames are made and not yet consumed.
        bytes: of all that, with the frames on their way to the caller and the encoder of the video.
    """

    batch: int
    in_flight: int
    films: int
    bytes: int


def plan_room(task: StoryTask, settings: ComposerSettings, allowance: float = math.inf) -> FrameRoom:
    """The room of a story: as much as the settings and the allowance allow, but at least that of one picture.

    Args:
        task: the story.
        settings: batch and requests in flight.
        allowance: bytes.
    """
    picture_bytes, frame_bytes = (size.byte_count for size in (task.painted_size, task.size))
    film_bytes = frame_bytes * task.pace.rest
    fixed = DELIVERED.get(task.plan.image_format, 1) * frame_bytes
    if FileKind.VIDEO in task.plan.files:
        fixed += ENCODER_FRAMES * frame_bytes // 2 + ENCODER_BYTES

    def build(batch: int, in_flight: int, films: int) -> FrameRoom:
        held = batch * (in_flight * picture_bytes + (films + CONSUMED) * film_bytes)
        return FrameRoom(batch, in_flight, films, held + fixed)

    batch = min(settings.batch, STYLED_BATCH) if task.plan.is_styled else settings.batch
    most = max(1, min(batch, BATCH_BYTES // picture_bytes, FILM_BYTES // film_bytes))
    in_flight = settings.batches_in_flight
    rooms = [build(one, in_flight, FILMS) for one in range(most, 0, -1)] + [build(1, 1, FILMS), build(1, 1, 1)]
    return next((room for room in rooms if room.bytes <= allowance), rooms[-1])
