"""Where a second picture shows in a first, and what noise does to both: all as tensors, so that ONNX can hold it.

A concept grows out of the places where its picture has most to show. What it has to show (its *field*) is coarse; a
guided filter draws it to the outlines of its own picture, so that the front between two pictures runs along outlines,
and a quantile of the difference of both fields sets the front so that a concept's area is its weight.
Source: guided filter (He, Sun & Tang 2013), on small maps (He & Sun 2015).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "FRONT_WAVES",
    "LIGHT_WAVES",
    "NOISE_PARTS",
    "Waves",
    "area_front",
    "cell_kernel",
    "choose_pair",
    "enlarge_to_cells",
    "guide_field",
    "light_map",
]

NEVER = 0.02  # share of the second concept up to which it has no area, and need not be decoded
WINDOW = 9  # side of the guided filter's window, in places of 8 px
GUIDE_NOISE = 0.006  # variance of lightness below which the guide counts as flat
ENDS = 0.45  # by how much the front lies beyond all places where a weight is 0 or 1
CLIPPED = 0.3  # a place counts as at most this far beyond the coarse map's extremes
SOFTNESS = 0.05  # width of the front, in units of a field
PATTERN = 0.30  # standard deviation, at truncation 1, of the pattern of noise that moves the front; fields reach 0 to 1
EXPOSURE, WARMTH, SLOPE = 0.16, 0.10, 0.16  # deviations of light at truncation 1: overall, red against blue, by place
LIMIT = 2.5  # deviations at which noise stops to count
FRONT_WAVES = [(i, j) for i in range(4) for j in range(4) if 0 < i + j < 5]  # half periods in a row, in a column
LIGHT_WAVES = [(i, j) for i in range(3) for j in range(3) if i + j]
NOISE_PARTS = len(FRONT_WAVES) + len(LIGHT_WAVES) + 2  # values that noise is reduced to


def choose_pair(class_weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Chooses the two concepts of each picture.

    Continuous in the weights, but where three are equal: the third largest weight is taken off both.

    Args:
        class_weights: (N, K), rows on the simplex, K at least 2.

    Returns:
        The strongest concept (N,), the second (N,), and the area of the second (N,), 0 to 0.5.
    """
    weights, chosen = class_weights.topk(min(3, class_weights.shape[1]), dim=1)
    leads = weights[:, :2] - weights[:, 2:].sum(dim=1, keepdim=True)
    share = leads[:, 1] / leads.sum(dim=1).clamp(min=1e-6)
    return chosen[:, 0], chosen[:, 1], ((share - NEVER) / (1 - 2 * NEVER)).clamp(min=0)


class Waves(nn.Module):
    """Smooth patterns of a picture: sums of products of cosines, of mean 0.

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
        share = 0.5 ** torch.tensor([float((i > 0) + (j > 0)) for i, j in orders])  # mean square of a product
        self.register_buffer("weights", weights / (weights.square().sum((1, 2)) @ share).sqrt())
        self.register_buffer("down", _cosines(count, rows).T.contiguous())
        self.register_buffer("right", _cosines(count, columns))

    def forward(self, amounts: Tensor) -> Tensor:
        """(N, len(orders)) of unit variance → (N, 1, rows, columns) of unit variance."""
        count = self.weights.shape[1]
        mixed = (amounts @ self.weights.flatten(1)).reshape(-1, 1, count, count)
        made: Tensor = self.down @ mixed @ self.right
        return made


def _cosines(count: int, extent: int) -> Tensor:
    """(count, extent): 0, 1, 2 … half periods over an extent."""
    return torch.cos(math.pi * torch.arange(count)[:, None] * (torch.arange(extent) + 0.5) / extent)


def light_map(parts: Tensor, waves: Waves) -> Tensor:
    """How noise changes the light of a picture.

    Args:
        parts: (N, 2 + L), of noise, times truncation: overall, warmth, then patterns.
        waves: of LIGHT_WAVES.

    Returns:
        (N, 3, H, W): g of x + g·x·(1 − x), which leaves black and white as they are.
    """
    overall, warmth = parts[:, :1, None, None] * EXPOSURE, parts[:, 1:2, None, None] * WARMTH
    grey = overall + SLOPE * waves(parts[:, 2:])
    return torch.cat([grey + warmth, grey, grey - warmth], dim=1)


def guide_field(field: Tensor, lightness: Tensor) -> tuple[Tensor, Tensor]:
    """Fits a field to the lightness of its picture, place by place.

    Args:
        field: (N, 1, h, w).
        lightness: (N, 1, h, w).

    Returns:
        a, b (N, 1, h, w): a · lightness + b is the field, drawn to the picture's outlines.
    """
    mean, level = _blur(lightness, WINDOW), _blur(field, WINDOW)
    spread = _blur(lightness * lightness, WINDOW) - mean * mean
    joint = _blur(lightness * field, WINDOW) - mean * level
    slope = joint / (spread.clamp(min=0) + GUIDE_NOISE)
    return _blur(slope, WINDOW // 2 | 1), _blur(level - slope * mean, WINDOW // 2 | 1)


def area_front(lead: Tensor, area: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the front lies.

    Args:
        lead: (N, h, w): by how much the second concept has more to show than the first.
        area: (N,), of the second, 0 to 1.

    Returns:
        level (N,): places whose lead is above it belong to the second; and the lowest and highest lead that count.
    """
    places = lead.shape[1] * lead.shape[2]
    ordered, last = lead.reshape(-1, places).sort(dim=1).values, places - 1
    place = ((1 - area) * last).clamp(0, last - 1e-3)
    below = place.floor().long()
    low, high = (ordered.gather(1, index[:, None])[:, 0] for index in (below, below + 1))
    ends = ENDS * (1 - 2 * area) ** 9
    level = low + (high - low) * (place - below) + ends
    return level, ordered[:, 0] - CLIPPED, ordered[:, -1] + CLIPPED


def cell_kernel() -> Tensor:
    """What `enlarge_to_cells` convolves with: (16, 1, 3, 3)."""
    line = torch.zeros(4, 3)
    for pixel in range(4):
        offset = (pixel + 0.5) / 4 - 0.5  # from the middle of the cell, in cells
        line[pixel, 1] = 1 - abs(offset)
        line[pixel, 0 if offset < 0 else 2] = abs(offset)
    return torch.einsum("ay,bx->abyx", line, line).reshape(16, 1, 3, 3)


def enlarge_to_cells(maps: Tensor, kernel: Tensor) -> Tensor:
    """Enlarges maps four times, linearly, as channels.

    Args:
        maps: (N, 1, H, W).
        kernel: from `cell_kernel`.

    Returns:
        (N, 16, H, W): row and column of each pixel in its cell of 4 x 4 px.
    """
    return functional.conv2d(functional.pad(maps, (1, 1, 1, 1), mode="replicate"), kernel)


def _blur(maps: Tensor, side: int) -> Tensor:
    margin = side // 2
    return functional.avg_pool2d(functional.pad(maps, (margin,) * 4, mode="replicate"), side, 1)
