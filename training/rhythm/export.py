"""Writes the networks that hear beats as the service opens them: the mean of BeatNet's three networks, in one graph.

`python -m training.rhythm.export --beatnet DIR` takes the folder `BeatNet` of the unpacked wheel
(`pip download --no-deps BeatNet==1.1.3`; its other requirements no longer install and are not needed).

Source: Heydari, Cwitkowitz & Duan (2021), BeatNet. Differs: matrices are stored in 8 bits with a scale for each row,
and the state of the recurrent layers goes in and out, so that a stream can be read in parts.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper

import services.audio_sentiment
from services.audio_sentiment.rhythm.spectrum import SPECTRUM_SIZE
from training.graph import GraphBuilder
from training.manifest import write_manifest

__all__ = ["build_graph", "main", "quantise_rows", "read_beatnet"]

F32 = NDArray[np.float32]
WEIGHTS = Path(services.audio_sentiment.__file__).with_name("weights")
CELLS = 150  # of each recurrent layer
LAYERS = 2
NETWORKS = (1, 2, 3)
CLASSES = 3  # beat, downbeat, neither
OPSET = 17


def read_beatnet(folder: Path) -> list[dict[str, F32]]:
    """Reads the weights of the networks.

    Args:
        folder: `BeatNet` of the unpacked wheel.
    """
    import torch

    files = [folder / "models" / f"model_{number}_weights.pt" for number in NETWORKS]
    states = [torch.load(file, weights_only=True, map_location="cpu") for file in files]
    return [{name: np.asarray(value.numpy(), np.float32) for name, value in state.items()} for state in states]


def quantise_rows(matrix: F32) -> tuple[NDArray[np.int8], F32]:
    """Rounds a matrix to 8 bits.

    Args:
        matrix: (…, columns).

    Returns:
        The integers, and a scale for each row, (…, 1): their product is the matrix, within half a scale.
    """
    scale = np.maximum(np.abs(matrix).max(axis=-1, keepdims=True), 1e-12) / 127.0
    return np.rint(matrix / scale).astype(np.int8), scale.astype(np.float32)


class _Graph(GraphBuilder):
    """A graph whose matrices are stored in 8 bits."""

    def store_rounded(self, name: str, matrix: F32) -> str:
        """Adds a matrix in 8 bits, and its expansion, which the runtime does once when it opens the file."""
        numbers, scale = quantise_rows(matrix)
        cast = self.add("Cast", [self.store(f"{name}_8bit", numbers)], f"{name}_cast", to=TensorProto.FLOAT)
        return self.add("Mul", [cast, self.store(f"{name}_scale", scale)], name)


def _reorder_gates(rows: F32) -> F32:
    """PyTorch's gates (input, forget, cell, output) in ONNX's order (input, output, forget, cell)."""
    gates = rows.reshape(4, CELLS, *rows.shape[1:])
    return np.concatenate([gates[0], gates[3], gates[1], gates[2]])[None]


def _add_network(graph: _Graph, tag: str, weights: Mapping[str, F32], states: list[str]) -> tuple[str, list[str]]:
    """Adds one network; returns its output, (frames, CLASSES), and the new states of its layers, hidden and cell."""
    conv = [graph.store(f"{tag}_{kind}", weights[f"conv1.{kind}"]) for kind in ("weight", "bias")]
    graph.add("Conv", ["spectrum_rows", *conv], f"{tag}_conv")
    graph.add("Relu", [f"{tag}_conv"], f"{tag}_relu")
    graph.add("MaxPool", [f"{tag}_relu"], f"{tag}_pool", kernel_shape=[2], strides=[2])
    graph.add("Flatten", [f"{tag}_pool"], f"{tag}_flat", axis=1)
    dense = graph.store_rounded(f"{tag}_dense", weights["linear0.weight"])
    graph.add(
        "Gemm", [f"{tag}_flat", dense, graph.store(f"{tag}_dense_bias", weights["linear0.bias"])], f"{tag}_in", transB=1
    )
    x = graph.add("Unsqueeze", [f"{tag}_in", "axis_1"], f"{tag}_x0")
    following: list[str] = []
    for layer in range(LAYERS):
        name = f"{tag}_l{layer}"
        matrices = [
            graph.store_rounded(f"{name}_{kind}", _reorder_gates(weights[f"lstm.weight_{kind}_l{layer}"]))
            for kind in ("ih", "hh")
        ]
        biases = [_reorder_gates(weights[f"lstm.bias_{kind}_l{layer}"]) for kind in ("ih", "hh")]
        bias = graph.store(f"{name}_bias", np.concatenate(biases, axis=1))
        hidden, cell = states[2 * layer : 2 * layer + 2]
        outputs = (f"{name}_h", f"{name}_c")
        graph.add("LSTM", [x, *matrices, bias, "", hidden, cell], f"{name}_y", *outputs, hidden_size=CELLS)
        x = graph.add("Squeeze", [f"{name}_y", "axis_1"], f"{name}_out")
        following.extend(outputs)
    graph.add("Squeeze", [x, "axis_1"], f"{tag}_last")
    out = [graph.store(f"{tag}_out_{kind}", weights[f"linear.{kind}"]) for kind in ("weight", "bias")]
    graph.add("Gemm", [f"{tag}_last", *out], f"{tag}_logits", transB=1)
    return graph.add("Softmax", [f"{tag}_logits"], f"{tag}_shares", axis=1), following


def build_graph(networks: Sequence[Mapping[str, F32]]) -> Any:
    """Builds the graph.

    Inputs: `spectrum` (frames, SPECTRUM_SIZE), frames in order, at least one; `state` (2 LAYERS networks, 1, 1, CELLS),
    zeros at the start of a song. Outputs: `shares` (frames, CLASSES), mean of the networks, each row of sum 1: beat,
    downbeat, neither; `next_state`, for the frames that follow.
    """
    graph = _Graph()
    graph.store("axis_0", np.array([0], np.int64))
    graph.store("axis_1", np.array([1], np.int64))
    graph.add("Unsqueeze", ["spectrum", "axis_1"], "spectrum_rows")
    count = 2 * LAYERS * len(networks)
    split = [f"state_{number}" for number in range(count)]
    parts = [f"{name}_part" for name in split]
    graph.add("Split", ["state"], *parts, axis=0)
    for name, part in zip(split, parts, strict=True):
        graph.add("Squeeze", [part, "axis_0"], name)
    shares: list[str] = []
    following: list[str] = []
    for number, weights in enumerate(networks):
        states = split[2 * LAYERS * number : 2 * LAYERS * (number + 1)]
        share, after = _add_network(graph, f"n{number}", weights, states)
        shares.append(share)
        following += [graph.add("Unsqueeze", [name, "axis_0"], f"{name}_next") for name in after]
    graph.add("Mean", shares, "shares")
    graph.add("Concat", following, "next_state", axis=0)
    return _finish(graph, count)


def _finish(graph: _Graph, state_count: int) -> Any:
    """The model of the graph, checked."""
    state_shape = [state_count, 1, 1, CELLS]
    inputs = [
        helper.make_tensor_value_info("spectrum", 1, ["frames", SPECTRUM_SIZE]),
        helper.make_tensor_value_info("state", 1, state_shape),
    ]
    outputs = [
        helper.make_tensor_value_info("shares", 1, ["frames", CLASSES]),
        helper.make_tensor_value_info("next_state", 1, state_shape),
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "beats", inputs, outputs, graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="deepsing",
    )
    model.ir_version = 8
    checker.check_model(model)
    return model


def main(arguments: Sequence[str] | None = None) -> int:
    """Exports the networks; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beatnet", type=Path, required=True, help="folder BeatNet of the unpacked wheel")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where to write")
    options = parser.parse_args(arguments)
    options.weights.mkdir(parents=True, exist_ok=True)
    path = options.weights / "beats.onnx"
    path.write_bytes(build_graph(read_beatnet(options.beatnet)).SerializeToString(deterministic=True))
    facts = {
        "source": "PyPI BeatNet 1.1.3, models 1, 2 and 3: M. Heydari, F. Cwitkowitz and Z. Duan, ISMIR 2021",
        "licence": "CC BY 4.0",
        "changed": "matrices rounded to 8 bits with a scale for each row; mean of the three; state as input and output",
        "trained_on": "by its authors: Ballroom, GTZAN and Rock Corpus",
        "command": "python -m training.rhythm.export --beatnet DIR",
        "card": "docs/models/beats.md",
    }
    write_manifest(path, facts, "audio-sentiment-beats")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
