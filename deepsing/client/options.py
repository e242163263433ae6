"""The options of a story."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeVar

from deepsing.client.errors import Refused
from deepsing.client.mood import Moods, parse_mood
from deepsing.client.storyboard import StoryboardKey
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import sentiment_pb2

__all__ = ["PURPOSES", "StoryOptions", "Mode", "Images", "File", "parse_frame_rate", "parse_size"]

Mode = Literal["absolute", "relative", "adaptive"]
Images = Literal["jpeg", "png", "raw", "none"]
File = Literal["video", "manifest", "contact-sheet", "curve"]

MODES: Mapping[str, pb.SentimentMode.ValueType] = {
    "absolute": pb.SENTIMENT_MODE_ABSOLUTE,
    "relative": pb.SENTIMENT_MODE_RELATIVE,
    "adaptive": pb.SENTIMENT_MODE_ADAPTIVE,
}
IMAGES: Mapping[str, sentiment_pb2.ImageFormat.ValueType] = {
    "jpeg": sentiment_pb2.IMAGE_FORMAT_JPEG,
    "png": sentiment_pb2.IMAGE_FORMAT_PNG,
    "raw": sentiment_pb2.IMAGE_FORMAT_RAW_RGB,
    "none": sentiment_pb2.IMAGE_FORMAT_NONE,
}
MOTIONS: Mapping[str, float] = {"still": 0.0, "calm": 0.5, "lively": 1.0}
FILES: Mapping[str, pb.StoryFileKind.ValueType] = {
    "video": pb.STORY_FILE_KIND_VIDEO,
    "manifest": pb.STORY_FILE_KIND_MANIFEST,
    "contact-sheet": pb.STORY_FILE_KIND_CONTACT_SHEET,
    "curve": pb.STORY_FILE_KIND_CURVE,
}
Number = TypeVar("Number", bound=int)
MAX_SEED = 2**64 - 1
MAX_MICROSECONDS = 2**63 - 1
LONGEST_S = 2**62 / 1e6  # safely within these
SHORT_SIDE_PX = 512  # of a size given as a shape; the side of the built-in engine
MAX_DENOMINATOR = 1001  # of the contract's FrameRate; NTSC's
NTSC_TOLERANCE_HZ = 0.005  # so that 23.98, 29.97 and 59.94 are taken as n * 1000 / 1001
NTSC_BASES = (24, 30, 48, 60)
RATES = "1 to 60, for example 24, 23.976 or 30000/1001"
# What platforms show, as they advise it: posts, videos, and clips held upright; a canvas loops beside a song.
PURPOSES = {"square": (1080, 1080), "youtube": (1920, 1080), "reel": (1080, 1920), "canvas": (720, 1280)}
SIZES = f"even sides from 64 to 1920, for example 512x288, a shape such as 16:9, or one of: {', '.join(PURPOSES)}"


@dataclass(frozen=True)
class StoryOptions:
    """Options of a story. The composer checks what is not checked here; each error names the rule."""

    seed: int = 0  # decides every random choice, 0 to 2**64 - 1
    fps: str | float | Fraction | None = None  # frames a second, 1 to 60; None is the composer's: 24
    size: str | tuple[int, int] | None = None  # (width, height), "512x288", "16:9", "reel"; None is the engine's
    engine: str = ""  # generator; empty is the default
    translator: str = ""  # empty is the default
    style: str = "none"  # "none", "auto" (styles follow the sentiment) or a style's name
    style_strength: float | None = None  # share of the style, [0, 1]; None is the composer's, 0 is no style
    truncation: float | None = None  # how far noise moves a picture, (0, 1]; None is the composer's
    motion: str | float | None = None  # of the camera: "still", "calm", "lively" or [0, 1]; None is calm
    react: float | None = None  # how strongly the camera answers onsets and beats, [0, 1]; None is the composer's: 0.6
    themes: Sequence[str] = ()  # show concepts of these themes only, such as "sea"; see ListConcepts
    only: Sequence[str] = ()  # show only these concepts or themes; with `themes`: what either names
    without: Sequence[str] = ()  # concepts or themes that are not shown
    mood: Moods = ()  # "darker", "brighter", "calmer", "wilder", "darker=0.3" …; or the shift (arousal, valence)
    paint_rate: float | None = None  # pictures painted a second, (0, 60], others are blended; None is the engine's
    mode: Mode | None = None  # scale of the sentiment; None is absolute, or adaptive for a live story
    images: Images = "jpeg"  # format of the frames that are returned
    jpeg_quality: int | None = None  # 1 to 100; None is the composer's
    start_s: float = 0.0  # part of the song: where it begins, >= 0
    duration_s: float | None = None  # part of the song: how long it is, >= 0.5; None is to the end
    title: str = ""  # in the manifest and the video's tags, at most 200 characters
    live: bool = False  # keeps pace with the audio as it comes; late frames are dropped and reported
    audio_format: sentiment_pb2.AudioFormat | None = None  # of raw samples; None is an encoded file
    files: tuple[File, ...] = ()  # finished files to return beside the frames
    achieved: bool = False  # send an AchievedPoint for every frame that the judge rates
    storyboard: Sequence[StoryboardKey] = ()  # all keys of the story, in order of time; empty leaves them to the story

    def to_config(self) -> pb.StoryConfig:
        """Returns the contract's message for these options.

        Raises:
            Refused: a value does not fit the message, or is not one of its choices.
        """
        plain = self.style_strength == 0  # 0 means the default in the contract
        config = pb.StoryConfig(
            seed=_check_range(self.seed, MAX_SEED, "seed"),
            engine=self.engine,
            translator=self.translator,
            style="none" if plain else self.style,
            style_strength=self.style_strength or 0.0,
            truncation=_check_truncation(self.truncation),
            motion=_parse_motion(self.motion),
            react=self.react,
            paint_rate=self.paint_rate or 0.0,
            themes=_list_names(self.themes),
            only=_list_names(self.only),
            without=_list_names(self.without),
            mood=parse_mood(self.mood),
            sentiment_mode=_parse_choice(self.mode or ("adaptive" if self.live else "absolute"), MODES, "mode"),
            image_format=_parse_choice(self.images, IMAGES, "images"),
            jpeg_quality=_check_range(self.jpeg_quality or 0, 2**32 - 1, "jpeg_quality"),
            pacing=pb.PACING_LIVE if self.live else pb.PACING_OFFLINE,
            audio_format=self.audio_format,
            start_us=_to_microseconds(self.start_s, "start"),
            duration_us=0 if self.duration_s is None else _to_microseconds(self.duration_s, "duration", 1),
            files=[_parse_choice(file, FILES, "files") for file in self.files],
            title=_replace_unencodable(self.title),
            send_achieved=self.achieved,
            storyboard=[key.to_message() for key in self.storyboard],
        )
        if self.fps is not None:
            config.frame_rate.CopyFrom(parse_frame_rate(self.fps))
        if self.size is not None:
            config.size.CopyFrom(parse_size(self.size))
        return config


def parse_frame_rate(wanted: str | float | Fraction) -> sentiment_pb2.FrameRate:
    """Reads a frame rate; a rounded NTSC rate (23.976, 29.97, 59.94) becomes the exact one.

    Args:
        wanted: frames a second, 1 to 60: a number or text such as "24", "23.976" or "30000/1001".

    Raises:
        Refused: FRAME_RATE_OUT_OF_RANGE.
    """
    try:
        rate = Fraction(wanted if isinstance(wanted, Fraction) else str(wanted).strip())
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 1 <= rate <= 60:
        raise _build_refusal("frame rate", "FRAME_RATE_OUT_OF_RANGE", "frame_rate", str(wanted), RATES)
    for base in NTSC_BASES:
        exact = Fraction(base * 1000, MAX_DENOMINATOR)
        if abs(rate - exact) < NTSC_TOLERANCE_HZ:
            rate = exact
    rate = rate.limit_denominator(MAX_DENOMINATOR)
    return sentiment_pb2.FrameRate(numerator=rate.numerator, denominator=rate.denominator)


def parse_size(wanted: str | tuple[int, int]) -> sentiment_pb2.Size:
    """Reads a size of pictures.

    Args:
        wanted: (width, height) in pixels, "512x288", one of PURPOSES, or a shape such as "16:9", whose short side
            becomes SHORT_SIDE_PX and whose long side the nearest even number (16:9 is 910 x 512).

    Raises:
        Refused: SIZE_OUT_OF_RANGE.
    """
    text = "x".join(map(str, wanted)) if isinstance(wanted, tuple) else wanted.strip().lower()
    pixels = re.fullmatch(r"(\d{1,5})\s*[x×]\s*(\d{1,5})", text)
    shape = re.fullmatch(r"(\d{1,3}(?:\.\d+)?):(\d{1,3}(?:\.\d+)?)", text)
    width, height = PURPOSES.get(text, (0, 0))
    if pixels:
        width, height = int(pixels[1]), int(pixels[2])
    elif shape and min(across := float(shape[1]), down := float(shape[2])) > 0:
        width, height = _side_px(across / min(across, down)), _side_px(down / min(across, down))
    if not all(64 <= side <= 1920 and side % 2 == 0 for side in (width, height)):
        raise _build_refusal("size", "SIZE_OUT_OF_RANGE", "size", text, SIZES)
    return sentiment_pb2.Size(width_px=width, height_px=height)


def _side_px(ratio: float) -> int:
    return 2 * math.floor(SHORT_SIDE_PX * ratio / 2 + 0.5)


def _build_refusal(name: str, reason: str, field: str, value: str, choice: str) -> Refused:
    return Refused(
        f"{name} is {value!r}; choose {choice}", reason=reason, metadata={"field": field, "value": value[:200]}
    )


def _check_range(value: int, most: int, field: str) -> int:
    if not 0 <= value <= most:
        raise Refused(f"{field} is {value}; choose 0 to {most}", metadata={"field": field, "value": str(value)})
    return value


def _check_truncation(truncation: float | None) -> float:
    """The contract's 0 means its default, so that a 0 which is asked for cannot be sent."""
    if truncation == 0:
        raise Refused(
            "truncation is 0; choose a number above 0, at most 1, such as 0.01",
            reason="TRUNCATION_OUT_OF_RANGE",
            metadata={"field": "truncation", "value": "0"},
        )
    return truncation or 0.0


def _parse_motion(motion: str | float | None) -> float | None:
    """A name or a number, also as text; the composer checks its range."""
    if motion is None or motion in MOTIONS:
        return None if motion is None else MOTIONS[str(motion)]
    try:
        return float(motion)
    except ValueError:
        choice = f"{', '.join(MOTIONS)} or a number from 0 to 1"
        raise _build_refusal("motion", "MOTION_OUT_OF_RANGE", "motion", str(motion), choice) from None


def _list_names(names: Sequence[str]) -> list[str]:
    """Names of concepts or themes; a single text is one name. The composer knows which there are."""
    return [_replace_unencodable(name.strip()) for name in ([names] if isinstance(names, str) else names)]


def _parse_choice(name: str, choices: Mapping[str, Number], field: str) -> Number:
    if name not in choices:
        message = f"{field} is {name!r}; choose one of: {', '.join(choices)}"
        raise Refused(message, reason="ENUM_UNKNOWN", metadata={"field": field, "value": name})
    return choices[name]


def _to_microseconds(seconds: float, field: str, least: int = 0) -> int:
    microseconds = round(seconds * 1e6) if 0 <= seconds <= LONGEST_S else -1  # checked before it is scaled
    if not least <= microseconds <= MAX_MICROSECONDS:
        message = f"{field} is {seconds} s; choose a part that lies within the song, at least 0.5 s long"
        raise Refused(message, reason="PART_OUT_OF_RANGE", metadata={"field": f"{field}_us", "value": str(seconds)})
    return microseconds


def _replace_unencodable(text: str) -> str:
    """Replaces what is not UTF-8: a title may come from the name of a file."""
    return text.encode("utf-8", "replace").decode()
