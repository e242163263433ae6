"""Checks a StoryConfig against the contract and turns it into a StoryPlan, which needs no further checks."""

import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction

from deepsing.rpc.errors import FailedPrecondition, InvalidArgument
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2
from services.composer.session.storyboard import parse_storyboard
from services.composer.story.mood import Mood
from services.composer.story.plan import (
    SHORTEST_SIDE_PX,
    AudioFormat,
    FileKind,
    ImageFormat,
    Resume,
    Size,
    StoryPlan,
)

__all__ = ["FILE_KINDS", "parse_config", "story_digest"]

DEFAULT_RATE = sentiment_pb2.FrameRate(numerator=24, denominator=1)
DEFAULT_STYLE_STRENGTH, DEFAULT_TRUNCATION, DEFAULT_QUALITY = 0.6, 0.35, 90
DEFAULT_MOTION, DEFAULT_REACT = 0.5, 0.6  # "calm", and kicks of some 3 % of zoom: alive, not nervous, by eye
PAINT_RATE = (0, 60)  # pictures a second; no story has more frames
SIDE_PX = (SHORTEST_SIDE_PX, 1920)  # shortest and longest side of a frame
TITLE_LENGTH = 200  # characters, at most
CONFIG_BYTES = 4 * 2**20  # of a whole config; names and a storyboard of the most there may be are less
DIGEST_LENGTH = 64  # characters of a SHA-256
SHORTEST_PART_US = 500_000
MOST_NAMES, NAME_LENGTH = 1024, 200  # of themes, only and without, each; characters of any name
DIGITS = 6  # precision of a float32 of the contract, so that 0.34 is 0.34 again
MODES = {
    pb.SENTIMENT_MODE_UNSPECIFIED: "absolute",
    pb.SENTIMENT_MODE_ABSOLUTE: "absolute",
    pb.SENTIMENT_MODE_RELATIVE: "relative",
    pb.SENTIMENT_MODE_ADAPTIVE: "adaptive",
}
FILE_KINDS = {
    pb.STORY_FILE_KIND_VIDEO: FileKind.VIDEO,
    pb.STORY_FILE_KIND_MANIFEST: FileKind.MANIFEST,
    pb.STORY_FILE_KIND_CONTACT_SHEET: FileKind.CONTACT_SHEET,
    pb.STORY_FILE_KIND_CURVE: FileKind.CURVE,
}
IMAGE_FORMATS = {
    sentiment_pb2.IMAGE_FORMAT_UNSPECIFIED: ImageFormat.JPEG,
    sentiment_pb2.IMAGE_FORMAT_RAW_RGB: ImageFormat.RAW_RGB,
    sentiment_pb2.IMAGE_FORMAT_JPEG: ImageFormat.JPEG,
    sentiment_pb2.IMAGE_FORMAT_PNG: ImageFormat.PNG,
    sentiment_pb2.IMAGE_FORMAT_NONE: ImageFormat.NONE,
}
NAMED = {
    "engine": reasons.ERROR_REASON_ENGINE_UNKNOWN,
    "translator": reasons.ERROR_REASON_TRANSLATOR_UNKNOWN,
    "style": reasons.ERROR_REASON_STYLE_UNKNOWN,
}
SAMPLE_FORMATS = {sentiment_pb2.SAMPLE_FORMAT_S16LE: "s16le", sentiment_pb2.SAMPLE_FORMAT_F32LE: "f32le"}


def parse_config(config: pb.StoryConfig) -> StoryPlan:
    """Checks a config; raises InvalidArgument, or FailedPrecondition, with the rule, the value and the way out."""
    _check_lengths(config)
    live = config.pacing == pb.PACING_LIVE
    _check_enums(config)
    _check_part_and_files(config, live)
    if live and MODES[config.sentiment_mode] == "relative":
        message = "relative sentiment needs the whole song; choose adaptive for live pacing"
        raise InvalidArgument(message, reason=reasons.ERROR_REASON_MODE_NEEDS_WHOLE_SONG, field="sentiment_mode")
    strength_reason, noise_reason = (
        reasons.ERROR_REASON_STYLE_STRENGTH_OUT_OF_RANGE,
        reasons.ERROR_REASON_TRUNCATION_OUT_OF_RANGE,
    )
    motion = config.motion if config.HasField("motion") else DEFAULT_MOTION
    react = config.react if config.HasField("react") else DEFAULT_REACT
    return StoryPlan(
        seed=config.seed,
        rate=_parse_rate(config.frame_rate if config.HasField("frame_rate") else DEFAULT_RATE),
        size=_parse_size(config.size) if config.HasField("size") else None,
        engine=config.engine,
        translator=config.translator,
        style=config.style or "none",
        style_strength=_check_share("style_strength", config.style_strength, strength_reason) or DEFAULT_STYLE_STRENGTH,
        mode=_parse_mode(config.sentiment_mode, live),
        truncation=_check_share("truncation", config.truncation, noise_reason) or DEFAULT_TRUNCATION,
        image_format=IMAGE_FORMATS[config.image_format],
        jpeg_quality=_parse_quality(config.jpeg_quality),
        live=live,
        audio_format=_parse_audio_format(config.audio_format),
        start_us=config.start_us,
        duration_us=config.duration_us,
        files=tuple(FILE_KINDS[kind] for kind in config.files),
        initial_credit=config.initial_credit,
        resume=_parse_resume(config.resume) if config.HasField("resume") else None,
        title=_check_title(config.title),
        send_achieved=config.send_achieved,
        motion=_check_share("motion", motion, reasons.ERROR_REASON_MOTION_OUT_OF_RANGE),
        react=_check_share("react", react, reasons.ERROR_REASON_REACT_OUT_OF_RANGE),
        paint_rate=_parse_paint_rate(config.paint_rate),
        themes=_parse_names("themes", config.themes),
        only=_parse_names("only", config.only),
        without=_parse_names("without", config.without),
        mood=_parse_mood(config.mood),
        storyboard=parse_storyboard(config.storyboard, live=live),
    )


def _check_lengths(config: pb.StoryConfig) -> None:
    """Refuses what is longer than anything that exists, before it is passed on or kept."""
    size = config.ByteSize()
    if size > CONFIG_BYTES:
        message = f"the config has {size} bytes; send at most {CONFIG_BYTES}"
        raise InvalidArgument(message, reason=reasons.ERROR_REASON_MESSAGE_TOO_LARGE, field="config", value=size)
    for field, reason in NAMED.items():
        name = getattr(config, field)
        if len(name) > NAME_LENGTH:
            message = f"{field} has {len(name)} characters; no name has more than {NAME_LENGTH}"
            raise InvalidArgument(message, reason=reason, field=field, value=name)
    for field in ("story_digest", "song_digest"):
        digest = getattr(config.resume, field)
        if len(digest) > DIGEST_LENGTH:
            message = f"resume.{field} has {len(digest)} characters; send the {DIGEST_LENGTH} of SessionStarted"
            reason = reasons.ERROR_REASON_RESUME_MISMATCH
            raise FailedPrecondition(message, reason=reason, field=f"resume.{field}", value=digest)


def _check_title(title: str) -> str:
    if len(title) > TITLE_LENGTH:
        message = f"the title has {len(title)} characters; send at most {TITLE_LENGTH}"
        raise InvalidArgument(message, reason=reasons.ERROR_REASON_TITLE_TOO_LONG, field="title")
    return title


def _parse_names(field: str, names: Sequence[str]) -> tuple[str, ...]:
    """Names of concepts or themes; the engine's are not known yet."""
    reason = reasons.ERROR_REASON_SELECTION_TOO_LONG
    if len(names) > MOST_NAMES:
        message = f"{field} has {len(names)} names; list at most {MOST_NAMES}"
        raise InvalidArgument(message, reason=reason, field=field, value=len(names))
    longest = max(map(len, names), default=0)
    if longest > NAME_LENGTH:
        message = f"a name in {field} has {longest} characters; send at most {NAME_LENGTH}"
        raise InvalidArgument(message, reason=reason, field=field, value=longest)
    return tuple(names)


def _parse_mood(mood: pb.Mood) -> Mood:
    for axis, value in (("arousal", mood.arousal), ("valence", mood.valence)):
        if not (math.isfinite(value) and -1 <= value <= 1):
            message, reason = f"mood.{axis} is {value:g}; choose -1 to 1", reasons.ERROR_REASON_MOOD_OUT_OF_RANGE
            raise InvalidArgument(message, reason=reason, field=f"mood.{axis}", value=value)
    return Mood(round(mood.arousal, DIGITS) + 0.0, round(mood.valence, DIGITS) + 0.0)  # + 0.0: never -0.0


def _parse_paint_rate(rate: float) -> float:
    if not (math.isfinite(rate) and PAINT_RATE[0] <= rate <= PAINT_RATE[1]):
        message = f"paint rate is {rate:g}; choose {PAINT_RATE[0]} to {PAINT_RATE[1]}"
        reason = reasons.ERROR_REASON_PAINT_RATE_OUT_OF_RANGE
        raise InvalidArgument(message, reason=reason, field="paint_rate", value=rate)
    return rate


def _parse_mode(mode: pb.SentimentMode.ValueType, live: bool) -> str:
    """The mode's name. Unspecified is absolute, or adaptive for live pacing, where the rest of the song is unknown."""
    return "adaptive" if live and mode == pb.SENTIMENT_MODE_UNSPECIFIED else MODES[mode]


def story_digest(config: pb.StoryConfig, digests: dict[str, str], paint_rate: float) -> str:
    """Hash of all that decides a story's frames except its song: the config, all models, and the rate of painting.

    Fields that only decide what else is sent (files, credit, title …) are left out.
    """
    deciding = pb.StoryConfig()
    deciding.CopyFrom(config)
    for field in ("files", "initial_credit", "resume", "title", "send_achieved"):
        deciding.ClearField(field)
    hashed = hashlib.sha256(deciding.SerializeToString(deterministic=True))
    hashed.update(repr(sorted(digests.items())).encode())
    if paint_rate:
        hashed.update(f"paint_rate {paint_rate:g}".encode())
    if paint_rate and not config.paint_rate and config.pacing != pb.PACING_LIVE:
        hashed.update(b"rests")  # earlier releases painted as many while one picture is shown
    if config.start_us or config.duration_us:
        hashed.update(b"as in the whole song")  # earlier releases planned a part by itself
    return hashed.hexdigest()


def _check_enums(config: pb.StoryConfig) -> None:
    known = (
        ("sentiment_mode", config.sentiment_mode, pb.SentimentMode),
        ("image_format", config.image_format, sentiment_pb2.ImageFormat),
        ("pacing", config.pacing, pb.Pacing),
        ("sample_format", config.audio_format.sample_format, sentiment_pb2.SampleFormat),
        *(("files", kind, pb.StoryFileKind) for kind in config.files),
    )
    for field, value, kinds in known:
        if value not in kinds.values() or (field == "files" and value == pb.STORY_FILE_KIND_UNSPECIFIED):
            message = f"{field} is {value}; choose one that the contract lists"
            raise InvalidArgument(message, reason=reasons.ERROR_REASON_ENUM_UNKNOWN, field=field, value=value)


def _check_part(config: pb.StoryConfig) -> None:
    reason = reasons.ERROR_REASON_PART_OUT_OF_RANGE
    if config.start_us < 0:
        message = f"the part starts at {config.start_us / 1e6:g} s; choose 0 or later"
        raise InvalidArgument(message, reason=reason, field="start_us", value=config.start_us)
    if config.duration_us != 0 and config.duration_us < SHORTEST_PART_US:
        message = f"the part is {config.duration_us / 1e6:g} s long; choose at least 0.5 s, or 0 for all of it"
        raise InvalidArgument(message, reason=reason, field="duration_us", value=config.duration_us)


def _check_part_and_files(config: pb.StoryConfig, live: bool) -> None:
    _check_part(config)
    reason = reasons.ERROR_REASON_FILES_INVALID
    if live and config.files:
        raise InvalidArgument("live stories leave no files; ask for none", reason=reason, field="files")
    if len(set(config.files)) < len(config.files):
        twice = next(kind for kind in config.files if list(config.files).count(kind) > 1)
        message = f"files lists {pb.StoryFileKind.Name(twice)} twice; list each once"
        raise InvalidArgument(message, reason=reason, field="files", value=twice)


def _parse_rate(rate: sentiment_pb2.FrameRate) -> Fraction:
    within = 1 <= rate.numerator <= 60_000 and 1 <= rate.denominator <= 1001
    if not within or not 1 <= Fraction(rate.numerator, rate.denominator) <= 60:
        shown = f"{rate.numerator}/{rate.denominator}" if rate.denominator != 1 else f"{rate.numerator}"
        reason = reasons.ERROR_REASON_FRAME_RATE_OUT_OF_RANGE
        raise InvalidArgument(f"frame rate is {shown}; choose 1 to 60", reason=reason, field="frame_rate", value=shown)
    return Fraction(rate.numerator, rate.denominator)


def _parse_size(size: sentiment_pb2.Size) -> Size:
    if any(side % 2 or not SIDE_PX[0] <= side <= SIDE_PX[1] for side in (size.width_px, size.height_px)):
        shown = f"{size.width_px}x{size.height_px}"
        message = f"size is {shown}; choose even sides from {SIDE_PX[0]} to {SIDE_PX[1]}"
        raise InvalidArgument(message, reason=reasons.ERROR_REASON_SIZE_OUT_OF_RANGE, field="size", value=shown)
    return Size(size.width_px, size.height_px)


def _check_share(field: str, value: float, reason: reasons.ErrorReason.ValueType) -> float:
    if not (math.isfinite(value) and 0 <= value <= 1):
        message = f"{field.replace('_', ' ')} is {value:g}; choose 0 to 1"
        raise InvalidArgument(message, reason=reason, field=field, value=value)
    return value


def _parse_quality(quality: int) -> int:
    if quality > 100:
        reason = reasons.ERROR_REASON_QUALITY_OUT_OF_RANGE
        raise InvalidArgument(
            f"JPEG quality is {quality}; choose 1 to 100", reason=reason, field="jpeg_quality", value=quality
        )
    return quality or DEFAULT_QUALITY


def _parse_audio_format(form: sentiment_pb2.AudioFormat) -> AudioFormat | None:
    reason = reasons.ERROR_REASON_AUDIO_FORMAT_INVALID
    if form.sample_format == sentiment_pb2.SAMPLE_FORMAT_UNSPECIFIED:
        return None
    if not 8000 <= form.sample_rate_hz <= 192_000:
        message = f"sample rate is {form.sample_rate_hz} Hz; choose 8000 to 192000"
        raise InvalidArgument(message, reason=reason, field="audio_format.sample_rate_hz", value=form.sample_rate_hz)
    if not 1 <= form.channel_count <= 8:
        message = f"channel count is {form.channel_count}; choose 1 to 8"
        raise InvalidArgument(message, reason=reason, field="audio_format.channel_count", value=form.channel_count)
    return AudioFormat(SAMPLE_FORMATS[form.sample_format], form.sample_rate_hz, form.channel_count)


def _parse_resume(point: pb.ResumePoint) -> Resume:
    return Resume(point.next_seq, point.story_digest, point.song_digest)
