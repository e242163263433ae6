"""The canvas autoencoder: a linear encoder, rounding to 8 and 4 bits, and a linear decoder.

Source: a lapped transform (Malvar & Staelin 1989): windows overlap, so that places meet without seams.
Differs: both maps begin as principal components and are learned together, through the rounding, whose gradients pass
unchanged (Bengio et al. 2013).
"""

import math
from dataclasses import dataclass

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
    "PrincipalParts",
    "bias_of",
    "fit_principal_parts",
    "round_values",
]

NIBBLE_STEP = math.log1p(canvas_codes.REACH / canvas_codes.CLOSENESS) / canvas_codes.NIBBLE_LEVELS


class CanvasDecoder(nn.Module):
    """Values of codes → pictures: each place adds a window of WINDOW_PX to the picture.

    Places at the border are repeated outwards, so that windows overlap there as everywhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self.window = nn.ConvTranspose2d(CODES, 3, WINDOW_PX, PLACE_PX, padding=PLACE_PX + MARGIN_PX)

    def forward(self, values: Tensor) -> Tensor:
        """Paints.

        Args:
            values: (N, CODES, H / 16, W / 16), as `expand_codes` gives them.

        Returns:
            (N, 3, H, W), RGB, about 0 to 1.
        """
        painted: Tensor = self.window(functional.pad(values, (1, 1, 1, 1), mode="replicate"))
        return painted


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


def bias_of(layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
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
        """Sets both maps to the components, without overlap; of the mean, the decoder takes the colour."""
        inner = slice(MARGIN_PX, MARGIN_PX + PLACE_PX)
        side = (CODES, 3, PLACE_PX, PLACE_PX)
        analysis, synthesis = (self.vectors / self.scales).T, (self.vectors * self.scales).T
        with torch.no_grad():
            for window, values in ((encoder.window, analysis), (decoder.window, synthesis)):
                window.weight.zero_()
                window.weight[:, :, inner, inner] = torch.tensor(np.ascontiguousarray(values).reshape(side))
            bias_of(encoder.window).copy_(torch.tensor(-analysis @ self.mean))
            bias_of(decoder.window).copy_(torch.tensor(self.mean.reshape(3, -1).mean(axis=1)))


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
