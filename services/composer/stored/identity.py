"""Decides when two stories are the same: equal audio samples, config and models."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from deepsing.audio import AudioError, decode_blocks
from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2
from services.composer.backends.client import Backends
from services.composer.output.files import wrap_source
from services.composer.pipeline.capabilities import Capabilities
from services.composer.session.config import FILE_KINDS
from services.composer.session.messages import convert_audio_error
from services.composer.story.plan import StoryPlan

__all__ = ["normalize_config", "compute_pcm_digest", "compute_content_digest"]


def normalize_config(config: pb.StoryConfig) -> pb.StoryConfig:
    """A caller's config without the fields that do not apply to stored stories, and with all files requested."""
    normalized = pb.StoryConfig()
    normalized.CopyFrom(config)
    for field in ("jpeg_quality", "initial_credit", "resume", "send_achieved"):
        normalized.ClearField(field)
    normalized.image_format = sentiment_pb2.IMAGE_FORMAT_NONE
    normalized.files[:] = list(FILE_KINDS)
    return normalized


def compute_pcm_digest(song: Path, plan: StoryPlan, pause: Callable[[], None] = lambda: None) -> str:
    """SHA-256 of a song's decoded samples, sample rate and channel count; blocks. Raises InvalidArgument.

    Args:
        song: its file.
        plan: of its story.
        pause: see `decode_blocks`.
    """
    hashed = hashlib.sha256()
    try:
        with (
            song.open("rb") as file,
            decode_blocks(wrap_source(file, plan.audio_format), mono=False, pause=pause) as decoding,
        ):
            for block in decoding:
                hashed.update(block.tobytes())
            hashed.update(f"{decoding.sample_rate_hz} {block.shape[0]}".encode())
            duration_us = decoding.facts.duration_us
    except AudioError as error:
        raise convert_audio_error(error) from error
    if plan.start_us >= duration_us:
        message = f"the part starts at {plan.start_us / 1e6:g} s but the song ends at {duration_us / 1e6:.3f} s"
        reason = reasons.ERROR_REASON_PART_OUT_OF_RANGE
        raise InvalidArgument(f"{message}; start earlier", reason=reason, field="start_us", value=plan.start_us)
    return hashed.hexdigest()


async def compute_content_digest(config: pb.StoryConfig, plan: StoryPlan, pcm: str, backends: Backends) -> str:
    """Hash of all that decides a story: samples, config without the audio format, models, and rate of painting."""
    capabilities = await Capabilities.fetch(plan, backends)
    deciding = pb.StoryConfig()
    deciding.CopyFrom(config)
    deciding.ClearField("audio_format")
    models = sorted(capabilities.digests.items())
    rest = f"{pcm} {models} {capabilities.paint_rate:g}"
    return hashlib.sha256(deciding.SerializeToString(deterministic=True) + rest.encode()).hexdigest()
