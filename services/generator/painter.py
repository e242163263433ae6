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

from services.generator.engine import Engine
from services.generator.stylize import Stylist

__all__ = ["Job", "JobResult", "Painter", "finish_picture", "is_out_of_memory"]

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
Place = tuple[int, int]  # of a row: number of its job, and of the row in it

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
class JobResult:
    """A finished job."""

    images: list[bytes]
    queue_wait_s: float
    compute_s: float  # its share of the time that its batch took


class Painter:
    """Owns the engines and the threads that paint.

    Every row is painted by itself (CPU) or in runs of one fixed length (GPU), so that a picture never depends on
    the company it was painted in. With one length the rows of several jobs share a run; with several each job has runs
    of its own, and its pictures' last bit may depend on its size, or on a run that was halved because memory ran out.
    On a CPU this costs nothing: measured, runs of 1 and of 16 take equally long a picture, and several rows side by
    side use the cores better than one row split among them.

    Args:
        engines: by name.
        stylist: the style network.
        lanes: rows, or runs, painted at the same time.
        runs: rows that the engine may get at once; the longest that a batch fills goes first, and a rest that is
            shorter than all is filled up.
    """

    def __init__(self, engines: Mapping[str, Engine], stylist: Stylist, lanes: int, runs: Sequence[int] = (1,)) -> None:
        self._engines, self._stylist, self._lengths = dict(engines), stylist, sorted(runs, reverse=True)
        self._lanes = ThreadPoolExecutor(max_workers=lanes, thread_name_prefix="lane")

    def paint(self, jobs: list[Job]) -> list[JobResult]:
        """Paints jobs; blocks until all are done."""
        began_s = time.monotonic()
        runs = [(rows, self._lanes.submit(self._paint_run, jobs, rows)) for rows in self._split_into_runs(jobs)]
        images: list[list[bytes]] = [[] for _ in jobs]
        for rows, run in runs:
            for (place, _), image in zip(rows, run.result(), strict=True):
                images[place].append(image)
        share_s = (time.monotonic() - began_s) / sum(map(len, images))
        return [
            JobResult(made, began_s - job.arrived_s, share_s * len(made))
            for made, job in zip(images, jobs, strict=True)
        ]

    def warm_up(self) -> None:
        """Paints once with every engine and every style's network, so that no caller pays for first use."""
        for (name, engine), count in itertools.product(self._engines.items(), self._lengths):
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

    def _split_into_runs(self, jobs: list[Job]) -> Iterator[list[Place]]:
        """What is painted together: (job, row of it), in order."""
        groups: dict[object, list[Place]] = {}
        for place, job in enumerate(jobs):
            group = job.engine if len(self._lengths) == 1 else place
            groups.setdefault(group, []).extend((place, row) for row in range(len(job.class_weights)))
        for rows in groups.values():
            while rows:
                length = next((run for run in self._lengths if run <= len(rows)), self._lengths[-1])
                yield rows[:length]
                rows = rows[length:]

    def _paint_run(self, jobs: list[Job], rows: list[Place]) -> list[bytes]:
        length = min(run for run in self._lengths if run >= len(rows))
        filled = rows + rows[-1:] * (length - len(rows))
        pictures = self._paint_halving(
            self._engines[jobs[rows[0][0]].engine],
            np.stack([jobs[place].class_weights[row] for place, row in filled]),
            np.stack([jobs[place].noise[row] for place, row in filled]),
            np.array([jobs[place].truncation for place, _ in filled], np.float32),
        )
        styled = (
            self._stylist.stylize(picture, jobs[place].style_weights[row])
            for picture, (place, row) in zip(pictures, rows, strict=False)  # what fills a run up is left out
        )
        return [finish_picture(picture, jobs[place]) for picture, (place, _) in zip(styled, rows, strict=True)]

    def _paint_halving(self, engine: Engine, classes: F32, noise: F32, truncation: F32) -> U8:
        """One run; in two halves where memory runs out."""
        try:
            return engine.paint(classes, noise, truncation)
        except Exception as error:
            half = len(classes) // 2
            if half and is_out_of_memory(error):
                halves = (slice(None, half), slice(half, None))
                return np.concatenate(
                    [self._paint_halving(engine, classes[h], noise[h], truncation[h]) for h in halves]
                )
            raise


def finish_picture(picture: U8, job: Job) -> bytes:
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
    signs = (
        "bad_alloc",
        "out of memory",
        "out_of_memory",
        "alloc_failed",
        "failed to allocate memory",
        "memoryallocation",
    )
    return isinstance(error, MemoryError) or any(sign in text for sign in signs)
