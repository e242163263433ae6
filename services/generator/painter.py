"""Paints jobs: from latents to pictures, then styled, cut to size and encoded. A job is the batch of one request."""

import io
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from services.generator.engine import Engine
from services.generator.stylize import Stylist

__all__ = ["Job", "JobResult", "Painter", "finish_picture", "fit_picture", "is_out_of_memory"]

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
Place = tuple[int, int]  # of a row: index of its job, and of the row in that job

STYLED_PX = 4  # sides of styled pictures are multiples of it
CHROMA_420 = 2  # Pillow's number for JPEG's 4:2:0
FASTEST_LOSSLESS = 1  # PNG compression level: four times as fast as the default, files a few per cent larger


@dataclass(frozen=True)
class Job:
    """A checked batch."""

    engine: str
    class_weights: F32  # (N, K)
    noise: F32  # (N, Z)
    truncation: float
    style_weights: F32  # (N, S)
    size_px: tuple[int, int]  # width, height
    encoding: Literal["rgb", "jpeg", "png"] = "rgb"
    jpeg_quality: int = 90
    arrived_s: float = field(default_factory=time.monotonic)
    abandoned: threading.Event = field(default_factory=threading.Event, compare=False)  # set: nobody waits for it


@dataclass(frozen=True)
class JobResult:
    """A finished job."""

    images: list[bytes]
    queue_wait_s: float
    compute_s: float  # its share of the time of the batch it was painted in


class Painter:
    """Owns the engines and the threads that paint.

    Every row is painted alone (CPU) or in runs of one fixed length (GPU), so that a picture never depends on the other
    rows of its run. With one length, the rows of several jobs share a run, if they are of one engine and size. With
    several lengths each job has its own runs, and the last bit of its pictures may depend on its size, or on a run that
    was halved because memory ran out. On a CPU this costs nothing: measured, runs of 1 and of 16 take the same time per
    picture, and several rows in parallel use the cores better than one row split among them.

    Args:
        engines: by name.
        stylist: the style network.
        lanes: number of runs painted in parallel.
        runs: the lengths of runs, in rows; a batch is split into the longest that it fills, and a rest shorter than
            all of them is padded.
    """

    def __init__(self, engines: Mapping[str, Engine], stylist: Stylist, lanes: int, runs: Sequence[int] = (1,)) -> None:
        self._engines, self._stylist, self._lengths = dict(engines), stylist, sorted(runs, reverse=True)
        self._lanes = ThreadPoolExecutor(max_workers=lanes, thread_name_prefix="lane")

    def paint(self, jobs: list[Job]) -> list[JobResult]:
        """Paints jobs; blocks until all are finished."""
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
        """Paints once with every engine and the style network, so that no caller waits for their first use."""
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
        """Drops runs that have not begun; the others end by themselves."""
        self._lanes.shutdown(wait=False, cancel_futures=True)

    def _split_into_runs(self, jobs: list[Job]) -> Iterator[list[Place]]:
        """The rows of each run, in order."""
        groups: dict[object, list[Place]] = {}
        for place, job in enumerate(jobs):
            group = (job.engine, job.size_px) if len(self._lengths) == 1 else place
            groups.setdefault(group, []).extend((place, row) for row in range(len(job.class_weights)))
        for rows in groups.values():
            while rows:
                length = next((run for run in self._lengths if run <= len(rows)), self._lengths[-1])
                yield rows[:length]
                rows = rows[length:]

    def _paint_run(self, jobs: list[Job], rows: list[Place]) -> list[bytes]:
        if all(jobs[place].abandoned.is_set() for place, _ in rows):
            return [b""] * len(rows)
        length = min(run for run in self._lengths if run >= len(rows))
        filled = rows + rows[-1:] * (length - len(rows))
        first = jobs[rows[0][0]]
        pictures = self._paint_halving(
            partial(self._engines[first.engine].paint, shape_px=first.size_px),
            np.stack([jobs[place].class_weights[row] for place, row in filled]),
            np.stack([jobs[place].noise[row] for place, row in filled]),
            np.array([jobs[place].truncation for place, _ in filled], np.float32),
        )
        return [
            finish_picture(self._stylize(picture, jobs[place], row), jobs[place])
            for picture, (place, row) in zip(pictures, rows, strict=False)  # padding is left out
        ]

    def _stylize(self, picture: U8, job: Job, row: int) -> U8:
        """Styles a picture, in its job's size if that is smaller: strokes are as fine as they are shown."""
        weights = job.style_weights[row]
        wanted = tuple(STYLED_PX * ceil(side / STYLED_PX) for side in job.size_px)
        if weights.any() and wanted[0] <= picture.shape[1] and wanted[1] <= picture.shape[0]:
            picture = fit_picture(picture, (wanted[0], wanted[1]))
        return self._stylist.stylize(picture, weights)

    def _paint_halving(self, paint: Callable[[F32, F32, F32], U8], classes: F32, noise: F32, truncation: F32) -> U8:
        """Paints a run; in two halves if memory runs out."""
        try:
            return paint(classes, noise, truncation)
        except Exception as error:
            half = len(classes) // 2
            if half and is_out_of_memory(error):
                halves = (slice(None, half), slice(half, None))
                return np.concatenate([self._paint_halving(paint, classes[h], noise[h], truncation[h]) for h in halves])
            raise


def fit_picture(picture: U8, size_px: tuple[int, int]) -> U8:
    """Scales a picture (H, W, 3) to cover a size (width, height), and crops it to the centre."""
    width, height = size_px
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    if min(top, left) == 0:  # covers the size, and no more than it must: nothing is scaled
        return picture[top : top + height, left : left + width]
    grows = width > picture.shape[1] or height > picture.shape[0]
    method = Image.Resampling.BICUBIC if grows else Image.Resampling.LANCZOS
    return np.asarray(ImageOps.fit(Image.fromarray(picture), size_px, method))


def finish_picture(picture: U8, job: Job) -> bytes:
    """Brings a picture (H, W, 3) to its job's size, and encodes it."""
    fitted = fit_picture(picture, job.size_px)
    if job.encoding == "rgb":
        return fitted.tobytes()
    image = Image.fromarray(fitted)
    encoded = io.BytesIO()
    if job.encoding == "jpeg":
        image.save(encoded, "JPEG", quality=job.jpeg_quality, subsampling=CHROMA_420)
    else:
        image.save(encoded, "PNG", compress_level=FASTEST_LOSSLESS)
    return encoded.getvalue()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; onnxruntime has no class for it."""
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
