"""Graphs of style networks: layers, the mixture of styles, and the blend with the unstyled picture.

Source: conditional instance normalisation (Dumoulin, Shlens & Kudlur 2017; Ghiasi et al. 2017).
Differs: conversions and the blend with the unstyled picture are inside the graph; each normalisation is one
operator; doubling before a convolution, and the last 9 × 9 convolution, work on quarter-size features whose
channels hold the four sub-pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.generator.engine_file import OPSET, store_halved

__all__ = ["Graph", "write_styles"]

F32 = npt.NDArray[np.float32]

EPSILON = 1e-5  # of the sources' normalisations


class Graph:
    """Collects nodes and constants; each method returns the name of a tensor.

    Args:
        weights: by name. A layer has a convolution `<layer>.w`, and either a bias `<layer>.b` or the tables
            `<layer>.norm.gamma` and `<layer>.norm.beta`, whose rows `style` mixes, with a constant part
            `<layer>.norm.gamma.b` where the source has one.
    """

    def __init__(self, weights: Mapping[str, F32]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.weights = weights
        self.style = ""  # the tensor (1, rows of the tables) that mixes them

    def constant(self, name: str, value: Any) -> str:
        """A named constant; the same name twice is the same constant."""
        self.constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """An operator with one output."""
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def pad(self, features: str, width: int, mode: str = "reflect") -> str:
        """Pads both sides of the picture by `width` pixels."""
        pads = self.constant(f"pads_{width}", np.array([0, 0, width, width] * 2, dtype=np.int64))
        return self.node("Pad", [features, pads], mode=mode)

    def convolve(self, padded: str, layer: str, weight: F32, stride: int = 1) -> str:
        """A convolution without padding of its own; with a bias where the layer has one."""
        inputs = [padded, self.constant(f"{layer}.w", weight)]
        if f"{layer}.b" in self.weights:
            inputs.append(self.constant(f"{layer}.b", self.weights[f"{layer}.b"]))
        return self.node("Conv", inputs, kernel_shape=weight.shape[2:], strides=[stride, stride])

    def normalise(self, features: str, layer: str, rectify: bool = True) -> str:
        """Instance normalisation with the styles' mixed scale and shift; nothing where the layer has a bias."""
        made = features
        if f"{layer}.b" not in self.weights:
            vectors = [self.mix_rows(f"{layer}.norm.{part}") for part in ("gamma", "beta")]
            made = self.node("InstanceNormalization", [features, *vectors], epsilon=EPSILON)
        return self.node("Relu", [made]) if rectify else made

    def mix_rows(self, name: str) -> str:
        """One table's rows, mixed: (channels,)."""
        table = self.constant(name, self.weights[name])
        made = self.node("Squeeze", [self.node("MatMul", [self.style, table]), self.axis()])
        if f"{name}.b" not in self.weights:
            return made
        return self.node("Add", [made, self.constant(f"{name}.b", self.weights[f"{name}.b"])])

    def axis(self) -> str:
        """The first axis, as operators want it."""
        return self.constant("axis_0", np.array([0], dtype=np.int64))

    def add_layer(self, features: str, layer: str, stride: int = 1, rectify: bool = True) -> str:
        """Reflect, convolve, normalise: as in the sources."""
        weight = self.weights[f"{layer}.w"]
        made = self.convolve(self.pad(features, weight.shape[2] // 2), layer, weight, stride)
        return self.normalise(made, layer, rectify)

    def add_doubling(self, features: str, layer: str) -> str:
        """Nearest-neighbour doubling and a 3 × 3 convolution, as one convolution before the doubling."""
        made = self.convolve(self.pad(features, 1, "edge"), layer, fold_doubling(self.weights[f"{layer}.w"]))
        return self.normalise(self.node("DepthToSpace", [made], blocksize=2, mode="CRD"), layer)

    def add_folded(self, features: str, layer: str) -> str:
        """A 9 × 9 convolution as a 5 × 5 one on 2 × 2 blocks: few channels fill the processor badly."""
        blocks = self.node("SpaceToDepth", [self.pad(features, 4)], blocksize=2)
        made = self.convolve(blocks, layer, fold_into_blocks(self.weights[f"{layer}.w"]))
        return self.normalise(self.node("DepthToSpace", [made], blocksize=2, mode="CRD"), layer, rectify=False)


def fold_doubling(weight: F32) -> F32:
    """Weights (out, in, 3, 3) that follow a doubling → (4 out, in, 3, 3) that precede it, four sub-pixels a channel."""
    size_out, size_in = weight.shape[:2]
    made = np.zeros((size_out, 2, 2, size_in, 3, 3), dtype=np.float32)
    for down, right, row, column in np.ndindex(2, 2, 3, 3):  # sub-pixel, then tap
        made[:, down, right, :, (down + row - 1) // 2 + 1, (right + column - 1) // 2 + 1] += weight[:, :, row, column]
    return made.reshape(4 * size_out, size_in, 3, 3)


def fold_into_blocks(weight: F32) -> F32:
    """Weights (out, in, 9, 9) → (4 out, 4 in, 5, 5), from the blocks of SpaceToDepth to sub-pixels of DepthToSpace."""
    size_out, size_in = weight.shape[:2]
    made = np.zeros((size_out, 2, 2, 2, 2, size_in, 5, 5), dtype=np.float32)
    for down, right, row, column in np.ndindex(2, 2, 9, 9):
        y, x = down + row, right + column
        made[:, down, right, y % 2, x % 2, :, y // 2, x // 2] = weight[:, :, row, column]
    return made.reshape(4 * size_out, 4 * size_in, 5, 5)


def add_network(graph: Graph, picture: str) -> str:
    """The layers of both sources in their order: (1, 3, H, W) in [0, 1] → (1, H, W, 3) in [0, 1]."""
    features = graph.add_layer(picture, "contract.0")
    features = graph.add_layer(features, "contract.1", stride=2)
    features = graph.add_layer(features, "contract.2", stride=2)
    block = 0
    while f"res.{block}.0.w" in graph.weights:
        first = graph.add_layer(features, f"res.{block}.0")
        features = graph.node("Add", [features, graph.add_layer(first, f"res.{block}.1", rectify=False)])
        block += 1
    features = graph.add_doubling(graph.add_doubling(features, "expand.0"), "expand.1")
    colours = graph.node("Sigmoid", [graph.add_folded(features, "expand.2")])
    return graph.node("Transpose", [colours], perm=[0, 2, 3, 1])


def write_styles(
    weights: Mapping[str, F32],
    path: Path,
    inputs: Mapping[str, Sequence[str | int]],
    style: Callable[[Graph, str], str],
    facts: Mapping[str, str],
    shares: F32 | None = None,
) -> None:
    """Writes a network: picture (1, H, W, 3) uint8, weights (S,) and more → styled (1, H, W, 3) uint8; even sides.

    Args:
        weights: see `Graph`.
        path: the file to write.
        inputs: shapes of the 32-bit inputs beside the picture, by name; "weights" is among them.
        style: adds what makes the tensor that mixes the tables' rows from the styles' shares (1, S), which sum to 1.
        facts: the file's metadata.
        shares: (S,) in (0, 1], how much of each style a weight of 1 shows; None is all of it.
    """
    graph = Graph(weights)
    shown = "weights" if shares is None else graph.node("Mul", ["weights", graph.constant("shares", shares)])
    one = graph.constant("one", np.float32(1))
    total = graph.node("ReduceSum", [shown], keepdims=1)
    share = graph.node("Div", [shown, graph.node("Max", [total, graph.constant("tiny", np.float32(1e-6))])])
    graph.style = style(graph, graph.node("Unsqueeze", [share, graph.axis()]))
    scale = graph.constant("scale", np.float32(255))
    plain = graph.node("Div", [graph.node("Cast", ["picture"], to=TensorProto.FLOAT), scale])
    styled = add_network(graph, graph.node("Transpose", [plain], perm=[0, 3, 1, 2]))
    strength = graph.node("Min", [total, one])
    kept = graph.node("Mul", [plain, graph.node("Sub", [one, strength])])
    blend = graph.node("Add", [graph.node("Mul", [styled, strength]), kept])
    graph.node("Cast", [graph.node("Round", [graph.node("Mul", [blend, scale])])], "styled", to=TensorProto.UINT8)
    shape: list[str | int] = [1, "height", "width", 3]
    real = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(form)) for name, form in inputs.items()]
    made = helper.make_graph(
        graph.nodes,
        "styles",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, shape), *real],
        [helper.make_tensor_value_info("styled", TensorProto.UINT8, shape)],
        list(graph.constants.values()),
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    helper.set_model_props(model, dict(facts))
    store_halved(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)
