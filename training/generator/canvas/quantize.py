"""Writes the decoder's convolutions with 8-bit weights and activations, for processors."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

__all__ = ["Feed", "draw_feeds", "quantize_decoder"]

Feed = dict[str, NDArray[np.float32]]

# Parts of names of the decoder's convolutions that work in 8 bits. Those that read codes stay in floats: codes of 8
# and of 4 bits have unlike ranges, and the linear decoder paints most of the picture.
SMALL = ("enter", "body", "widen", "fine", "to_cells")


def draw_feeds(count: int, concepts: int, noise_size: int, seed: int, truncation: float = 0.5) -> list[Feed]:
    """Inputs as stories have them: concepts in a shuffled order, every second one mixed with the next.

    Args:
        count: how many, of one row each.
        concepts: K.
        noise_size: Z.
        seed: of order, shares and noise.
        truncation: of all.
    """
    random = np.random.default_rng(seed)
    order = np.concatenate([random.permutation(concepts) for _ in range(-(-(count + 1) // concepts))])
    feeds = []
    for place in range(count):
        weights = np.zeros((1, concepts), np.float32)
        share = random.uniform(0.2, 0.5) if place % 2 else 0.0
        weights[0, order[place]] += 1 - share
        weights[0, order[place + 1]] += share
        noise = random.standard_normal((1, noise_size)).astype(np.float32)
        feeds.append({"class_weights": weights, "noise": noise, "truncation": np.array([truncation], np.float32)})
    return feeds


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands feeds to the calibration, one at a time."""

    def __init__(self, feeds: list[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        """The next feed; None at the end."""
        return next(self._feeds, None)


def quantize_decoder(source: Path, out: Path, feeds: list[Feed], **options: Any) -> None:
    """Writes an engine whose convolutions work in 8 bits.

    Weights keep to 7 bits: on processors without VNNI the sum of two products of 8 by 8 bits is cut off at 16 bits,
    and with 7 bits it cannot reach that. So a picture is the same on all of them.

    Args:
        source: the engine in floats.
        out: the file to write.
        feeds: inputs over which the ranges of activations are measured.
        options: for `quantize_static`, in place of those chosen here.
    """
    names = [node.name for node in onnx.load(source).graph.node if node.op_type == "Conv"]
    chosen = [name for name in names if any(f"/{part}/" in name for part in SMALL)]
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder) / out.name
        settings: dict[str, Any] = {
            "quant_format": QuantFormat.QDQ,
            "op_types_to_quantize": ["Conv"],
            "nodes_to_quantize": chosen,
            "per_channel": True,
            "reduce_range": True,
            "activation_type": QuantType.QUInt8,
            "weight_type": QuantType.QInt8,
            "calibrate_method": CalibrationMethod.MinMax,
            "extra_options": {"ActivationSymmetric": False, "WeightSymmetric": True},
        }
        quantize_static(source, partial, _Reader(feeds), **{**settings, **options})
        partial.replace(out)
