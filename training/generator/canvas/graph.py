"""All that the canvas engine's file computes, from class weights, noise and truncation to finished 8-bit pictures.

A caller that shows another shape than the engine's own asks for a window: fewer rows or columns of places. Each picture
is cut around its own subject before it is decoded, so that nothing is painted that is not shown.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.generator.canvas import mixing
from training.generator.canvas.codes import BYTE_LEVELS, BYTES, CLOSENESS, CODES, PLACE_PX
from training.generator.canvas.network import NIBBLE_STEP, CanvasDecoder, bias_of

__all__ = ["NOISE_SIZE", "CanvasGraph", "noise_directions"]

NOISE_SIZE = 128  # length of a noise vector, as in the full-size engines
DIRECTIONS_SEED = 512  # of the directions in which noise moves; a part of the engine, never of a story
GREY = (0.299, 0.587, 0.114)  # of red, green and blue
WHITE = 255.0


def noise_directions() -> Tensor:
    """Orthonormal directions of noise, one for each thing that it moves: (NOISE_SIZE, NOISE_PARTS)."""
    gauss = np.random.default_rng(DIRECTIONS_SEED).standard_normal((NOISE_SIZE, mixing.NOISE_PARTS))
    return torch.tensor(np.linalg.qr(gauss)[0], dtype=torch.float32)


class CanvasGraph(nn.Module):
    """Looks two concepts up, decodes them, mixes them, and sets the light.

    The second concept is decoded only in rows where it has an area: on a processor, rows are painted one by one.

    Args:
        decoder: in evaluation mode; a copy of it is taken, with its inputs in the order of bytes.
        packed: (K, h, w, PACKED) uint8, of all concepts; from `pack_codes`.
        fields: (K, 16, 20) uint8, of 0 to 1; from `picture_fields`.
        focus: (K, 2): where the subject is, down and across, each from 0 to 1.
    """

    packed: Tensor
    fields: Tensor
    focus: Tensor
    directions: Tensor
    grey: Tensor

    def __init__(self, decoder: CanvasDecoder, packed: Tensor, fields: Tensor, focus: Tensor) -> None:
        super().__init__()
        halves = torch.arange(BYTES, CODES)
        order = torch.cat([torch.arange(BYTES), halves[::2], halves[1::2]])  # upper halves of bytes, then lower ones
        self.decoder = CanvasDecoder().requires_grad_(requires_grad=False)
        self.decoder.window.weight.copy_(WHITE * decoder.window.weight[order])
        bias_of(self.decoder.window).copy_(WHITE * bias_of(decoder.window) + 0.5)  # cut off at the end, that rounds
        self.register_buffer("packed", packed)
        self.register_buffer("fields", fields)
        self.register_buffer("focus", focus.float())
        self.register_buffer("directions", noise_directions())
        self.register_buffer("grey", torch.tensor(GREY).view(1, 3, 1, 1))
        self.places = (packed.shape[1], packed.shape[2])
        self.front = mixing.Waves(mixing.FRONT_WAVES, *self.places)
        self.light = mixing.Waves(mixing.LIGHT_WAVES, *(PLACE_PX * extent for extent in self.places))

    def forward(self, class_weights: Tensor, noise: Tensor, truncation: Tensor, window: Tensor) -> Tensor:
        """Paints.

        Args:
            class_weights: (N, K), rows on the simplex.
            noise: (N, Z), of unit variance.
            truncation: (N,), in [0, 1].
            window: (2,) int64: rows, columns of places that are shown, at most those of a picture.

        Returns:
            (N, PLACE_PX · rows, PLACE_PX · columns, 3) uint8, RGB.
        """
        first, second, area = mixing.choose_pair(class_weights)
        parts = truncation[:, None] * (noise @ self.directions).clamp(-mixing.LIMIT, mixing.LIMIT)
        mixed_rows = area.nonzero()[:, 0]
        chosen = torch.cat([first, second[mixed_rows]])
        places = self.frame(chosen, window)
        decoded = self.decoder(self.values(chosen, places))
        count = class_weights.shape[0]
        alone, grown = decoded[:count], decoded[count:]
        fields = self.look_up_fields(chosen, places)
        leads = torch.where(first < second, 1.0, -1.0)[mixed_rows]  # the pattern stays after a change of lead
        pattern = mixing.PATTERN * parts[mixed_rows, : len(mixing.FRONT_WAVES)] * leads[:, None]
        moved = fields[count:] - fields[:count][mixed_rows] + self.front(pattern[:, None], window)
        merged = self.merge(alone[mixed_rows], grown, moved, area[mixed_rows])
        painted = alone.index_put((mixed_rows,), merged)
        gain = self.light(mixing.light_amounts(parts[:, len(mixing.FRONT_WAVES) :]), PLACE_PX * window)
        lit = painted * ((1 + gain) - (gain / WHITE) * painted)
        return lit.clamp(0, WHITE).to(torch.uint8).permute(0, 2, 3, 1)

    def frame(self, chosen: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        """Which places of concepts (M,) are shown: rows (M, h, 1) and columns (M, 1, w), around each one's subject."""
        shown, focus = [], self.focus[chosen]
        for axis, extent in enumerate(self.places):
            first = (focus[:, axis] * extent - window[axis] / 2).round().long()
            first = torch.minimum(first.clamp(min=0), extent - window[axis])
            shown.append(first[:, None] + mixing.count_to(window[axis])[None])
        return shown[0][:, :, None], shown[1][:, None]

    def values(self, chosen: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
        """Values of the codes of concepts (M,): (M, CODES, h, w), the two halves of bytes one after the other."""
        packed = self.packed[chosen[:, None, None], places[0], places[1]].float().permute(0, 3, 1, 2)
        pairs = packed[:, BYTES:]
        upper = (pairs / 16).floor()
        steps = (torch.cat([upper, pairs - 16 * upper], dim=1) - 8) * NIBBLE_STEP
        coarse = steps.sign() * (steps.abs().exp() - 1) * CLOSENESS
        return torch.cat([(packed[:, :BYTES] - 128) / BYTE_LEVELS, coarse], dim=1)

    def look_up_fields(self, chosen: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
        """Fields of concepts (M,) at the places shown: (M, 1, h, w)."""
        wide = functional.interpolate(self.fields[chosen][:, None].float() / 255, size=self.places, mode="bilinear")
        return wide[torch.arange(chosen.shape[0])[:, None, None], 0, places[0], places[1]][:, None]

    def merge(self, alone: Tensor, grown: Tensor, moved: Tensor, area: Tensor) -> Tensor:
        """Mixes pairs of pictures.

        Args:
            alone: (M, 3, H, W), the first of each pair, 0 to 255.
            grown: the second.
            moved: (M, 1, H / PLACE_PX, W / PLACE_PX): by how much the second has more to show than the first.
            area: (M,), of the second.

        Returns:
            (M, 3, H, W).
        """
        step = grown - alone
        lighter = functional.conv2d(step, self.grey * mixing.GLOW / WHITE)
        level, low, high = (edge[:, None, None, None] for edge in mixing.area_front(moved[:, 0], area))
        around = moved - functional.avg_pool2d(lighter, PLACE_PX)
        lead = functional.interpolate(around, scale_factor=float(PLACE_PX), mode="bilinear") + lighter
        share = mixing.soft_step((torch.minimum(torch.maximum(lead, low), high) - level) / mixing.SOFTNESS)
        return alone + share * step
