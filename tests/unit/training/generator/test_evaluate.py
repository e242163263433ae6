import numpy as np
import pytest

from tests.unit.generator.opened import WEIGHTS, tiny_engine
from training.generator.evaluate import checkerboard, halfway_contrast, main, measure_engine, paint_concepts, psnr_db

NOISY = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3)).astype(np.uint8)


def test_sharpness_follows_the_definition() -> None:
    grey = np.full((2, 8, 8, 3), 100, np.uint8)
    off = grey.copy()
    off[1] += 10
    assert psnr_db(off, grey) == pytest.approx([78.13, 28.13], abs=0.01)  # 10 log10(255² / 100) = 28.13


def test_pictures_without_a_pattern_score_about_one() -> None:
    assert checkerboard(NOISY) == pytest.approx(1, abs=0.1)


def test_a_checkerboard_within_blocks_scores_high() -> None:
    light = np.random.default_rng(1).normal(128, 8, (4, 64, 64, 3))
    strength = np.random.default_rng(2).normal(0, 8, (4, 32, 32)).repeat(2, 1).repeat(2, 2)
    board = np.where(np.indices((64, 64)).sum(0) % 2 == 0, 1, -1)
    marked = (light + (board * strength)[..., None]).clip(0, 255).astype(np.uint8)
    assert checkerboard(marked) > 2


def test_doubled_pixels_score_low() -> None:
    assert checkerboard(NOISY.repeat(2, 1).repeat(2, 2)) < 0.1


def test_a_double_exposure_loses_contrast_and_a_patchwork_keeps_it() -> None:
    first, last = NOISY[:4], NOISY[4:]
    patchwork = first.copy()
    patchwork[:, :, 32:] = last[:, :, 32:]
    assert halfway_contrast(first, (first.astype(float) + last) / 2, last) == pytest.approx(0.71, abs=0.05)
    assert halfway_contrast(first, patchwork, last) == pytest.approx(1, abs=0.05)


def test_an_engine_is_measured_by_what_it_paints() -> None:
    painted = paint_concepts(tiny_engine())
    metrics = measure_engine(tiny_engine(), painted)
    assert metrics["psnr_db"] == {"n": 3, "mean": 78.13, "sd": 0.0, "min": 78.13, "max": 78.13}
    assert metrics["checkerboard"]["made"] == metrics["checkerboard"]["photos"]  # type: ignore[index]
    assert 0.5 < metrics["halfway_contrast"]["cross_fade"] < metrics["halfway_contrast"]["mixed"] < 1.1  # type: ignore[index]


def test_every_concept_is_painted_alone() -> None:
    assert paint_concepts(tiny_engine()).shape == (3, 64, 64, 3)


def test_the_sheets_are_painted(tmp_path: object) -> None:
    main(["--engine", str(WEIGHTS / "tiny.onnx"), "--out", str(tmp_path)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["concepts.jpg", "noise.jpg", "transitions.jpg"]  # type: ignore[attr-defined]
