"""The small networks of tests/golden/generator, opened as the service opens its own."""

import functools
from pathlib import Path

import numpy as np
import onnxruntime

from services.generator.engine import Engine
from services.generator.painter import Job
from services.generator.stylize import Stylist

WEIGHTS = Path(__file__).resolve().parents[2] / "golden" / "generator" / "weights"


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@functools.cache
def tiny_engine() -> Engine:
    return Engine("tiny", "0" * 64, session(WEIGHTS / "tiny.onnx"))


@functools.cache
def two_styles() -> Stylist:
    return Stylist("1" * 64, session(WEIGHTS / "painting.onnx"))


def job(count: int = 1, seed: int = 0, **fields: object) -> Job:
    """A job of the tiny engine with random rows; the row of an index is the same whatever the count."""
    rows = [np.random.default_rng((seed, row)) for row in range(count)]
    given = {
        "engine": "tiny",
        "class_weights": np.stack([rng.dirichlet(np.ones(3)) for rng in rows]).astype(np.float32),
        "noise": np.stack([rng.standard_normal(4) for rng in rows]).astype(np.float32),
        "truncation": 0.5,
        "style_weights": np.zeros((count, 2), dtype=np.float32),
        "size_px": (64, 64),
        **fields,
    }
    return Job(**given)  # type: ignore[arg-type]
