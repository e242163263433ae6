"""The streaming ONNX graph against the network as its paper and checkpoint describe it, computed by torch."""

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("onnx")

from services.audio_sentiment.embedding import LAG_FRAMES, Embedder
from training.audio_sentiment.network import build_graph, live_channels, tagger_weights

torch = pytest.importorskip("torch")
F = torch.nn.functional

WIDTH, MIDDLE, HIDDEN = 3, 5, 4
KERNELS = [(7, 38), (7, 67), (128, 1), (64, 1), (32, 1)]
FRAMES = 31


def checkpoint(seed: int = 0) -> dict[str, np.ndarray]:
    """A small network of musicnn's kind; its second filter of every front layer is switched off."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def norm(index: int, width: int) -> None:
        name = f"batch_normalization_{index}" if index else "batch_normalization"
        tensors[f"{name}/gamma"] = rng.uniform(-1, 1.5, width)
        tensors[f"{name}/beta"] = rng.normal(0, 0.2, width)
        tensors[f"{name}/moving_mean"] = rng.normal(0.3, 0.2, width)
        tensors[f"{name}/moving_variance"] = rng.uniform(0.1, 1, width)

    norm(0, 1)
    shapes = [(t, f, 1, WIDTH) for t, f in KERNELS] + [(7, 5 * WIDTH, 1, MIDDLE)] + [(7, MIDDLE, 1, MIDDLE)] * 2
    for i, shape in enumerate(shapes):
        name = f"conv2d_{i}" if i else "conv2d"
        tensors[f"{name}/kernel"] = rng.normal(0, shape[0] ** -0.5 * shape[1] ** -0.5, shape)
        tensors[f"{name}/bias"] = rng.normal(0, 0.1, shape[3])
        norm(i + 1, shape[3])
        if i < 5:  # off: the filter answers 0, and the batch norm after it passes on 0
            tensors[f"{name}/kernel"][..., 1] = tensors[f"{name}/bias"][1] = 0
            for part in ("beta", "moving_mean", "moving_variance"):
                tensors[f"batch_normalization_{i + 1}/{part}"][1] = 0
    pooled = 2 * (5 * WIDTH + 3 * MIDDLE)
    norm(9, pooled)
    norm(10, HIDDEN)
    tensors |= {"dense/kernel": rng.normal(0, 0.3, (pooled, HIDDEN)), "dense/bias": rng.normal(0, 0.1, HIDDEN)}
    tensors |= {"dense_1/kernel": rng.normal(0, 0.3, (HIDDEN, 2)), "dense_1/bias": rng.normal(0, 0.1, 2)}
    # what the graph stores as float16 is exact there
    return {name: value.astype(np.float16).astype(np.float32) for name, value in tensors.items()}


def normalise(x: torch.Tensor, tensors: dict[str, np.ndarray], index: int, axis: int) -> torch.Tensor:
    name = f"batch_normalization_{index}" if index else "batch_normalization"
    shape = [-1 if i == axis else 1 for i in range(x.dim())]
    parts = ("gamma", "beta", "moving_mean", "moving_variance")
    gamma, beta, mean, variance = (torch.from_numpy(tensors[f"{name}/{part}"]).reshape(shape) for part in parts)
    return (x - mean) / torch.sqrt(variance + 1e-3) * gamma + beta


def layers(mel: np.ndarray, tensors: dict[str, np.ndarray]) -> torch.Tensor:
    """(frames, 96) → (channels, frames): the front and middle layers over the whole, zero-padded at its ends."""
    x = normalise(torch.from_numpy(mel)[None, None], tensors, 0, 1)
    parts = []
    for i, (taps, _) in enumerate(KERNELS):
        name = f"conv2d_{i}" if i else "conv2d"
        kernel = torch.from_numpy(tensors[f"{name}/kernel"]).permute(3, 2, 0, 1)
        padded = F.pad(x, (0, 0, (taps - 1) // 2, taps // 2))
        active = F.relu(F.conv2d(padded, kernel, torch.from_numpy(tensors[f"{name}/bias"])))
        parts.append(normalise(active, tensors, i + 1, 1).amax(dim=3))
    below = torch.cat(parts, dim=1)
    kept = [below]
    for j in range(3):
        name = f"conv2d_{5 + j}"
        kernel = torch.from_numpy(tensors[f"{name}/kernel"])[:, :, 0].permute(2, 1, 0)
        active = F.relu(F.conv1d(F.pad(below, (3, 3)), kernel, torch.from_numpy(tensors[f"{name}/bias"])))
        normal = normalise(active, tensors, 6 + j, 1)
        below = normal + below if j else normal
        kept.append(below)
    return torch.cat(kept, dim=1)[0]


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return checkpoint()


@pytest.fixture(scope="module")
def session(tensors: dict[str, np.ndarray]) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(build_graph(tensors).SerializeToString(), providers=["CPUExecutionProvider"])


def live_rows(tensors: dict[str, np.ndarray]) -> list[int]:
    front = [i * WIDTH + int(c) for i, live in enumerate(live_channels(tensors)) for c in live]
    return front + list(range(5 * WIDTH, 5 * WIDTH + 3 * MIDDLE))


def test_a_filter_that_is_switched_off_is_left_out(tensors: dict[str, np.ndarray]) -> None:
    assert [live.tolist() for live in live_channels(tensors)] == [[0, 2]] * 5


def test_streamed_pools_equal_the_network_over_the_whole(
    tensors: dict[str, np.ndarray], session: onnxruntime.InferenceSession
) -> None:
    blocks = 16
    mel = np.random.default_rng(2).uniform(0, 3, (blocks * FRAMES, 96)).astype(np.float32)
    embedder = Embedder(session)
    streamed = [embedder.push(mel[k * FRAMES : (k + 1) * FRAMES]) for k in range(blocks)]
    whole = layers(mel, tensors)[live_rows(tensors)].numpy()
    for k in range(10, blocks):  # from where the start's padding is out of reach
        end = (k + 1) * FRAMES - LAG_FRAMES
        patch = whole[:, end - 6 * FRAMES : end]
        np.testing.assert_allclose(streamed[k][0], patch.mean(axis=1), atol=2e-5)
        np.testing.assert_allclose(streamed[k][1], patch.max(axis=1), atol=2e-5)


def test_pruned_dense_layers_equal_the_full_ones(tensors: dict[str, np.ndarray]) -> None:
    mel = np.random.default_rng(3).uniform(0, 3, (187, 96)).astype(np.float32)
    whole = layers(mel, tensors)
    top, mean = whole.amax(dim=1), whole.mean(dim=1)
    flat = normalise(torch.stack([top, mean], dim=1).reshape(1, -1), tensors, 9, 1)
    hidden = F.relu(flat @ torch.from_numpy(tensors["dense/kernel"]) + torch.from_numpy(tensors["dense/bias"]))
    penultimate = normalise(hidden, tensors, 10, 1)[0]
    expected = penultimate @ torch.from_numpy(tensors["dense_1/kernel"]) + torch.from_numpy(tensors["dense_1/bias"])
    ours = tagger_weights(tensors)
    rows = live_rows(tensors)
    pooled = np.concatenate([top[rows].numpy(), mean[rows].numpy()])
    found = np.maximum(pooled @ ours["hidden"] + ours["hidden_bias"], 0) * ours["hidden_scale"] + ours["hidden_shift"]
    np.testing.assert_allclose(found, penultimate.numpy(), atol=1e-4)
    np.testing.assert_allclose(found @ ours["tags"] + ours["tags_bias"], expected.numpy(), atol=1e-4)
