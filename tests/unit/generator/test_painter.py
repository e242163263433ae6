import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from services.generator.engine import Engine
from services.generator.painter import Painter, finish_picture, is_out_of_memory
from services.generator.stylize import Stylist
from tests.unit.generator.opened import WEIGHTS, job, session, tiny_engine, two_styles


def painter(lanes: int = 1, rows_per_run: int = 1) -> Painter:
    return Painter({"tiny": tiny_engine()}, two_styles(), lanes, (rows_per_run,))


def column_ramp(width: int = 64, height: int = 64) -> np.ndarray:
    """Grey that grows by one a column, and green in the middle four rows."""
    picture = np.repeat(np.arange(width, dtype=np.uint8)[None, :, None], height, 0).repeat(3, 2)
    picture[height // 2 - 2 : height // 2 + 2, :, 1] = 255
    return picture


@pytest.mark.parametrize(("lanes", "rows_per_run"), [(1, 1), (3, 1), (1, 4), (2, 16)])
def test_a_row_is_the_same_bytes_whatever_the_company(lanes: int, rows_per_run: int) -> None:
    whole = painter(lanes, rows_per_run).paint([job(6)])[0].images
    assert len(set(whole)) == 6
    for count in (1, 2, 5):
        with_others = painter(lanes, rows_per_run).paint([job(3, seed=9), job(count), job(1, seed=8)])
        assert with_others[1].images == whole[:count]


class Watched(Engine):
    """Notes how many rows it is given, and has memory for so many."""

    def __init__(self, room: int = 64) -> None:
        super().__init__("tiny", "0" * 64, session(WEIGHTS / "tiny.onnx"))
        self.seen: list[int] = []
        self.room = room

    def paint(self, class_weights: np.ndarray, noise: np.ndarray, truncation: np.ndarray, **more: tuple) -> np.ndarray:
        self.seen.append(len(class_weights))
        if len(class_weights) > self.room:
            raise RuntimeError("CUDA failure 2: out of memory")
        return super().paint(class_weights, noise, truncation, **more)


def test_the_longest_runs_that_a_batch_fills_go_first() -> None:
    engine = Watched()
    (painted,) = Painter({"tiny": engine}, two_styles(), 1, (2, 8, 4)).paint([job(15)])
    assert engine.seen == [8, 4, 2, 2]  # the last is filled up
    assert painted.images == painter().paint([job(15)])[0].images


def test_jobs_of_several_callers_share_the_runs_of_one_length() -> None:
    engine, jobs = Watched(), [job(3), job(2, seed=1), job(4, seed=2), job(1, seed=3)]
    painted = Painter({"tiny": engine}, two_styles(), 1, (8,)).paint(jobs)
    assert engine.seen == [8, 8]  # 10 rows; by themselves the jobs would take four runs
    assert [one.images for one in painted] == [painter(rows_per_run=8).paint([alone])[0].images for alone in jobs]


def test_each_job_gets_its_share_of_the_time() -> None:
    one, three = painter().paint([job(1), job(3)])
    assert three.compute_s == pytest.approx(3 * one.compute_s)


def test_a_run_that_memory_does_not_suffice_for_is_painted_in_halves() -> None:
    engine = Watched(room=2)
    (painted,) = Painter({"tiny": engine}, two_styles(), 1, (8,)).paint([job(7)])
    assert engine.seen == [8, 4, 2, 2, 4, 2, 2]
    assert painted.images == painter().paint([job(7)])[0].images


def test_a_row_that_memory_does_not_suffice_for_fails() -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        Painter({"tiny": Watched(room=0)}, two_styles(), 1, (4,)).paint([job(4)])


def test_lanes_do_not_change_a_byte() -> None:
    assert painter(1).paint([job(5)])[0].images == painter(4).paint([job(5)])[0].images


def test_a_picture_of_native_size_is_height_by_width_by_three_bytes() -> None:
    (painted,) = painter().paint([job(2)])
    assert [len(image) for image in painted.images] == [64 * 64 * 3] * 2
    assert painted.compute_s > 0
    assert painted.queue_wait_s >= 0


def test_styles_mix_with_the_picture_by_their_weight() -> None:
    plain, negative, half = (
        np.frombuffer(painter().paint([job(style_weights=np.array([[w, 0]], np.float32))])[0].images[0], np.uint8)
        for w in (0, 1, 0.5)
    )
    assert np.array_equal(negative, 255 - plain)
    assert half == pytest.approx(127.5, abs=0.51)


class Sized(Stylist):
    """Notes the sizes of the pictures that it styles."""

    def __init__(self) -> None:
        super().__init__("", session(WEIGHTS / "painting.onnx"))
        self.seen: list[tuple[int, int]] = []

    def stylize(self, picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
        self.seen.append((picture.shape[1], picture.shape[0]))
        return super().stylize(picture, weights)


@pytest.mark.parametrize(
    ("asked", "styled"),
    [((48, 32), (48, 32)), ((46, 30), (48, 32)), ((64, 64), (64, 64)), ((128, 32), (64, 64)), ((256, 256), (64, 64))],
)
def test_a_picture_is_styled_in_the_size_asked_for_if_that_is_smaller(
    asked: tuple[int, int], styled: tuple[int, int]
) -> None:
    stylist = Sized()
    row = np.array([[1, 0]], np.float32)
    (painted,) = Painter({"tiny": tiny_engine()}, stylist, 1).paint([job(style_weights=row, size_px=asked)])
    assert stylist.seen == [styled]
    assert len(painted.images[0]) == 3 * asked[0] * asked[1]


def test_a_row_of_zeros_is_left_as_painted() -> None:
    picture = column_ramp()
    assert two_styles().stylize(picture, np.zeros(2, np.float32)) is picture


def test_a_wide_size_is_covered_and_cropped_to_the_centre() -> None:
    wide = np.frombuffer(finish_picture(column_ramp(), job(size_px=(128, 72))), np.uint8).reshape(72, 128, 3)
    assert wide[0, 1, 0] < 2
    assert wide[0, -2, 0] > 61  # the whole width is there
    green = np.flatnonzero(wide[:, 5, 1] > 200)
    assert (green.min() + green.max()) / 2 == pytest.approx(35.5, abs=0.5)  # the middle stays in the middle


def test_a_tall_size_loses_the_sides_and_keeps_the_rows() -> None:
    tall = np.frombuffer(finish_picture(column_ramp(), job(size_px=(64, 128))), np.uint8).reshape(128, 64, 3)
    assert tall[0, 0, 0] == pytest.approx(16, abs=1)
    assert tall[0, -1, 0] == pytest.approx(47, abs=1)


def test_png_gives_back_the_very_pixels() -> None:
    encoded = finish_picture(column_ramp(), job(encoding="png"))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encoded))), column_ramp())


def test_jpeg_is_close_and_grows_with_quality() -> None:
    asked = job(encoding="jpeg")
    coarse, fine = (finish_picture(column_ramp(), replace(asked, jpeg_quality=quality)) for quality in (10, 95))
    decoded = Image.open(io.BytesIO(fine))
    assert (decoded.format, decoded.size) == ("JPEG", (64, 64))
    assert np.asarray(decoded)[0, :, 0] == pytest.approx(np.arange(64), abs=6)
    assert len(coarse) < len(fine)


def test_every_engine_is_painted_with_before_the_first_caller_comes() -> None:
    painter(2, 4).warm_up()


def test_lack_of_memory_is_distinguished_from_other_failures() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("[ONNXRuntimeError] : 6 : std::bad_alloc"))
    assert is_out_of_memory(RuntimeError("Failed to allocate memory for requested buffer of size 42"))
    assert is_out_of_memory(RuntimeError("CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc"))
    assert is_out_of_memory(RuntimeError("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0"))
    assert is_out_of_memory(RuntimeError("CUDNN failure: CUDNN_STATUS_ALLOC_FAILED"))
    assert is_out_of_memory(RuntimeError("CUDA error cudaErrorMemoryAllocation"))
    assert not is_out_of_memory(RuntimeError("Invalid rank for input: latent"))


def test_rows_that_nobody_waits_for_any_more_are_not_painted() -> None:
    engine, left, stays = Watched(), job(5), job(2, seed=1)

    def leave(*_: object, **__: object) -> np.ndarray:
        left.abandoned.set()
        return Watched.paint(engine, *_, **__)

    engine.paint = leave  # type: ignore[method-assign]
    painted = Painter({"tiny": engine}, two_styles(), 1, (1,)).paint([left, stays])
    assert engine.seen == [1, 1, 1]  # the first row of the one, both of the other
    assert painted[0].images[1:] == [b""] * 4
    assert painted[1].images == painter().paint([stays])[0].images
