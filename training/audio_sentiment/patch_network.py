"""The second music network, MSD_vgg of the musicnn package, as an ONNX graph over one patch of three seconds.

Source: Pons & Serra (2019), after Choi, Fazekas & Sandler, "Automatic tagging using deep convolutional neural
networks" (2016). Five layers of 3 x 3 filters, ReLU, batch norm and maximum pooling. Differs: filters that training
switched off are left out, what they constantly pass on is in the next layer's bias; mean and maximum of the upper four
layers are given instead of tags.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.audio_sentiment.network import N_MELS, batch_norm

__all__ = ["build_patch_graph", "live_filters"]

F32 = NDArray[np.float32]
Tensors = Mapping[str, F32]
PATCH_FRAMES = 187
LAYERS = 5
POOLS = (((4, 1), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((4, 4), (4, 4)))  # size, stride
_DEAD = 1e-12  # variance of a filter that weight decay has switched off
_OPSET = 17


def live_filters(tensors: Tensors) -> list[NDArray[np.intp]]:
    """Per layer, the filters that still answer."""
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
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def add(op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def add_weight(name: str, value: F32, *, half: bool = False) -> str:
        if not half:
            weights.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
            return name
        weights.append(numpy_helper.from_array(value.astype(np.float16), f"{name}_half"))
        return add("Cast", [f"{name}_half"], name, to=TensorProto.FLOAT)

    def add_affine(below: str, index: int, keep: NDArray[np.intp] | slice) -> str:
        scale, shift = (value[keep].reshape(-1, 1, 1) for value in batch_norm(tensors, index))
        scaled = add("Mul", [below, add_weight(f"s{index}", scale)], f"m{index}")
        return add("Add", [scaled, add_weight(f"t{index}", shift)], f"n{index}")

    below, pooled, live = add_affine("mel", 0, slice(None)), [], live_filters(tensors)
    for i in range(LAYERS):
        kernel, bias = _prune_kernel(tensors, i)
        inputs = [below, add_weight(f"k{i}", kernel, half=True), add_weight(f"b{i}", bias)]
        active = add("Relu", [add("Conv", inputs, f"c{i}", pads=[1, 1, 1, 1])], f"r{i}")
        size, stride = POOLS[i]
        below = add("MaxPool", [add_affine(active, i + 1, live[i])], f"p{i}", kernel_shape=size, strides=stride)
        if i:
            for op in ("ReduceMean", "ReduceMax"):
                pooled.append(add(op, [below], f"{op}{i}", axes=[0, 2, 3], keepdims=0))
    add("Concat", pooled, "patch", axis=0)
    return _build_model(nodes, weights, sum(2 * filters.size for filters in live[1:]))


def _build_model(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], feature_count: int) -> onnx.ModelProto:
    mel = helper.make_tensor_value_info("mel", TensorProto.FLOAT, [1, 1, PATCH_FRAMES, N_MELS])
    patch = helper.make_tensor_value_info("patch", TensorProto.FLOAT, [feature_count])
    body = helper.make_graph(nodes, "musicnn_patch", [mel], [patch], weights)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
