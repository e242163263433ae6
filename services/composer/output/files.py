"""The finished files of a story, written beside its frames in a folder of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deepsing.audio import PcmSource, decode_blocks
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import sentiment_pb2 as base
from services.composer.output.curve import Curve
from services.composer.output.manifest import ContactSheet, ManifestWriter
from services.composer.output.video import VideoWriter, join_videos, write_audio
from services.composer.session.config import StoryPlan
from services.composer.story.frame import FrameInfo
from services.composer.story.judge_sampling import Judgement
from services.composer.upload.song_file import CHUNK_BYTES

__all__ = ["StoryFiles", "encode_picture", "iter_file_chunks"]

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
NAMES = {
    pb.STORY_FILE_KIND_VIDEO: "story.mp4",
    pb.STORY_FILE_KIND_MANIFEST: "story.json",
    pb.STORY_FILE_KIND_CONTACT_SHEET: "story.contact-sheet.png",
    pb.STORY_FILE_KIND_CURVE: "story.curve.png",
}


def encode_picture(picture: U8, image_format: base.ImageFormat.ValueType, jpeg_quality: int) -> bytes:
    """A picture (height, width, 3) in the format asked for; NONE is empty."""
    if image_format == base.IMAGE_FORMAT_NONE:
        return b""
    if image_format == base.IMAGE_FORMAT_RAW_RGB:
        return picture.tobytes()
    out, image = BytesIO(), Image.fromarray(picture)
    if image_format == base.IMAGE_FORMAT_PNG:
        image.save(out, "PNG", compress_level=1)
    else:
        image.save(out, "JPEG", quality=jpeg_quality, subsampling="4:2:0")
    return out.getvalue()


def wrap_source(file: BinaryIO, form: base.AudioFormat) -> BinaryIO | PcmSource:
    """The song as the decoder wants it: an encoded file as it is, raw samples with their description."""
    if form.sample_format == base.SAMPLE_FORMAT_UNSPECIFIED:
        return file
    return PcmSource(
        file,
        sample_format="s16le" if form.sample_format == base.SAMPLE_FORMAT_S16LE else "f32le",
        sample_rate_hz=form.sample_rate_hz,
        channel_count=form.channel_count,
    )


def iter_file_chunks(kind: pb.StoryFileKind.ValueType, path: Path) -> Iterator[pb.StoryFileChunk]:
    """A finished file in pieces of CHUNK_BYTES; the last one holds its digest."""
    hashed, left, offset = hashlib.sha256(), path.stat().st_size, 0
    with path.open("rb") as file:
        while True:
            data = file.read(CHUNK_BYTES)
            hashed.update(data)
            left -= len(data)
            digest = "" if left > 0 else hashed.hexdigest()
            yield pb.StoryFileChunk(kind=kind, data=data, last=left <= 0, digest=digest, offset_bytes=offset)
            offset += len(data)
            if left <= 0:
                return


class StoryFiles:
    """Writes what the plan asks for. All methods block: call them from a thread, one at a time but for write_sound().

    Args:
        folder: exists, and is deleted by its owner.
        size: of the frames.
        threads: of the H.264 encoder.
    """

    def __init__(self, folder: Path, plan: StoryPlan, size: base.Size, threads: int) -> None:
        self.folder, self.plan = folder, plan
        wanted = set(plan.files)
        self.paths = {kind: folder / name for kind, name in NAMES.items()}
        self.sheet = ContactSheet() if wanted & {pb.STORY_FILE_KIND_CONTACT_SHEET, pb.STORY_FILE_KIND_CURVE} else None
        self.curve = Curve() if pb.STORY_FILE_KIND_CURVE in wanted else None
        manifest = pb.STORY_FILE_KIND_MANIFEST
        self.manifest = ManifestWriter(self.paths[manifest]) if manifest in wanted else None
        self.video: VideoWriter | None = None
        if pb.STORY_FILE_KIND_VIDEO in wanted:
            self.video = VideoWriter(folder / "pictures.mp4", size.width_px, size.height_px, plan.rate, threads)
        self.frames_hash = hashlib.sha256()
        self.abandoned = False

    def add(self, pictures: list[U8], infos: list[FrameInfo]) -> list[bytes]:
        """Takes the next frames; returns them encoded for the caller."""
        images = []
        for picture, one in zip(pictures, infos, strict=True):
            self.add_without_video(hashlib.sha256(picture.data).digest(), picture, one)
            if self.video is not None:
                self.video.add(picture)
            images.append(encode_picture(picture, self.plan.image_format, self.plan.jpeg_quality))
        return images

    def add_without_video(self, digest: bytes, picture: U8, info: FrameInfo) -> None:
        """Takes the next frame for everything but the video.

        Args:
            digest: SHA-256 of its bytes.
            picture: it, or a tile of it as the contact sheet makes them.
            info: what it shows.
        """
        self.frames_hash.update(digest)
        if self.sheet is not None:
            self.sheet.add(picture, info)
        if self.curve is not None:
            self.curve.add(info)
        if self.manifest is not None:
            self.manifest.add(info)

    @property
    def shows_frames(self) -> bool:
        """Whether frames go to the caller one by one."""
        return self.plan.image_format != base.IMAGE_FORMAT_NONE

    def write_sound(self, song: Path) -> None:
        """Encodes the part of the song that the story shows as AAC."""
        with song.open("rb") as file:
            source = wrap_source(file, self.plan.audio_format)
            start_s = self.plan.start_us / 1e6
            duration_s = self.plan.duration_us / 1e6 or None
            with decode_blocks(source, mono=False, start_s=start_s, duration_s=duration_s) as decoding:
                first = next(decoding)
                write_audio(self.folder / "sound.m4a", self._iter_blocks(first, decoding), decoding.sample_rate_hz)

    def _iter_blocks(self, first: F32, rest: Iterator[F32]) -> Iterator[F32]:
        yield first.T
        for block in rest:
            if self.abandoned:
                return
            yield block.T

    def finish(
        self, facts: dict[str, Any], judgements: Sequence[Judgement], end: pb.SessionEnd
    ) -> list[tuple[pb.StoryFileKind.ValueType, Path]]:
        """Completes all files, in the order asked for.

        Args:
            facts: of the manifest.
            judgements: of frames, by the judge.
            end: how well the pictures follow the song.
        """
        title = self.plan.title
        if self.video is not None:
            self.video.close()
            video = self.paths[pb.STORY_FILE_KIND_VIDEO]
            join_videos([self.folder / "pictures.mp4"], self.folder / "sound.m4a", video, self.plan.rate, title)
        if self.manifest is not None:
            self.manifest.finish(facts)
        if self.sheet is not None:
            self.sheet.write(self.paths[pb.STORY_FILE_KIND_CONTACT_SHEET])
            if self.curve is not None:
                path, tiles = self.paths[pb.STORY_FILE_KIND_CURVE], self.sheet.thumbnails()
                self.curve.write(
                    path,
                    tiles,
                    title,
                    judgements,
                    (_describe_agreement(end, "arousal"), _describe_agreement(end, "valence")),
                )
        return [(kind, self.paths[kind]) for kind in self.plan.files]

    def abandon(self) -> None:
        """Lets go of all that is half done."""
        self.abandoned = True
        if self.video is not None:
            self.video.abandon()
        if self.manifest is not None:
            self.manifest.close()


def _describe_agreement(end: pb.SessionEnd, dimension: str) -> str:
    """How well the pictures follow the song in one dimension, for people who look at the curve."""
    rated = f"by people's ratings r = {getattr(end, dimension).r:.2f}"
    if not end.HasField("achieved"):
        return rated
    read, ceiling = getattr(end.achieved, dimension), getattr(end.achieved.judge, dimension)
    most = f" (on rated photos it agrees with people at r = {ceiling.r:.2f})" if ceiling.n else ""
    return f"{rated} · by the judge r = {read.r:.2f}{most}"
