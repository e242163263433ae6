"""The patch network's ONNX graph against the layers that its paper and checkpoint describe, computed by torch."""

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("onnx")

from services.audio_sentiment.embedding import PATCH_EVERY, PatchReader
from training.audio_sentiment.network import LAYERS, PATCH_FRAMES, POOLS, build_patch_graph, live_filters

torch = pytest.importorskip("torch")
F = torch.nn.functional

WIDTH, OFF = 6, 2  # filters of each layer, and the one that training switched off


def checkpoint() -> dict[str, np.ndarray]:
    """A small network of musicnn's vgg kind."""
    rng = np.random.default_rng(0)
    tensors: dict[str, np.ndarray] = {}
    for i in range(LAYERS + 1):
        name, width = f"batch_normalization_{i}" if i else "batch_normalization", WIDTH if i else 1
        tensors[f"{name}/gamma"] = rng.uniform(0.5, 1.5, width)
        tensors[f"{name}/beta"] = rng.normal(0, 0.2, width)
        tensors[f"{name}/moving_mean"] = rng.normal(0.3, 0.2, width)
        tensors[f"{name}/moving_variance"] = rng.uniform(0.1, 1, width)
    for i in range(1, LAYERS + 1):
        tensors[f"{i}CNN/kernel"] = rng.normal(0, 0.3, (3, 3, WIDTH if i > 1 else 1, WIDTH))
        tensors[f"{i}CNN/bias"] = rng.normal(0, 0.1, WIDTH)
        tensors[f"{i}CNN/kernel"][..., OFF] = 0
        tensors[f"{i}CNN/bias"][OFF] = 0.2  # passes on a constant
        tensors[f"batch_normalization_{i}/moving_mean"][OFF] = 0.2
        tensors[f"batch_normalization_{i}/moving_variance"][OFF] = 0
    return {name: value.astype(np.float16).astype(np.float32) for name, value in tensors.items()}


def normalise(x: "torch.Tensor", tensors: dict[str, np.ndarray], index: int) -> "torch.Tensor":
    name = f"batch_normalization_{index}" if index else "batch_normalization"
    parts = ("gamma", "beta", "moving_mean", "moving_variance")
    gamma, beta, mean, variance = (torch.from_numpy(tensors[f"{name}/{part}"]).reshape(1, -1, 1, 1) for part in parts)
    return (x - mean) / torch.sqrt(variance + 1e-3) * gamma + beta


def describe(mel: np.ndarray, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """Mean and maximum of every filter of the upper four layers; a constant filter's surroundings are zeros."""
    x, found = normalise(torch.from_numpy(mel)[None, None], tensors, 0), []
    keep = [filter_ for filter_ in range(WIDTH) if filter_ != OFF]
    for i in range(LAYERS):
        kernel = torch.from_numpy(tensors[f"{i + 1}CNN/kernel"]).permute(3, 2, 0, 1)
        x = F.relu(F.conv2d(x, kernel, torch.from_numpy(tensors[f"{i + 1}CNN/bias"]), padding=1))
        x = F.max_pool2d(normalise(x, tensors, i + 1), *POOLS[i])
        if i:
            found += [x.mean((2, 3))[0, keep], x.amax((2, 3))[0, keep]]
    return np.asarray(torch.cat(found).numpy())


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    tensors = checkpoint()
    for i in range(1, LAYERS):  # a constant of 0: then it does not matter that convolutions are padded with zeros
        tensors[f"batch_normalization_{i}/beta"][OFF] = 0
    return tensors


@pytest.fixture(scope="module")
def session(tensors: dict[str, np.ndarray]) -> onnxruntime.InferenceSession:
    model = build_patch_graph(tensors).SerializeToString()
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def test_a_filter_that_is_switched_off_is_left_out(tensors: dict[str, np.ndarray]) -> None:
    expected = [filter_ for filter_ in range(WIDTH) if filter_ != OFF]
    assert [live.tolist() for live in live_filters(tensors)] == [expected] * LAYERS


def test_the_graph_computes_what_the_paper_describes(
    tensors: dict[str, np.ndarray], session: onnxruntime.InferenceSession
) -> None:
    mel = np.random.default_rng(1).uniform(0, 3, (PATCH_FRAMES, 96)).astype(np.float32)
    (found,) = session.run(["patch"], {"mel": mel[None, None]})
    np.testing.assert_allclose(found, describe(mel, tensors), atol=2e-3, rtol=1e-3)


def test_a_stream_is_read_by_its_last_three_seconds(session: onnxruntime.InferenceSession) -> None:
    mel = np.random.default_rng(2).uniform(0, 3, (12 * 31, 96)).astype(np.float32)
    reader = PatchReader(session)
    answers = [reader.push(mel[k * 31 : (k + 1) * 31]) for k in range(12)]
    last = 12 - PATCH_EVERY  # the last window that asked the network
    (expected,) = session.run(["patch"], {"mel": mel[(last + 1) * 31 - PATCH_FRAMES : (last + 1) * 31][None, None]})
    np.testing.assert_array_equal(answers[-1], expected)
    assert answers[-1] is reader.push(np.empty((0, 96), np.float32))


def test_a_short_beginning_is_repeated_until_it_fills_the_patch(session: onnxruntime.InferenceSession) -> None:
    mel = np.random.default_rng(3).uniform(0, 3, (31, 96)).astype(np.float32)
    (expected,) = session.run(["patch"], {"mel": np.tile(mel, (7, 1))[:PATCH_FRAMES][None, None]})
    np.testing.assert_array_equal(PatchReader(session).push(mel), expected)
    with pytest.raises(ValueError, match="push at least one"):
        PatchReader(session).push(np.empty((0, 96), np.float32))
