"""What a caller asks for, in plain values: `session/config.py` builds a StoryPlan from a checked StoryConfig."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import floor

from services.composer.story.mood import Mood

__all__ = [
    "SHORTEST_SIDE_PX",
    "AudioFormat",
    "FileKind",
    "ImageFormat",
    "Resume",
    "Size",
    "StoryPlan",
    "StoryboardKey",
]


SHORTEST_SIDE_PX = 64  # of a picture, that the contract allows; sides are even


class FileKind(StrEnum):
    """A finished file of a story; the value is its file name."""

    VIDEO = "story.mp4"
    MANIFEST = "story.json"
    CONTACT_SHEET = "story.contact-sheet.png"
    CURVE = "story.curve.png"


class ImageFormat(StrEnum):
    """How frames are encoded for the caller; NONE sends none."""

    RAW_RGB = "raw"
    JPEG = "jpeg"
    PNG = "png"
    NONE = "none"


@dataclass(frozen=True)
class Size:
    """Size of every frame, pixels."""

    width_px: int
    height_px: int

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a frame's array: (height, width, 3)."""
        return self.height_px, self.width_px, 3

    @property
    def byte_count(self) -> int:
        """Bytes of a frame's array."""
        return 3 * self.width_px * self.height_px


@dataclass(frozen=True)
class AudioFormat:
    """Layout of raw samples: sample_format is "s16le" or "f32le"."""

    sample_format: str
    sample_rate_hz: int
    channel_count: int


@dataclass(frozen=True)
class Resume:
    """Where to resume a story, and the digests that it must have."""

    next_seq: int
    story_digest: str
    song_digest: str  # of a song that may be cached; empty if the caller sends the song again


@dataclass(frozen=True)
class StoryboardKey:
    """One key that the caller wrote; see the contract.

    Attributes:
        time_s: when it is reached, seconds of the song.
        concepts: (name, share), shares sum to 1; empty only if it is not locked.
        style: "none", a style's name, or empty for what the story's style says.
        motion: None is the story's.
        locked: False keeps nothing but the time.
    """

    time_s: float
    concepts: tuple[tuple[str, float], ...]
    style: str = ""
    motion: float | None = None
    locked: bool = True


@dataclass(frozen=True)
class StoryPlan:
    """A checked StoryConfig; see the contract for the meaning of each field.

    Attributes:
        size: None is the engine's own size.
        style: "none", "auto", or a style's name.
        mode: "absolute", "relative" or "adaptive".
        audio_format: layout of raw samples; None is an encoded file.
        duration_us: length of the part that is shown, from start_us on; 0 is to the end of the song.
        motion: how far and fast the camera drifts, [0, 1]; 0 stands still.
        react: how strongly the camera answers onsets and beats, [0, 1].
        paint_rate: pictures painted a second, at least; 0 is what engine and style ask for.
        themes, only, without: names that decide which concepts may be shown.
        mood: shift of the targets.
        storyboard: all keys of the story, in order of time; empty leaves them to the story.
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
    motion: float
    react: float
    paint_rate: float
    themes: tuple[str, ...]
    only: tuple[str, ...]
    without: tuple[str, ...]
    mood: Mood
    storyboard: tuple[StoryboardKey, ...] = ()

    @property
    def needs_whole_song(self) -> bool:
        """Whether no frame can be planned before the whole song is analysed."""
        return self.mode == "relative" or bool(self.storyboard)

    @property
    def is_styled(self) -> bool:
        """Whether any picture may have a style."""
        return self.style != "none" or any(key.locked and key.style not in ("", "none") for key in self.storyboard)

    @property
    def first_frame(self) -> int:
        """Number of the part's first frame among those of the whole song, the nearest one; live 0."""
        return 0 if self.live else floor(Fraction(self.start_us, 1_000_000) * self.rate + Fraction(1, 2))

    @property
    def shows_frames(self) -> bool:
        """Whether the caller gets the frames one by one."""
        return self.image_format is not ImageFormat.NONE
