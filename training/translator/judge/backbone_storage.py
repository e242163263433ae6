"""Makes an exported network small to store and quick to run."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["fuse_padding", "store_small"]

SMALLEST = 1024  # values; on smaller tensors (biases) nothing is gained
LEVELS = 127


def fuse_padding(model: onnx.ModelProto) -> None:
    """Lets convolutions pad for themselves, as "same" padding does.

    A padding of its own between two convolutions makes the runtime reorder the whole map twice, which took as long as
    the convolutions. Those before which something is padded must have square kernels and equal strides.
    """
    makers = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        before = makers.get(node.input[0]) if node.op_type == "Conv" else None
        if before is None or before.op_type != "Pad":
            continue
        facts = {attribute.name: attribute.ints for attribute in node.attribute if attribute.ints}
        total = facts["kernel_shape"][0] - facts["strides"][0]
        facts["pads"][:] = [total // 2] * 2 + [total - total // 2] * 2
        node.input[0] = before.input[0]
    needed = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):  # in order of use: what feeds only a padding goes, too
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))


def store_small(model: onnx.ModelProto) -> None:
    """Stores large weights as 8-bit levels with one scale per output channel; depthwise filters as 16-bit floats.

    A cast and a product per tensor widen them again; both are folded at load, so that nothing is slower.
    """
    widening: list[onnx.NodeProto] = []
    scales: list[onnx.TensorProto] = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or values.size < SMALLEST:
            continue
        name, small = weight.name, f"{weight.name}.small"
        if values.ndim == 4 and values.shape[1] > 1:
            levels, scale = quantize_filters(values)
            weight.CopyFrom(numpy_helper.from_array(levels, small))
            scales.append(numpy_helper.from_array(scale, f"{name}.scale"))
            widening.append(helper.make_node("Cast", [small], [f"{name}.levels"], to=TensorProto.FLOAT))
            widening.append(helper.make_node("Mul", [f"{name}.levels", f"{name}.scale"], [name]))
        else:
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), small))
            widening.append(helper.make_node("Cast", [small], [name], to=TensorProto.FLOAT))
    nodes = [*widening, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(scales)


def quantize_filters(filters: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Filters (O, I, H, W) as levels in -127..127 and the scale (O, 1, 1, 1) of each output channel."""
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    scale = np.maximum(largest, 1e-12).astype(np.float32) / LEVELS
    return np.rint(filters / scale).astype(np.int8), scale.astype(np.float32)
