"""Collects the nodes and weights of an ONNX graph."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["GraphBuilder"]


class GraphBuilder:
    """Collects nodes and weights, in the order in which they are added.

    Attributes:
        nodes: so far.
        weights: so far, ONNX's initializers.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, op: str, inputs: list[str], output: str, *others: str, **attributes: Any) -> str:
        """Adds a node; returns the name of its first output."""
        self.nodes.append(helper.make_node(op, inputs, [output, *others], **attributes))
        return output

    def store(self, name: str, value: NDArray[np.generic]) -> str:
        """Adds a weight as it is; returns its name."""
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def store_half(self, name: str, value: NDArray[np.float32]) -> str:
        """Adds a weight as float16, and the cast back, which the runtime does once when it opens the file."""
        return self.add("Cast", [self.store(f"{name}_half", value.astype(np.float16))], name, to=TensorProto.FLOAT)
