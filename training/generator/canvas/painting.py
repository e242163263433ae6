"""The decoder as the engine's file runs it: the same maths as in training, with fewer copies of large maps.

A convolution of one place followed by a shuffle is one transposed convolution, which takes half the time; and the last
maps hold their pixels in an order in which a picture is made of them by copying whole rows of a cell.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.generator.canvas.codes import BYTES, CODES, PLACE_PX
from training.generator.canvas.network import CELL_CHANNELS, CELL_PX, CanvasDecoder, bias_of

__all__ = ["CELL_PIXELS", "ServingDecoder", "cells_to_pictures"]

CELL_PIXELS = CELL_PX**2


class ServingDecoder(nn.Module):
    """Values of codes, as bytes hold them, → cells.

    Args:
        trained: whose weights are taken over, in evaluation mode.
    """

    def __init__(self, trained: CanvasDecoder) -> None:
        super().__init__()
        shape, halves = trained.shape, torch.arange(BYTES, CODES)
        self.shape = shape
        codes = torch.cat([torch.arange(BYTES), halves[::2], halves[1::2]])  # upper halves of bytes, then lower halves
        pixels = torch.arange(CELL_CHANNELS).view(3, CELL_PIXELS).T.flatten()  # by pixel, then colour
        self.linear = _join_shuffle(trained.linear, PLACE_PX // CELL_PX, codes, pixels)
        self.spread = _join_shuffle(trained.spread, 2, codes, torch.arange(shape.first))
        self.enter, self.body, self.fine = trained.enter, trained.body, trained.fine
        self.widen = _join_shuffle(trained.widen, 2, torch.arange(shape.wide), torch.arange(shape.narrow))
        self.to_cells = nn.Conv2d(shape.narrow, CELL_CHANNELS, 3, padding=1)
        with torch.no_grad():
            self.to_cells.weight.copy_(trained.to_cells.weight[pixels])
            bias_of(self.to_cells).copy_(bias_of(trained.to_cells)[pixels])

    def forward(self, values: Tensor) -> Tensor:
        """Paints.

        Args:
            values: (N, CODES, h, w), the two halves of bytes one after the other.

        Returns:
            (N, 48, 4 h, 4 w): row, column and colour of each pixel in its cell of 4 x 4 px; about 0 to 1.
        """
        values = _add_one(values)
        features = functional.relu(self.enter(self.spread(values)))
        features = functional.relu(features + self.body(features))
        features = functional.relu(self.widen(_add_one(features)))
        features = functional.relu(features + self.fine(features))
        painted: Tensor = self.linear(values) + self.to_cells(features)
        return painted


def _add_one(maps: Tensor) -> Tensor:
    """(N, C, h, w) → (N, C + 1, h, w), the last 1 everywhere: what it is multiplied by is a bias."""
    return torch.cat([maps, torch.ones_like(maps[:, :1])], dim=1)


def _join_shuffle(layer: nn.Conv2d, factor: int, inputs: Tensor, outputs: Tensor) -> nn.ConvTranspose2d:
    """A convolution of one place and the shuffle after it as one layer, which reads what `_add_one` gives.

    Args:
        layer: with a kernel of 1.
        factor: of the shuffle.
        inputs: order of the channels that it reads.
        outputs: order of the channels that the shuffle gives.
    """
    made = nn.ConvTranspose2d(len(inputs) + 1, len(outputs), factor, factor, bias=False)
    weight = torch.cat([layer.weight[:, inputs, 0, 0], bias_of(layer)[:, None]], dim=1)
    apart = weight.view(len(outputs), factor, factor, -1)[outputs]
    made.weight = nn.Parameter(apart.permute(3, 0, 1, 2).detach().contiguous())
    return made


def cells_to_pictures(cells: Tensor) -> Tensor:
    """(N, 48, h, w), 0 to 1 or beyond → (N, 4 h, 4 w, 3) uint8."""
    high, wide = cells.shape[2:]
    whole = (cells * 255).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    lines = whole.reshape(-1, high, wide, CELL_PX, 3 * CELL_PX).permute(0, 1, 3, 2, 4)
    return lines.reshape(-1, CELL_PX * high, CELL_PX * wide, 3)
