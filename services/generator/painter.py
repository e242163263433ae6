"""Paints jobs: latents to pictures, restyled, cut to size, encoded. One job is one caller's batch."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from services.generator.engines import Engine
from services.generator.stylize import Stylist

__all__ = ["Job", "Painted", "Painter", "finished", "is_out_of_memory"]

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

CHROMA_420 = 2  # Pillow's number for JPEG's 4:2:0
FASTEST_LOSSLESS = 1  # PNG compression level: four times as fast as the default, a few per cent larger


@dataclass(frozen=True)
class Job:
    """A batch that has passed all checks."""

    engine: str
    class_weights: F32  # (N, K)
    noise: F32  # (N, Z)
    truncation: float
    style_weights: F32  # (N, S)
    size_px: tuple[int, int]  # width, height
    encoding: Literal["rgb", "jpeg", "png"] = "rgb"
    jpeg_quality: int = 90
    arrived_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Painted:
    """A finished job."""

    images: list[bytes]
    queue_wait_s: float
    compute_s: float


class Painter:
    """Owns the engines and the threads that paint.

    Every row is painted by itself (CPU) or in runs of one fixed length (GPU), so that a picture never depends on
    the company it was painted in; with several lengths its last bit may depend on the size of its batch. On a CPU this
    costs nothing: measured, runs of 1 and of 16 take equally long a picture, and several rows side by side use the
    cores better than one row split among them.

    Args:
        engines: by name.
        stylist: the style network.
        lanes: rows, or runs, painted at the same time.
        runs: rows that the engine may get at once; the longest that a batch fills goes first, and a rest that is
            shorter than all is filled up.
    """

    def __init__(self, engines: Mapping[str, Engine], stylist: Stylist, lanes: int, runs: Sequence[int] = (1,)) -> None:
        self._engines, self._stylist, self._runs = dict(engines), stylist, sorted(runs, reverse=True)
        self._lanes = ThreadPoolExecutor(max_workers=lanes, thread_name_prefix="lane")

    def paint(self, jobs: list[Job]) -> list[Painted]:
        """Paints jobs; blocks until all are done."""
        began_s = time.monotonic()
        runs = [
            [self._lanes.submit(self._run, job, first, length) for first, length in self._cut(len(job.class_weights))]
            for job in jobs
        ]
        images = [[image for run in job_runs for image in run.result()] for job_runs in runs]
        compute_s = time.monotonic() - began_s
        return [Painted(made, began_s - job.arrived_s, compute_s) for made, job in zip(images, jobs, strict=True)]

    def warm_up(self) -> None:
        """Paints once with every engine and every style's network, so that no caller pays for first use."""
        for (name, engine), count in itertools.product(self._engines.items(), self._runs):
            job = Job(
                engine=name,
                class_weights=np.eye(1, len(engine.concepts), dtype=np.float32).repeat(count, 0),
                noise=np.zeros((count, engine.noise_size), dtype=np.float32),
                truncation=0.0,
                style_weights=np.eye(count, len(self._stylist.styles), dtype=np.float32),
                size_px=engine.native_size_px,
            )
            self.paint([job])

    def close(self) -> None:
        """Drops what has not begun; rows under way end by themselves."""
        self._lanes.shutdown(wait=False, cancel_futures=True)

    def _cut(self, count: int) -> Iterator[tuple[int, int]]:
        """The runs of a batch of `count` rows: where each begins, and its length."""
        first = 0
        while first < count:
            length = next((run for run in self._runs if run <= count - first), self._runs[-1])
            yield first, length
            first += length

    def _run(self, job: Job, first: int, length: int) -> list[bytes]:
        rows = np.arange(first, first + length)
        real = rows[rows < len(job.class_weights)]
        filled = np.minimum(rows, real[-1])
        truncation = np.full(len(rows), job.truncation, dtype=np.float32)
        engine = self._engines[job.engine]
        pictures = engine.paint(job.class_weights[filled], job.noise[filled], truncation)
        styled = (self._stylist.stylize(pictures[row - first], job.style_weights[row]) for row in real)
        return [finished(picture, job) for picture in styled]


def finished(picture: U8, job: Job) -> bytes:
    """Scales a picture (H, W, 3) to cover the job's size, crops it to the centre, and encodes it."""
    height, width, _ = picture.shape
    if job.size_px == (width, height) and job.encoding == "rgb":
        return picture.tobytes()
    image = Image.fromarray(picture)
    if job.size_px != image.size:
        grows = job.size_px[0] > width or job.size_px[1] > height
        method = Image.Resampling.BICUBIC if grows else Image.Resampling.LANCZOS
        image = ImageOps.fit(image, job.size_px, method)
    if job.encoding == "rgb":
        return image.tobytes()
    encoded = io.BytesIO()
    if job.encoding == "jpeg":
        image.save(encoded, "JPEG", quality=job.jpeg_quality, subsampling=CHROMA_420)
    else:
        image.save(encoded, "PNG", compress_level=FASTEST_LOSSLESS)
    return encoded.getvalue()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch might have succeeded; onnxruntime has no class of its own for it."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "bad_alloc" in text or ("alloc" in text and "memory" in text)
