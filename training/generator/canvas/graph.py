"""All that the canvas engine's file computes, from class weights, noise and truncation to finished 8-bit pictures."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.generator.canvas import mixing
from training.generator.canvas.codes import BYTE_LEVELS, BYTES, CLOSENESS
from training.generator.canvas.network import CELL_CHANNELS, NIBBLE_STEP, CanvasDecoder
from training.generator.canvas.painting import CELL_PIXELS, ServingDecoder, cells_to_pictures

__all__ = ["NOISE_SIZE", "CanvasGraph", "noise_directions"]

NOISE_SIZE = 128  # length of a noise vector, as in the full-size engines
DIRECTIONS_SEED = 512  # of the directions in which noise moves; a part of the engine, never of a story
GREY = (0.299, 0.587, 0.114)  # of red, green and blue


def noise_directions() -> Tensor:
    """Orthonormal directions of noise, one for each thing that it moves: (NOISE_SIZE, NOISE_PARTS)."""
    gauss = np.random.default_rng(DIRECTIONS_SEED).standard_normal((NOISE_SIZE, mixing.NOISE_PARTS))
    return torch.tensor(np.linalg.qr(gauss)[0], dtype=torch.float32)


class CanvasGraph(nn.Module):
    """Looks two concepts up, decodes them, mixes them along outlines, and sets the light.

    The second concept is decoded only in rows where it has an area: on a processor, rows are painted one by one.

    Args:
        decoder: in evaluation mode.
        packed: (K, h, w, PACKED) uint8, of all concepts; from `pack_codes`.
        fields: (K, 16, 20), in [0, 1]; from `picture_fields`.
    """

    packed: Tensor
    fields: Tensor
    directions: Tensor
    kernel: Tensor

    def __init__(self, decoder: CanvasDecoder, packed: Tensor, fields: Tensor) -> None:
        super().__init__()
        self.decoder = ServingDecoder(decoder)
        self.register_buffer("kernel", mixing.cell_kernel())
        rows, columns = packed.shape[1:3]  # places of 16 px
        self.register_buffer("packed", packed.permute(0, 3, 1, 2).contiguous())
        self.register_buffer("fields", (fields * 255).round().to(torch.uint8))
        self.register_buffer("directions", noise_directions())
        self.size = (2 * rows, 2 * columns)  # of the maps of 8 px on which the front is found
        self.front = mixing.Waves(mixing.FRONT_WAVES, *self.size)
        self.light = mixing.Waves(mixing.LIGHT_WAVES, 4 * rows, 4 * columns)

    def forward(self, class_weights: Tensor, noise: Tensor, truncation: Tensor) -> Tensor:
        """(N, K) on the simplex, (N, Z), (N,) in [0, 1] → (N, H, W, 3) uint8."""
        first, second, area = mixing.choose_pair(class_weights)
        parts = truncation[:, None] * (noise @ self.directions).clamp(-mixing.LIMIT, mixing.LIMIT)
        mixed_rows = area.nonzero()[:, 0]
        cells = self.decoder(self.values(torch.cat([first, second[mixed_rows]])))
        alone, grown = cells[: class_weights.shape[0]], cells[class_weights.shape[0] :]
        pattern = mixing.PATTERN * parts[mixed_rows, : len(mixing.FRONT_WAVES)]
        pattern = (
            pattern * torch.where(first < second, 1.0, -1.0)[mixed_rows][:, None]
        )  # the same after a change of lead
        pair = torch.stack([first, second], dim=1)[mixed_rows]
        merged = self.merge(alone[mixed_rows], grown, self.fields[pair].float() / 255, area[mixed_rows], pattern)
        painted = alone.index_put((mixed_rows,), merged)
        gain = mixing.light_map(parts[:, len(mixing.FRONT_WAVES) :], self.light)[:, None]
        pixels = painted.unflatten(1, (CELL_PIXELS, 3))
        return cells_to_pictures((pixels * (1 + gain * (1 - pixels))).flatten(1, 2))

    def values(self, chosen: Tensor) -> Tensor:
        """Values of the codes of concepts (M,): (M, CODES, h, w), the two halves of bytes one after the other."""
        packed = self.packed[chosen].float()
        pairs = packed[:, BYTES:]
        upper = (pairs / 16).floor()
        steps = (torch.cat([upper, pairs - 16 * upper], dim=1) - 8) * NIBBLE_STEP
        coarse = steps.sign() * (steps.abs().exp() - 1) * CLOSENESS
        return torch.cat([(packed[:, :BYTES] - 128) / BYTE_LEVELS, coarse], dim=1)

    def enlarge(self, maps: Tensor) -> Tensor:
        """(M, 1, h, w), places of 8 px → the pixels of cells, (M, 16, 2 h, 2 w)."""
        return mixing.enlarge_to_cells(functional.interpolate(maps, scale_factor=2.0, mode="bilinear"), self.kernel)

    def merge(self, alone: Tensor, grown: Tensor, fields: Tensor, area: Tensor, pattern: Tensor) -> Tensor:
        """Mixes pairs of pictures.

        Args:
            alone: (M, 48, H / 4, W / 4), cells of the first.
            grown: of the second.
            fields: (M, 2, 16, 20), of both.
            area: (M,), of the second.
            pattern: (M, F), how much of each wave moves the front.

        Returns:
            (M, 48, H / 4, W / 4).
        """
        size = self.size
        wide = functional.interpolate(fields, size=size, mode="bilinear")
        details, coarse = [], []
        for number, cells in enumerate((alone, grown)):
            lightness = _lightness(cells)
            small = functional.avg_pool2d(lightness.mean(dim=1, keepdim=True), 2)
            slope, level = mixing.guide_field(wide[:, number : number + 1], small)
            coarse.append(slope * small + level)
            slope, level = (self.enlarge(maps) for maps in (slope, level))
            details.append(slope * lightness + level)
        moved = self.front(pattern)
        lead, low, high = mixing.area_front((coarse[1] - coarse[0] + moved)[:, 0], area)
        fine = details[1] - details[0] + self.enlarge(moved)
        low, high, lead = (edge[:, None, None, None] for edge in (low, high, lead))
        share = ((torch.minimum(torch.maximum(fine, low), high) - lead) / mixing.SOFTNESS + 0.5).clamp(0, 1)
        both = [cells.reshape(-1, CELL_PIXELS, 3, 2 * size[0], 2 * size[1]) for cells in (alone, grown)]
        return (both[0] + share[:, :, None] * (both[1] - both[0])).reshape(-1, CELL_CHANNELS, 2 * size[0], 2 * size[1])


def _lightness(cells: Tensor) -> Tensor:
    """Cells (M, 48, h, w) → lightness of their pixels, (M, 16, h, w)."""
    red, green, blue = (weight * cells[:, colour::3] for colour, weight in enumerate(GREY))
    return red + green + blue
