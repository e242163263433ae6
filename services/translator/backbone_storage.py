"""Stores a network's weights small; the runtime widens them once, when it opens the file."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["store_small"]

SMALLEST = 1024  # values; on smaller tensors (biases) nothing is gained
LEVELS = 127


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
            levels, scale = rounded(values)
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


def rounded(filters: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Filters (O, I, H, W) as levels in -127..127 and the scale (O, 1, 1, 1) of each output channel."""
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    scale = np.maximum(largest, 1e-12).astype(np.float32) / LEVELS
    return np.rint(filters / scale).astype(np.int8), scale.astype(np.float32)
