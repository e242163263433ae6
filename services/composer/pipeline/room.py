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
PIECE_BYTES = 12 * 2**20  # of frames that are made in one piece, at most, if they are more than one
CONSUMED = 1  # pieces that were delivered, and of which the last references go when the next is
FILMS = 2  # pieces of film that are made: one that is being delivered, and the next
DELIVERED = {ImageFormat.RAW_RGB: 4, ImageFormat.NONE: 0}  # frames on their way to the caller; 1 if they are encoded
ENCODER_FRAMES, ENCODER_BYTES = 36, 10 * 2**20  # that the encoder of the video holds: of 1.5 bytes a pixel, and others


@dataclass(frozen=True)
class FrameRoom:
    """What one story may hold.

    Attributes:
        batch: pictures per request, at least 1.
        in_flight: requests at a time, at least 1.
        piece: frames that are made at once, of one picture.
        films: pieces that are made and not yet consumed.
        bytes: of all that, with the frames on their way to the caller and the encoder of the video.
    """

    batch: int
    in_flight: int
    piece: int
    films: int
    bytes: int


def plan_room(task: StoryTask, settings: ComposerSettings, allowance: float = math.inf) -> FrameRoom:
    """The room of a story: as much as the settings allow, within what it needs at least and the allowance.

    Args:
        task: the story.
        settings: batch and requests in flight.
        allowance: bytes beyond the least.
    """
    picture_bytes, frame_bytes = (size.byte_count for size in (task.painted_size, task.size))
    piece = max(1, min(task.pace.rest, PIECE_BYTES // frame_bytes))
    fixed = DELIVERED.get(task.plan.image_format, 1) * frame_bytes
    if FileKind.VIDEO in task.plan.files:
        fixed += ENCODER_FRAMES * frame_bytes // 2 + ENCODER_BYTES

    def build(batch: int, in_flight: int, films: int) -> FrameRoom:
        held = batch * in_flight * picture_bytes + (films + CONSUMED) * piece * frame_bytes
        return FrameRoom(batch, in_flight, piece, films, held + fixed)

    batch = min(settings.batch, STYLED_BATCH) if task.plan.is_styled else settings.batch
    most = max(1, min(batch, BATCH_BYTES // picture_bytes))
    rooms = [build(one, settings.batches_in_flight, FILMS) for one in range(most, 0, -1)]
    rooms += [build(1, 1, FILMS), build(1, 1, 1)]
    return next((room for room in rooms if room.bytes <= rooms[-1].bytes + allowance), rooms[-1])
