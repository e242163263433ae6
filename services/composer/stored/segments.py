"""Segments of a stored story: encoded frames, and the data for manifest, contact sheet, curve and judge.

A segment is a zip of `pictures.mp4` (H.264 that depends on no other segment), `frames.json`, `tiles/SEQ.png` (frames
that the contact sheet may still choose) and `excerpts/SEQ.jpg` (pictures for the judge).
"""

import dataclasses
import hashlib
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.composer.output.video import VideoWriter
from services.composer.story.frame import FrameInfo

__all__ = ["SegmentWriter", "StoredFrame", "StoredFrames", "compute_file_digest", "is_whole_segment", "read_segment"]

U8 = NDArray[np.uint8]
NO_TILE: U8 = np.zeros((2, 2, 3), np.uint8)  # in place of a frame that the contact sheet does not need


@dataclass(frozen=True)
class StoredFrame:
    """A frame of a segment.

    Attributes:
        info: what it shows.
        digest: SHA-256 of its RGB bytes.
        tile: thumbnail for the contact sheet, or NO_TILE.
        excerpt: JPEG for the judge; empty if the frame is not to be judged.
    """

    info: FrameInfo
    digest: bytes
    tile: U8
    excerpt: bytes


@dataclass(frozen=True)
class StoredFrames:
    """The content of a segment: frames in order, video, and the most flashes in any second of the story so far."""

    frames: list[StoredFrame]
    video: Path
    flashes: int


class SegmentWriter:
    """Writes a segment; all methods block.

    Args:
        path: zip file to write; the video is written beside it, with suffix .mp4.
        width_px, height_px, rate, threads: see VideoWriter.
    """

    def __init__(self, path: Path, width_px: int, height_px: int, rate: Fraction, threads: int) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self._excerpts: dict[int, bytes] = {}
        self.video = VideoWriter(path.with_suffix(".mp4"), width_px, height_px, rate, threads)

    def add(self, picture: U8, info: FrameInfo, digest: bytes, excerpt: bytes) -> None:
        """Adds the next frame; see StoredFrame."""
        self.video.add(picture)
        self.rows.append(dataclasses.asdict(info) | {"digest": digest.hex()})
        if excerpt:
            self._excerpts[info.seq] = excerpt

    def close(self, tiles: Sequence[tuple[Image.Image, FrameInfo]], flashes: int) -> None:
        """Completes the zip.

        Args:
            tiles: thumbnails that the contact sheet keeps of this segment's frames.
            flashes: most flashes in any second of the story so far.
        """
        self.video.close()
        with zipfile.ZipFile(self.path, "w") as archive:  # without compression: nearly all of it is compressed already
            archive.write(self.video.path, "pictures.mp4")
            facts = {"flashes": flashes, "frames": self.rows}
            archive.writestr("frames.json", json.dumps(facts), zipfile.ZIP_DEFLATED)
            for tile, info in tiles:
                out = BytesIO()
                tile.save(out, "PNG", compress_level=1)
                archive.writestr(f"tiles/{info.seq}.png", out.getvalue())
            for seq, excerpt in self._excerpts.items():
                archive.writestr(f"excerpts/{seq}.jpg", excerpt)

    def abandon(self) -> None:
        """Stops encoding and removes the video, also after close()."""
        self.video.abandon()


def compute_file_digest(path: Path) -> str:
    """SHA-256 of a file, lower-case hex; blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole_segment(path: Path, digest: str) -> bool:
    """Whether a segment's zip is as it was stored; blocks.

    Args:
        path: the zip.
        digest: its compute_file_digest(); "" of a version that wrote none, then the zip's own checksums decide.
    """
    if digest:
        return compute_file_digest(path) == digest
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, ValueError):
        return False


def read_segment(path: Path) -> StoredFrames:
    """Reads a segment's zip; its video is written beside it, with suffix .mp4."""
    with zipfile.ZipFile(path) as archive:
        video = path.with_suffix(".mp4")
        video.write_bytes(archive.read("pictures.mp4"))
        facts, names = json.loads(archive.read("frames.json")), set(archive.namelist())
        frames = []
        for row in facts["frames"]:
            tile, excerpt = f"tiles/{row['seq']}.png", f"excerpts/{row['seq']}.jpg"
            picture = np.asarray(Image.open(BytesIO(archive.read(tile)))) if tile in names else NO_TILE
            seen = archive.read(excerpt) if excerpt in names else b""
            frames.append(StoredFrame(_parse_frame(row), bytes.fromhex(row["digest"]), picture, seen))
    return StoredFrames(frames, video, facts["flashes"])


def _parse_frame(row: dict[str, Any]) -> FrameInfo:
    target, expected = (tuple(row[name]) for name in ("target", "expected"))
    concepts, styles = (tuple((one, weight) for one, weight in row[name]) for name in ("concepts", "styles"))
    song = tuple(row["song"]) if row.get("song") else None
    return FrameInfo(row["seq"], row["time_s"], target, expected, concepts, styles, song)
