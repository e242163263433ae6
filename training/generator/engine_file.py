"""Writes an engine's file: one ONNX graph, with its concepts and their latents in the metadata.

Only what traces a network needs PyTorch; what changes a finished file does without.
"""

import base64
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from services.generator.concepts import Concept, concepts_to_json

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["OPSET", "encode_floats", "export_graph", "save_engine", "store_halved", "write_engine"]

OPSET = 17
Axes = Mapping[str, Mapping[int, str]]
INPUT_AXES: Axes = {name: {0: "n"} for name in ("class_weights", "noise", "truncation")}
OUTPUT_AXES: Axes = {"pictures": {0: "n"}}
SMALLEST_HALF = 1024  # values; smaller tensors (biases) stay 32-bit: nothing is gained on them


def write_engine(
    graph: "nn.Module",
    latents: npt.NDArray[np.float32],
    concepts: list[Concept],
    noise_size: int,
    size_px: int | tuple[int, int],
    path: Path,
    halved: bool = True,
) -> None:
    """Writes an engine, replaced in one rename.

    Args:
        graph: class weights (N, K), noise (N, Z) and truncation (N,) → (N, H, W, 3) uint8; in evaluation mode.
        latents: (K, D), where the concepts lie in the engine's space; translators are trained with them.
        concepts: K, in the order of class weights.
        noise_size: Z.
        size_px: W and H, or one number for both.
        path: the .onnx file.
        halved: store large weights as 16-bit floats.
    """
    import torch

    partial, count = path.with_suffix(".partial"), len(concepts)
    example = (torch.full((1, count), 1 / count), torch.zeros(1, noise_size), torch.zeros(1))
    export_graph(graph, example, partial)
    model = onnx.load(partial)
    if halved:
        store_halved(model)
    set_picture_size(model, size_px)
    facts = {"concepts": concepts_to_json(concepts), "noise_size": str(noise_size), "latents": encode_floats(latents)}
    save_engine(model, facts, path)


def save_engine(model: onnx.ModelProto, facts: dict[str, str], path: Path) -> None:
    """Writes an engine's graph with its metadata, texts by name, replaced in one rename.

    Raises:
        onnx.checker.ValidationError: the graph is not valid.
    """
    helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    partial = path.with_suffix(".partial")
    onnx.save(model, partial)
    partial.replace(path)


def export_graph(
    graph: "nn.Module",
    example: "tuple[torch.Tensor, ...]",
    path: Path,
    inputs: Axes = INPUT_AXES,
    outputs: Axes = OUTPUT_AXES,
) -> None:
    """Writes the graph of an engine, traced on an example of its inputs.

    Args:
        graph: in evaluation mode.
        example: a tensor for each input.
        path: the .onnx file.
        inputs: names of the inputs in order, each with its axes that may vary, by name.
        outputs: likewise of the outputs.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package calls itself deprecated
        torch.onnx.export(
            graph,
            example,
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in (*inputs.items(), *outputs.items())},
            opset_version=OPSET,
            dynamo=False,
        )


def store_halved(model: onnx.ModelProto) -> None:
    """Stores large weights as 16-bit floats, each followed by a cast that constant folding removes at load."""
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or values.size < SMALLEST_HALF:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def encode_floats(values: npt.NDArray[np.float32]) -> str:
    """Little-endian 32-bit floats as base64: metadata holds text only."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")


def set_picture_size(model: onnx.ModelProto, size_px: int | tuple[int, int]) -> None:
    """States the pictures' size (W, H, or one number for both) in the graph's output, where engines read it."""
    width, height = (size_px, size_px) if isinstance(size_px, int) else size_px
    dimensions = model.graph.output[0].type.tensor_type.shape.dim
    for dimension, value in zip(dimensions[1:], (height, width, 3), strict=True):
        dimension.dim_value = value
