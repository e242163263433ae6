"""Writes checkpoints of BigGAN-deep's public layout with random weights, small or of the published sizes."""

import json
from pathlib import Path
from typing import Any

import torch

from training.generator.biggan_deep.layout import read_layout

__all__ = ["PUBLISHED", "TINY", "write_checkpoint"]

BODY = [[False, 16, 16], [True, 16, 16], [False, 16, 16], [True, 16, 8]]
MIDDLE = [[False, 8, 8], [True, 8, 8]]
TAIL = [[False, 8, 8], [True, 8, 4], [False, 4, 4], [True, 4, 2], [False, 2, 2], [True, 2, 1]]
END = [[False, 1, 1], [True, 1, 1]]
SHARED = {
    "z_dim": 128,
    "class_embed_dim": 128,
    "channel_width": 128,
    "num_classes": 1000,
    "attention_layer_position": 8,
    "eps": 1e-4,
    "n_stats": 51,
}
PUBLISHED: dict[int, dict[str, Any]] = {
    128: {**SHARED, "output_dim": 128, "layers": BODY + TAIL},
    256: {**SHARED, "output_dim": 256, "layers": BODY + MIDDLE + TAIL},
    512: {**SHARED, "output_dim": 512, "layers": BODY + MIDDLE + TAIL + END},
}
TINY: dict[str, Any] = {
    "output_dim": 16,
    "z_dim": 6,
    "class_embed_dim": 6,
    "channel_width": 4,
    "num_classes": 3,
    "layers": [[False, 16, 8], [True, 8, 4], [True, 4, 2], [False, 2, 1]],
    "attention_layer_position": 2,
    "eps": 1e-4,
    "n_stats": 51,
}
VARIANCE = {"low": 0.5, "high": 1.5}  # about what random features of such weights have


def write_checkpoint(folder: Path, config: dict[str, Any], seed: int = 0) -> Path:
    """Writes config.json and pytorch_model.bin; spectral vectors fit the weights, statistics differ by step."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    random = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for name, shape in read_layout(folder / "config.json").tensor_shapes().items():
        values = torch.randn(shape, generator=random)
        if name.endswith("running_vars"):
            span = VARIANCE["high"] - VARIANCE["low"]
            values = VARIANCE["low"] + span * torch.rand(shape, generator=random)
        elif name.endswith(("running_means", "bias")):
            values *= 0.05
        elif name.endswith("bn.weight"):
            values = 1 + 0.1 * values
        elif name.endswith("gamma"):
            values = torch.full(shape, 0.7)
        elif name.endswith("weight_v"):
            values = _iterate_power(tensors, name.removesuffix(".weight_v"))
        tensors[name] = values
    torch.save(tensors, folder / "pytorch_model.bin")
    return folder


def _iterate_power(tensors: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    """The right vector of one power iteration from the random left one, which it replaces."""
    weight, left = tensors[f"{name}.weight_orig"].flatten(1), tensors[f"{name}.weight_u"]
    right = torch.nn.functional.normalize(weight.T @ left, dim=0)
    tensors[f"{name}.weight_u"] = torch.nn.functional.normalize(weight @ right, dim=0)
    return right
