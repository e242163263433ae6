"""Where a second picture shows in a first, and what noise does to both: all as tensors, so that ONNX can hold it.

A concept grows out of the places where its picture has most to show: a coarse *field*. The front between two concepts
lies where the difference of their fields is such that each covers its weight. It is wide and soft, and within it the
light parts of either picture come through first, as in film.
"""

import math

import torch
from torch import Tensor, nn

__all__ = [
    "FRONT_WAVES",
    "LIGHT_WAVES",
    "NOISE_PARTS",
    "Waves",
    "area_front",
    "count_to",
    "light_amounts",
    "light_curve",
    "soft_step",
]

GLOW = 0.8  # how much what is lighter than its surroundings, 0 to 1, moves the front, in units of a field
SOFTNESS = 0.4  # width of the front, in units of a field: outlines of living things are not cut
CLIPPED = 0.1  # a place counts as at most this far beyond the coarse map's extremes
HALVINGS = 12  # of the range in which the front lies, until it is found
PATTERN = 0.30  # standard deviation, at truncation 1, of the pattern of noise that moves the front; fields reach 0 to 1
EXPOSURE, WARMTH, SLOPE = 0.16, 0.10, 0.16  # deviations of light at truncation 1: overall, red against blue, by place
LIMIT = 2.5  # deviations at which noise stops to count
FRONT_WAVES = [(i, j) for i in range(4) for j in range(4) if 0 < i + j < 5]  # half periods in a row, in a column
LIGHT_WAVES = [(i, j) for i in range(3) for j in range(3)]  # the first, (0, 0), is exposure and warmth
NOISE_PARTS = len(FRONT_WAVES) + len(LIGHT_WAVES) + 1  # values that noise is reduced to


class Waves(nn.Module):
    """Smooth patterns of a picture: sums of products of cosines, of mean 0; (0, 0) is 1 everywhere.

    Args:
        orders: half periods down and across, of each pattern.
        rows: of the map.
        columns: of the map.
    """

    down: Tensor
    right: Tensor
    weights: Tensor

    def __init__(self, orders: list[tuple[int, int]], rows: int, columns: int) -> None:
        super().__init__()
        count = 1 + max(max(order) for order in orders)
        weights = torch.zeros(len(orders), count, count)
        for number, (i, j) in enumerate(orders):
            weights[number, i, j] = 1 / math.hypot(1, i, j)
        share = torch.tensor([0.5 ** ((i > 0) + (j > 0)) * (i + j > 0) for i, j in orders])  # mean square of a product
        weights /= (weights.square().sum((1, 2)) @ share).sqrt()
        weights[[number for number, order in enumerate(orders) if order == (0, 0)], 0, 0] = 1
        self.register_buffer("weights", weights)
        self.register_buffer("down", _cosines(count, rows).T.contiguous())
        self.register_buffer("right", _cosines(count, columns))

    def forward(self, amounts: Tensor, shown: Tensor) -> Tensor:
        """The first rows and columns of the map.

        Args:
            amounts: (N, C, len(orders)), of unit variance.
            shown: (2,) int64: how many rows and columns.

        Returns:
            (N, C, *shown); the whole map is of unit variance.
        """
        mixed = (amounts @ self.weights.flatten(1)).reshape(*amounts.shape[:2], *self.weights.shape[1:])
        made: Tensor = self.down[count_to(shown[0])] @ mixed @ self.right[:, count_to(shown[1])]
        return made


def count_to(end: Tensor) -> Tensor:
    """0, 1, 2 … before a number that is known only when the graph runs: (end,)."""
    numbers: Tensor = torch.arange(end)  # type: ignore[call-overload]
    return numbers


def _cosines(count: int, extent: int) -> Tensor:
    """(count, extent): 0, 1, 2 … half periods over an extent."""
    return torch.cos(math.pi * torch.arange(count)[:, None] * (torch.arange(extent) + 0.5) / extent)


def light_amounts(parts: Tensor) -> Tensor:
    """How much of a constant and of each pattern of light noise gives to each colour.

    Args:
        parts: (N, 2 + L), of noise, times truncation: exposure, warmth, then the patterns of LIGHT_WAVES.

    Returns:
        (N, 3, 1 + L), of which `Waves` makes g of x + g·x·(1 − x), which leaves black and white as they are; see
        `light_curve`.
    """
    overall, warmth = parts[:, :1] * EXPOSURE, parts[:, 1:2] * WARMTH
    constant = torch.stack([overall + warmth, overall, overall - warmth], dim=1)
    return torch.cat([constant, SLOPE * parts[:, None, 2:].expand(-1, 3, -1)], dim=2)


def light_curve(amounts: Tensor, white: float) -> tuple[Tensor, Tensor]:
    """Amounts of the two patterns a, b with which a·x − b·x² is x + g·x·(1 − x / white).

    Args:
        amounts: (N, 3, 1 + L), of g; from `light_amounts`.
        white: the largest x.
    """
    one = torch.zeros(amounts.shape[2])
    one[0] = 1.0
    return amounts + one, amounts / white


def soft_step(values: Tensor) -> Tensor:
    """0 below -1/2, 1 above 1/2, and a smooth way between."""
    share = (values + 0.5).clamp(0, 1)
    return share * share * (3 - 2 * share)


def area_front(lead: Tensor, area: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the front lies, so that the second concept covers its area, soft edge included.

    Args:
        lead: (N, h, w): by how much the second concept has more to show than the first.
        area: (N,), of the second, 0 to 0.5.

    Returns:
        level (N,): places whose lead is above it belong to the second; and the lowest and highest lead that count.
    """
    lowest, highest = lead.amin((1, 2)), lead.amax((1, 2))
    below, above = lowest - SOFTNESS / 2, highest + SOFTNESS / 2
    for _ in range(HALVINGS):
        middle = (below + above) / 2
        covered = soft_step((lead - middle[:, None, None]) / SOFTNESS).mean((1, 2))
        below, above = torch.where(covered > area, middle, below), torch.where(covered > area, above, middle)
    return above + CLIPPED * (1 - 2 * area) ** 9, lowest - CLIPPED, highest + CLIPPED
