"""What took long is computed once."""

from pathlib import Path

import numpy as np

from training.cache import load_or_compute


def test_an_array_is_computed_once_and_then_read(tmp_path: Path) -> None:
    calls = []

    def compute() -> np.ndarray:
        calls.append(None)
        return np.arange(3, dtype=np.float16)

    path = tmp_path / "deep" / "red weave 0.36.npy"
    for _ in range(2):
        assert load_or_compute(path, compute).tolist() == [0, 1, 2]
    assert len(calls) == 1
    assert [file.name for file in path.parent.iterdir()] == ["red weave 0.36.npy"]
    assert load_or_compute(path, compute).dtype == np.float16


def test_without_a_file_it_is_computed_each_time() -> None:
    assert load_or_compute(None, lambda: np.zeros(2)).tolist() == [0, 0]
