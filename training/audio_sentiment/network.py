"""The two music networks of the musicnn package as ONNX graphs, made from its checkpoints' tensors.

Source: Pons & Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging" (ISMIR 2019 LBD).

`build_graph` streams. Differs: convolutions run over time without padding and carry their own past, so each frame is
computed once, with its full neighbourhood, instead of once per overlapping 3 s window; filters that training switched
off are left out. It takes the next mel frames, with `BEFORE` and `AFTER` frames around them, and the last rows of its
front layer; it gives mean and maximum over these frames of its 561 (less when pruned) + 3 x 64 channels.

`build_patch_graph` is MSD_vgg, over one patch of three seconds: five layers of 3 x 3 filters, ReLU, batch norm and
maximum pooling (after Choi, Fazekas & Sandler, "Automatic tagging using deep convolutional neural networks", 2016).
Differs: filters that training switched off are left out, what they constantly pass on is in the next layer's bias; mean
and maximum of the upper four layers are given instead of tags.
"""

__all__ = ["batch_norm", "build_graph", "live_channels", "tagger_weights", "build_patch_graph", "live_filters"]

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from training.graph import GraphBuilder

F32 = NDArray[np.float32]
Tensors = Mapping[str, NDArray[np.float32]]
N_MELS = 96
TIMBRAL_TAPS, TEMPORAL_TAPS, MIDDLE_TAPS = 7, (128, 64, 32), 7
BEFORE, AFTER = TEMPORAL_TAPS[0] // 2 - 1, TEMPORAL_TAPS[0] // 2  # TensorFlow pads an even kernel so
MIDDLE_LAYERS = 3
MIDDLE_ROWS = MIDDLE_LAYERS * (MIDDLE_TAPS - 1)  # 18 rows of the past
PATCH_FRAMES = 187  # three seconds
LAYERS = 5  # of the network of patches
POOLS = (((4, 1), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((4, 4), (4, 4)))  # size, stride
_EPSILON = 1e-3  # TensorFlow's batch-norm default
_DEAD = 1e-12  # variance of a filter that weight decay has switched off
_FRONT_LAYERS = 5
_HALF_SIZE = 1024  # kernels; the rounding of folded batch norms would show
_OPSET = 17


def batch_norm(tensors: Tensors, index: int) -> tuple[F32, F32]:
    """Batch norm `index` as scale and shift."""
    name = f"batch_normalization_{index}" if index else "batch_normalization"
    scale = tensors[f"{name}/gamma"] / np.sqrt(tensors[f"{name}/moving_variance"] + _EPSILON)
    return scale, tensors[f"{name}/beta"] - scale * tensors[f"{name}/moving_mean"]


def _convolution(tensors: Tensors, index: int) -> tuple[F32, F32]:
    """Kernel (out, 1, time, frequency) and bias of convolution `index`."""
    name = f"conv2d_{index}" if index else "conv2d"
    return tensors[f"{name}/kernel"].transpose(3, 2, 0, 1), tensors[f"{name}/bias"]


def live_channels(tensors: Tensors) -> list[NDArray[np.intp]]:
    """Per front convolution, the filters whose output varies (the others give a constant below 2e-3)."""
    return [
        np.flatnonzero(tensors[f"batch_normalization_{i + 1}/moving_variance"] > _DEAD) for i in range(_FRONT_LAYERS)
    ]


class _Graph(GraphBuilder):
    """A graph whose large weights are stored as float16."""

    def add_weight(self, name: str, value: NDArray[np.generic]) -> str:
        """Adds a weight; large float32 ones are stored as float16 and cast back when the graph is opened."""
        half = value.dtype == np.float32 and value.size >= _HALF_SIZE
        return self.store_half(name, value.astype(np.float32)) if half else self.store(name, value)

    def add_slice(self, source: str, name: str, start: int, end: int, axis: int) -> str:
        """Adds a cut; `end` 0 is the end of the axis."""
        bounds = [np.array([v], np.int64) for v in (start, end or np.iinfo(np.int64).max, axis)]
        marks = [self.add_weight(f"{name}_{i}", bound) for i, bound in enumerate(bounds)]
        return self.add("Slice", [source, *marks], name)


def _add_front(graph: _Graph, tensors: Tensors) -> str:
    """Mel frames (1, 1, frames + 127, 96) → front rows (1, channels, frames)."""
    scale, shift = batch_norm(tensors, 0)
    scaled = graph.add("Mul", ["mel", graph.add_weight("mel_scale", scale)], "mel_scaled")
    mel = graph.add("Add", [scaled, graph.add_weight("mel_shift", shift)], "mel_normal")
    parts = []
    for i, live in enumerate(live_channels(tensors)):
        kernel, bias = _convolution(tensors, i)
        before, after = (kernel.shape[2] - 1) // 2, kernel.shape[2] // 2
        cut = graph.add_slice(mel, f"cut{i}", BEFORE - before, -(AFTER - after), 2) if before < BEFORE else mel
        names = [graph.add_weight(f"k{i}", kernel[live]), graph.add_weight(f"b{i}", bias[live])]
        active = graph.add("Relu", [graph.add("Conv", [cut, *names], f"c{i}")], f"r{i}")
        scale, shift = (v[live].reshape(-1, 1, 1) for v in batch_norm(tensors, i + 1))
        normal = graph.add("Mul", [active, graph.add_weight(f"s{i}", scale)], f"m{i}")
        normal = graph.add("Add", [normal, graph.add_weight(f"t{i}", shift)], f"n{i}")
        parts.append(graph.add("ReduceMax", [normal], f"p{i}", axes=[3], keepdims=0))
    return graph.add("Concat", parts, "front", axis=1)


def _add_middle(graph: _Graph, tensors: Tensors, rows: str) -> list[str]:
    """Front rows (1, channels, frames + 18) → front and three residual layers, each (1, channels, frames)."""
    keep = np.concatenate(_offset_live(tensors))
    layers, below, trimmed = [graph.add_slice(rows, "l0", 9, -9, 2)], rows, MIDDLE_ROWS // 2
    for j in range(MIDDLE_LAYERS):
        kernel, bias = _convolution(tensors, _FRONT_LAYERS + j)  # (64, 1, 7, channels)
        taps = kernel[:, 0].transpose(0, 2, 1)  # (64, channels, 7)
        if j == 0:
            taps = taps[:, keep]
        names = [graph.add_weight(f"mk{j}", np.ascontiguousarray(taps)), graph.add_weight(f"mb{j}", bias)]
        active = graph.add("Relu", [graph.add("Conv", [below, *names], f"mc{j}")], f"mr{j}")
        scale, shift = (v.reshape(-1, 1) for v in batch_norm(tensors, _FRONT_LAYERS + 1 + j))
        normal = graph.add("Mul", [active, graph.add_weight(f"ms{j}", scale)], f"mm{j}")
        normal = graph.add("Add", [normal, graph.add_weight(f"mt{j}", shift)], f"mn{j}")
        if j:
            normal = graph.add("Add", [normal, graph.add_slice(below, f"res{j}", 3, -3, 2)], f"ma{j}")
        below, trimmed = normal, trimmed - MIDDLE_TAPS // 2
        layers.append(graph.add_slice(below, f"l{j + 1}", trimmed, -trimmed, 2) if trimmed else below)
    return layers


def _offset_live(tensors: Tensors) -> list[NDArray[np.intp]]:
    """Live filters as positions in the unpruned front layer."""
    widths = [tensors[f"batch_normalization_{i + 1}/gamma"].size for i in range(_FRONT_LAYERS)]
    starts = np.concatenate([[0], np.cumsum(widths)[:-1]])
    return [live + start for live, start in zip(live_channels(tensors), starts, strict=True)]


def build_graph(tensors: Tensors) -> onnx.ModelProto:
    """Builds the streaming graph.

    Args:
        tensors: the checkpoint of a musicnn model, by TensorFlow name.

    Returns:
        A model with inputs `mel` (1, 1, frames + 127, 96), `past` (1, channels, 18) and outputs `rows`
        (1, channels, 18), the next call's `past`, and `pooled` (2, channels + 192 in musicnn): mean and maximum over
        the frames.
        Row i belongs to mel frame i + 63 - 9: the network lags 64 + 9 frames behind its input.
    """
    graph = _Graph()
    channels = sum(live.size for live in live_channels(tensors))
    rows = graph.add("Concat", ["past", _add_front(graph, tensors)], "all_rows", axis=2)
    graph.add_slice(rows, "rows", -MIDDLE_ROWS, 0, 2)
    stacked = graph.add("Concat", _add_middle(graph, tensors, rows), "stacked", axis=1)
    mean = graph.add("ReduceMean", [stacked], "mean", axes=[2], keepdims=0)
    top = graph.add("ReduceMax", [stacked], "max", axes=[2], keepdims=0)
    graph.add("Concat", [mean, top], "pooled", axis=0)
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        graph.nodes,
        "musicnn_stream",
        [
            info("mel", TensorProto.FLOAT, [1, 1, "frames_and_margin", N_MELS]),
            info("past", TensorProto.FLOAT, [1, channels, MIDDLE_ROWS]),
        ],
        [
            info("rows", TensorProto.FLOAT, [1, channels, MIDDLE_ROWS]),
            info("pooled", TensorProto.FLOAT, [2, channels + MIDDLE_LAYERS * tensors["conv2d_5/bias"].size]),
        ],
        graph.weights,
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def tagger_weights(tensors: Tensors) -> dict[str, F32]:
    """The dense layers above the pooling, pruned alike, batch norms folded.

    Returns:
        `hidden` (2 x channels, 200) over [maximum, mean], `hidden_bias`, `hidden_scale`, `hidden_shift` (200,),
        `tags` (200, 50) and `tags_bias` (50,): penultimate = relu(x @ hidden + bias) * scale + shift; logits above it.
    """
    pooled = tensors["batch_normalization_9/gamma"].size // 2
    middle = np.arange(sum(tensors[f"batch_normalization_{i + 1}/gamma"].size for i in range(_FRONT_LAYERS)), pooled)
    keep = np.concatenate([*_offset_live(tensors), middle])
    both = np.concatenate([2 * keep, 2 * keep + 1])  # TensorFlow flattens (channel, [maximum, mean])
    scale, shift = batch_norm(tensors, 9)
    kernel = tensors["dense/kernel"]
    hidden_scale, hidden_shift = batch_norm(tensors, 10)
    return {
        "hidden": (kernel * scale[:, None])[both],
        "hidden_bias": tensors["dense/bias"] + shift @ kernel,
        "hidden_scale": hidden_scale,
        "hidden_shift": hidden_shift,
        "tags": tensors["dense_1/kernel"],
        "tags_bias": tensors["dense_1/bias"],
    }


def live_filters(tensors: Tensors) -> list[NDArray[np.intp]]:
    """Per layer, the filters whose output varies."""
    variances = [tensors[f"batch_normalization_{i}/moving_variance"] for i in range(1, LAYERS + 1)]
    return [np.flatnonzero(variance > _DEAD) for variance in variances]


def _prune_kernel(tensors: Tensors, layer: int) -> tuple[F32, F32]:
    """Kernel (out, in, time, frequency) and bias of a layer, pruned."""
    live = live_filters(tensors)
    kernel, bias = tensors[f"{layer + 1}CNN/kernel"].transpose(3, 2, 0, 1), tensors[f"{layer + 1}CNN/bias"]
    if layer:
        scale, shift = batch_norm(tensors, layer)
        constant = np.maximum(tensors[f"{layer}CNN/bias"], 0.0) * scale + shift
        dead = np.setdiff1d(np.arange(constant.size), live[layer - 1])
        bias = bias + kernel[:, dead].sum(axis=(2, 3)) @ constant[dead]
        kernel = kernel[:, live[layer - 1]]
    return np.ascontiguousarray(kernel[live[layer]]), bias[live[layer]]


def build_patch_graph(tensors: Tensors) -> onnx.ModelProto:
    """Builds the graph.

    Args:
        tensors: the checkpoint of a vgg model, by TensorFlow name.

    Returns:
        A model with input `mel` (1, 1, PATCH_FRAMES, N_MELS) and output `patch` (features,): of each layer but the
        first, the mean, then the maximum of its live filters.
    """
    graph = GraphBuilder()

    def add_affine(below: str, index: int, keep: NDArray[np.intp] | slice) -> str:
        scale, shift = (np.asarray(value[keep].reshape(-1, 1, 1), np.float32) for value in batch_norm(tensors, index))
        scaled = graph.add("Mul", [below, graph.store(f"s{index}", scale)], f"m{index}")
        return graph.add("Add", [scaled, graph.store(f"t{index}", shift)], f"n{index}")

    below, pooled, live = add_affine("mel", 0, slice(None)), [], live_filters(tensors)
    for i in range(LAYERS):
        kernel, bias = _prune_kernel(tensors, i)
        inputs = [below, graph.store_half(f"k{i}", kernel), graph.store(f"b{i}", np.asarray(bias, np.float32))]
        active = graph.add("Relu", [graph.add("Conv", inputs, f"c{i}", pads=[1, 1, 1, 1])], f"r{i}")
        size, stride = POOLS[i]
        below = graph.add("MaxPool", [add_affine(active, i + 1, live[i])], f"p{i}", kernel_shape=size, strides=stride)
        if i:
            for op in ("ReduceMean", "ReduceMax"):
                pooled.append(graph.add(op, [below], f"{op}{i}", axes=[0, 2, 3], keepdims=0))
    graph.add("Concat", pooled, "patch", axis=0)
    return _build_model(graph.nodes, graph.weights, sum(2 * filters.size for filters in live[1:]))


def _build_model(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], feature_count: int) -> onnx.ModelProto:
    mel = helper.make_tensor_value_info("mel", TensorProto.FLOAT, [1, 1, PATCH_FRAMES, N_MELS])
    patch = helper.make_tensor_value_info("patch", TensorProto.FLOAT, [feature_count])
    body = helper.make_graph(nodes, "musicnn_patch", [mel], [patch], weights)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
