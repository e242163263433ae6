"""Writes the files of a story while its frames are made: video, manifest, contact sheet and curve."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deepsing.audio import PcmSource, decode_blocks
from services.composer.output.contact_sheet import ContactSheet
from services.composer.output.curve import Curve, describe_agreement
from services.composer.output.manifest import ManifestWriter, build_manifest_facts
from services.composer.output.video import VideoWriter, join_videos, write_audio
from services.composer.story.frame import FrameInfo
from services.composer.story.judge_sampling import Judgement
from services.composer.story.plan import AudioFormat, FileKind, ImageFormat, Size, StoryPlan
from services.composer.story.summary import StorySummary

__all__ = ["StoryFiles", "encode_picture", "wrap_source"]

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
SOUND = "sound.m4a"


def encode_picture(picture: U8, image_format: ImageFormat, jpeg_quality: int) -> bytes | memoryview:
    """Encodes a picture (height, width, 3) in a format; NONE gives no bytes, RAW_RGB the picture's own."""
    if image_format is ImageFormat.NONE:
        return b""
    if image_format is ImageFormat.RAW_RGB:
        return np.ascontiguousarray(picture).data.cast("B")
    out, image = BytesIO(), Image.fromarray(picture)
    if image_format is ImageFormat.PNG:
        image.save(out, "PNG", compress_level=1)
    else:
        image.save(out, "JPEG", quality=jpeg_quality, subsampling="4:2:0")
    return out.getvalue()


def wrap_source(file: BinaryIO, layout: AudioFormat | None) -> BinaryIO | PcmSource:
    """The decoder's input for a song: an encoded file as it is, raw samples with their layout."""
    if layout is None:
        return file
    return PcmSource(
        file,
        sample_format="s16le" if layout.sample_format == "s16le" else "f32le",
        sample_rate_hz=layout.sample_rate_hz,
        channel_count=layout.channel_count,
    )


class StoryFiles:
    """Writes the files that the plan asks for.

    All methods but stop_sound() block: call them in a thread, and only write_sound() at the same time as another.

    Args:
        folder: existing folder; the caller deletes it.
        size: size of the frames.
        threads: threads of the H.264 encoder.
    """

    def __init__(self, folder: Path, plan: StoryPlan, size: Size, threads: int) -> None:
        self._folder, self._plan, self._size = folder, plan, size
        wanted = set(plan.files)
        self.contact_sheet = ContactSheet() if wanted & {FileKind.CONTACT_SHEET, FileKind.CURVE} else None
        self._curve = Curve() if FileKind.CURVE in wanted else None
        self._manifest = ManifestWriter(folder / FileKind.MANIFEST) if FileKind.MANIFEST in wanted else None
        self._video: VideoWriter | None = None
        if FileKind.VIDEO in wanted:
            self._video = VideoWriter(folder / "pictures.mp4", size.width_px, size.height_px, plan.rate, threads)
        self._frames_hash = hashlib.sha256()
        self._abandoned = False

    @property
    def frames_digest(self) -> str:
        """SHA-256 over the SHA-256 of each frame so far, lower-case hex."""
        return self._frames_hash.hexdigest()

    @property
    def byte_count(self) -> int:
        """Size of all files so far, the song beside them included."""
        with os.scandir(self._folder) as entries:
            return sum(entry.stat().st_size for entry in entries)

    def add(self, pictures: list[U8], infos: list[FrameInfo]) -> list[bytes | memoryview]:
        """Adds the next frames; returns each encoded in the plan's image format."""
        images = []
        for picture, one in zip(pictures, infos, strict=True):
            self.add_without_video(hashlib.sha256(picture.data).digest(), picture, one)
            if self._video is not None:
                self._video.add(picture)
            images.append(encode_picture(picture, self._plan.image_format, self._plan.jpeg_quality))
        return images

    def add_without_video(self, digest: bytes, picture: U8, info: FrameInfo) -> None:
        """Adds the next frame to all files but the video.

        Args:
            digest: SHA-256 of its RGB bytes.
            picture: the frame, or its thumbnail from a contact sheet.
            info: what it shows.
        """
        self._frames_hash.update(digest)
        if self.contact_sheet is not None:
            self.contact_sheet.add(picture, info)
        if self._curve is not None:
            self._curve.add(info)
        if self._manifest is not None:
            self._manifest.add(info)

    def write_sound(self, song: Path, pause: Callable[[], None] = lambda: None) -> None:
        """Encodes the part of the song that the story shows as AAC; for `pause` see `decode_blocks`."""
        with song.open("rb") as file:
            source = wrap_source(file, self._plan.audio_format)
            start_s = self._plan.start_us / 1e6
            duration_s = self._plan.duration_us / 1e6 or None
            with decode_blocks(source, mono=False, start_s=start_s, duration_s=duration_s, pause=pause) as decoding:
                first = next(decoding)
                write_audio(self._folder / SOUND, self._iter_blocks(first, decoding), decoding.sample_rate_hz)

    def _iter_blocks(self, first: F32, rest: Iterator[F32]) -> Iterator[F32]:
        yield first.T
        for block in rest:
            if self._abandoned:
                return
            yield block.T

    def finish(self, summary: StorySummary, judgements: Sequence[Judgement], story_id: str) -> dict[FileKind, Path]:
        """Completes all files; returns their paths, in the order of the plan.

        Args:
            summary: summary of the story.
            judgements: in order of time.
            story_id: for the manifest.
        """
        plan, paths = self._plan, {kind: self._folder / kind for kind in self._plan.files}
        if self._video is not None:
            self._video.close()
            self.join_video([self._folder / "pictures.mp4"])
        if self._manifest is not None:
            self._manifest.finish(build_manifest_facts(plan, self._size, summary, judgements, story_id), summary.music)
        if self.contact_sheet is not None and FileKind.CONTACT_SHEET in paths:
            self.contact_sheet.write(paths[FileKind.CONTACT_SHEET])
        if self.contact_sheet is not None and self._curve is not None:
            tiles = self.contact_sheet.thumbnails()
            self._curve.write(
                paths[FileKind.CURVE], tiles, plan.title, judgements, describe_agreement(summary), summary.music
            )
        return paths

    def join_video(self, parts: Sequence[Path]) -> Path:
        """Joins videos, one after another, with the sound; returns the path of the finished video."""
        video = self._folder / FileKind.VIDEO
        join_videos(parts, self._folder / SOUND, video, self._plan.rate, self._plan.title)
        return video

    def stop_sound(self) -> None:
        """Makes write_sound() end early, because its output is not needed any more. Does not block."""
        self._abandoned = True

    def abandon(self) -> None:
        """Closes all files, and removes an unfinished video."""
        self.stop_sound()
        if self._video is not None:
            self._video.abandon()
        if self._manifest is not None:
            self._manifest.close()
