"""The canvas autoencoder: a linear encoder, rounding to 8 and 4 bits, and a small convolutional decoder.

Source: transform coding by principal components, with a residual network for what a linear decoder cannot paint, as
in super-resolution by sub-pixel convolution (Shi et al. 2016); gradients pass rounding unchanged (Bengio et al. 2013).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.generator.canvas import codes as canvas_codes
from training.generator.canvas.codes import BYTES, CODES, MARGIN_PX, PLACE_PX, WINDOW_PX, LinearEncoder

__all__ = [
    "CanvasDecoder",
    "CanvasEncoder",
    "DecoderShape",
    "PrincipalParts",
    "bias_of",
    "fit_principal_parts",
    "round_values",
]

CELL_PX = 4  # the decoder's last maps have one place for each 4 x 4 px, which the last shuffle spreads
CELL_CHANNELS = 3 * CELL_PX**2
NIBBLE_STEP = math.log1p(canvas_codes.REACH / canvas_codes.CLOSENESS) / canvas_codes.NIBBLE_LEVELS


@dataclass(frozen=True)
class DecoderShape:
    """Channels of the decoder; the defaults give 0.15 M weights and 0.64 GMAC a picture of 640 x 512 px."""

    first: int = 32  # at places of 8 px, from the codes alone
    wide: int = 48  # at places of 8 px
    narrow: int = 24  # at places of 4 px


class CanvasDecoder(nn.Module):
    """Values of codes → pictures.

    A linear decoder paints most of the picture; three convolutions at 8 px and two at 4 px add what it cannot: sharp
    outlines, and seams between places.
    """

    def __init__(self, shape: DecoderShape | None = None) -> None:
        super().__init__()
        self.shape = shape or DecoderShape()
        first, wide, narrow = self.shape.first, self.shape.wide, self.shape.narrow
        self.linear = nn.Conv2d(CODES, 3 * PLACE_PX**2, 1)
        self.spread = nn.Conv2d(CODES, 4 * first, 1)
        self.enter = nn.Conv2d(first, wide, 3, padding=1)
        self.body = nn.Conv2d(wide, wide, 3, padding=1)
        self.widen = nn.Conv2d(wide, 4 * narrow, 1)
        self.fine = nn.Conv2d(narrow, narrow, 3, padding=1)
        self.to_cells = nn.Conv2d(narrow, CELL_CHANNELS, 3, padding=1)
        nn.init.zeros_(self.to_cells.weight)  # the residual starts at nothing
        nn.init.zeros_(bias_of(self.to_cells))

    def cells(self, values: Tensor) -> Tensor:
        """Paints, before the last shuffle.

        Args:
            values: (N, CODES, H / 16, W / 16), as `expand_codes` gives them.

        Returns:
            (N, 48, H / 4, W / 4): colour, row and column of each pixel in its cell of 4 x 4 px; about 0 to 1.
        """
        features = functional.pixel_shuffle(self.spread(values), 2)
        features = functional.relu(self.enter(features))
        features = functional.relu(features + self.body(features))
        features = functional.relu(functional.pixel_shuffle(self.widen(features), 2))
        features = functional.relu(features + self.fine(features))
        painted: Tensor = functional.pixel_shuffle(self.linear(values), 4) + self.to_cells(features)
        return painted

    def forward(self, values: Tensor) -> Tensor:
        """(N, CODES, H / 16, W / 16) → (N, 3, H, W), RGB, about 0 to 1."""
        return functional.pixel_shuffle(self.cells(values), CELL_PX)


class CanvasEncoder(nn.Module):
    """Pictures → values of codes, not rounded; see `training.generator.canvas.codes`."""

    def __init__(self) -> None:
        super().__init__()
        self.window = nn.Conv2d(3, CODES, WINDOW_PX, PLACE_PX)

    def forward(self, pictures: Tensor) -> Tensor:
        """Encodes pictures that bring their surroundings.

        Args:
            pictures: (N, 3, H + 2 MARGIN_PX, W + 2 MARGIN_PX), RGB in [0, 1].

        Returns:
            (N, CODES, H / 16, W / 16).
        """
        values: Tensor = self.window(pictures)
        return values

    def to_linear(self) -> LinearEncoder:
        """The same map for NumPy."""
        return LinearEncoder(self.window.weight.detach().numpy(), bias_of(self.window).detach().numpy())


def bias_of(layer: nn.Conv2d) -> Tensor:
    """The bias of a convolution that has one."""
    assert layer.bias is not None
    return layer.bias


def round_values(values: Tensor) -> Tensor:
    """Rounds values (N, CODES, H, W) to those that codes stand for; gradients pass as if nothing was rounded."""
    fine = (values[:, :BYTES] * canvas_codes.BYTE_LEVELS).round() / canvas_codes.BYTE_LEVELS
    rest = values[:, BYTES:]
    steps = torch.log1p(rest.abs() / canvas_codes.CLOSENESS) / NIBBLE_STEP
    whole = steps.round().clamp(max=canvas_codes.NIBBLE_LEVELS)
    coarse = rest.sign() * torch.expm1(whole * NIBBLE_STEP) * canvas_codes.CLOSENESS
    limits = values.detach().clone()
    limits[:, :BYTES] = fine.clamp(-1, 1)
    limits[:, BYTES:] = coarse
    return values + (limits - values).detach()


@dataclass(frozen=True)
class PrincipalParts:
    """Principal components of places of 16 x 16 px: where training starts."""

    mean: NDArray[np.float32]  # (768,), of colours in [0, 1]; colour, row, column
    vectors: NDArray[np.float32]  # (768, CODES), orthonormal
    scales: NDArray[np.float32]  # (CODES,): what a value of 1 stands for

    def fill(self, encoder: CanvasEncoder, decoder: CanvasDecoder) -> None:
        """Sets the encoder, and the linear part of the decoder, to the components."""
        inner = slice(MARGIN_PX, MARGIN_PX + PLACE_PX)
        side = (CODES, 3, PLACE_PX, PLACE_PX)
        analysis, synthesis = (self.vectors / self.scales).T, (self.vectors * self.scales).astype(np.float32)
        with torch.no_grad():
            encoder.window.weight.zero_()
            encoder.window.weight[:, :, inner, inner] = torch.tensor(analysis.reshape(side))
            bias_of(encoder.window).copy_(torch.tensor(-analysis @ self.mean))
            order = _cell_order()
            decoder.linear.weight.copy_(torch.tensor(synthesis[order])[:, :, None, None])
            bias_of(decoder.linear).copy_(torch.tensor(self.mean[order]))


def _cell_order() -> NDArray[np.int64]:
    """For each channel of the linear decoder, which pixel (colour, row, column) of the place it paints."""
    pixels = torch.arange(3 * PLACE_PX**2).view(1, 3, PLACE_PX, PLACE_PX)
    shuffled = functional.pixel_unshuffle(functional.pixel_unshuffle(pixels.float(), CELL_PX), PLACE_PX // CELL_PX)
    order: Any = shuffled.flatten().long().numpy()
    return np.asarray(order)


def fit_principal_parts(pictures: NDArray[np.uint8], every: int = 5) -> PrincipalParts:
    """Fits the components to every n-th place of pictures (N, H, W, 3); a minute for 400 pictures."""
    count, height, width, _ = pictures.shape
    grid = pictures.reshape(count, height // PLACE_PX, PLACE_PX, width // PLACE_PX, PLACE_PX, 3)
    rows = grid.transpose(0, 1, 3, 5, 2, 4).reshape(-1, 3 * PLACE_PX**2)[::every].astype(np.float32) / 255
    mean = rows.mean(axis=0)
    rows -= mean
    vectors = np.linalg.eigh(rows.T @ rows / len(rows))[1][:, ::-1][:, :CODES].astype(np.float32)
    values = rows @ vectors
    scales = values.std(axis=0)
    scales[:BYTES] = np.quantile(np.abs(values[:, :BYTES]), 0.9999, axis=0)
    return PrincipalParts(mean, vectors, scales.astype(np.float32))
