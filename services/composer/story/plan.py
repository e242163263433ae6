"""What a story is asked to be, in plain values: `session/config.py` makes it of a StoryConfig that it has checked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

__all__ = ["AudioFormat", "FileKind", "ImageFormat", "Resume", "Size", "StoryPlan"]


class FileKind(StrEnum):
    """A finished file of a story; the value is the name that it has on disk."""

    VIDEO = "story.mp4"
    MANIFEST = "story.json"
    CONTACT_SHEET = "story.contact-sheet.png"
    CURVE = "story.curve.png"


class ImageFormat(StrEnum):
    """How frames are sent; NONE sends no pictures."""

    RAW_RGB = "raw"
    JPEG = "jpeg"
    PNG = "png"
    NONE = "none"


@dataclass(frozen=True)
class Size:
    """Of every frame, pixels."""

    width_px: int
    height_px: int

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a frame's array: (height, width, 3)."""
        return self.height_px, self.width_px, 3


@dataclass(frozen=True)
class AudioFormat:
    """Layout of raw samples: sample_format is "s16le" or "f32le"."""

    sample_format: str
    sample_rate_hz: int
    channel_count: int


@dataclass(frozen=True)
class Resume:
    """Where a story that broke off goes on, and what it has to be."""

    next_seq: int
    story_digest: str
    song_digest: str  # of the song that is announced; empty where it is sent again without saying


@dataclass(frozen=True)
class StoryPlan:
    """A checked StoryConfig; see the contract for the meaning of each field.

    Attributes:
        size: None is the engine's own.
        style: "none", "auto", or the name of a style.
        mode: "absolute", "relative" or "adaptive".
        audio_format: None is an encoded file.
        duration_us: of the part that is shown, from start_us on; 0 is all of the song.
    """

    seed: int
    rate: Fraction
    size: Size | None
    engine: str
    translator: str
    style: str
    style_strength: float
    mode: str
    truncation: float
    image_format: ImageFormat
    jpeg_quality: int
    live: bool
    audio_format: AudioFormat | None
    start_us: int
    duration_us: int
    files: tuple[FileKind, ...]
    initial_credit: int
    resume: Resume | None
    title: str
    send_achieved: bool

    @property
    def shows_frames(self) -> bool:
        """Whether frames go to the caller one by one."""
        return self.image_format is not ImageFormat.NONE
