"""Engines are opened and painted with for training as the generator does it."""

from pathlib import Path

import numpy as np

from tests.unit.generator.opened import WEIGHTS, tiny_engine
from training.generator.painting import list_concepts, open_engine, open_engine_with_latents, paint_rows

SHIPPED = Path(__file__).resolve().parents[4] / "services" / "generator" / "weights" / "canvas.onnx"


def test_rows_are_painted_one_by_one_as_the_generator_paints_them() -> None:
    rng, engine = np.random.default_rng(0), tiny_engine()
    weights = rng.dirichlet(np.ones(3), 2).astype(np.float32)
    noise = rng.standard_normal((2, engine.noise_size)).astype(np.float32)
    one_by_one = [engine.paint(weights[k : k + 1], noise[k : k + 1], np.float32([0.5]))[0] for k in range(2)]
    assert np.array_equal(list(paint_rows(open_engine(WEIGHTS / "tiny.onnx"), weights, noise, 0.5)), one_by_one)
    assert np.array_equal(list(paint_rows(engine, weights, noise, np.float32([0.5, 0.5]))), one_by_one)


def test_without_noise_a_row_is_its_concept() -> None:
    engine = tiny_engine()
    (plain,) = paint_rows(engine, np.eye(3, dtype=np.float32)[:1])
    none = np.zeros((1, engine.noise_size), np.float32)
    assert np.array_equal(plain, engine.paint(np.eye(3, dtype=np.float32)[:1], none, np.zeros(1, np.float32))[0])


def test_latents_are_read_from_the_file_in_the_order_of_the_concepts() -> None:
    engine, latents = open_engine_with_latents(SHIPPED)
    assert latents.shape == (len(list_concepts(engine)), 32)
    assert latents.dtype == np.float32
    assert np.isfinite(latents).all()
    assert len(set(list_concepts(engine))) == len(engine.concepts) == 337
