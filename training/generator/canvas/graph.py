"""All that the canvas engine's file computes: pictures of concepts, and finished 8-bit pictures of those.

Two things in one graph, each with inputs of its own, which may be empty: what is decoded can be kept by whoever runs
it, as a story shows a picture for seconds. A caller that shows another shape than the engine's own asks for a window:
fewer rows or columns of places. Each picture is cut around its own subject before it is decoded, so that nothing is
painted that is not shown.
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
    """Decodes concepts, mixes pairs of them, and sets the light.

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
        self.register_buffer("grey", torch.tensor(GREY).view(1, 3, 1, 1) * mixing.GLOW / WHITE)
        self.places = (packed.shape[1], packed.shape[2])
        self.front = mixing.Waves(mixing.FRONT_WAVES, *self.places)
        self.light = mixing.Waves(mixing.LIGHT_WAVES, *(PLACE_PX * extent for extent in self.places))

    def forward(
        self,
        concepts: Tensor,
        window: Tensor,
        pairs: Tensor,
        area: Tensor,
        noise: Tensor,
        truncation: Tensor,
        left: Tensor,
        grown: Tensor,
        alone: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Decodes and paints.

        Args:
            concepts: (M,) int64, to decode.
            window: (2,) int64: rows, columns of places that are shown, at most those of a picture.
            pairs: (G, 2) int64, first and second concept of each picture that mixes two.
            area: (G,), of the second, 0 to 0.5.
            noise: (G + A, Z), of unit variance.
            truncation: (G + A,), in [0, 1].
            left: (G, 3, H, W), what `decoded` is of the first of each pair.
            grown: likewise of the second.
            alone: (A, 3, H, W), what it is of the concepts that pictures show alone.

        Returns:
            decoded (M, 3, H, W): as many places as the window has, each of PLACE_PX; and pictures (G + A, H, W, 3)
            uint8, RGB.
        """
        decoded = self.decoder(self.values(concepts, self.frame(concepts, window)))
        parts = truncation[:, None] * (noise @ self.directions).clamp(-mixing.LIMIT, mixing.LIMIT)
        waves = len(mixing.FRONT_WAVES)
        front = self.front(mixing.PATTERN * parts[: area.shape[0], None, :waves], window)
        first, second = pairs[:, 0], pairs[:, 1]
        leads = torch.where(first < second, 1.0, -1.0)  # the pattern stays after a change of lead
        moved = self.find_field(second, window) - self.find_field(first, window) + leads[:, None, None, None] * front
        merged = self.merge(left, grown, moved, area)
        constant, slope = mixing.light_curve(mixing.light_amounts(parts[:, waves:]), WHITE)
        shown = PLACE_PX * window
        curves = self.light(constant, shown), self.light(slope, shown)
        lit = [
            (painted * (curves[0][rows] - curves[1][rows] * painted)).clamp(0, WHITE).to(torch.uint8)
            for painted, rows in ((merged, slice(None, area.shape[0])), (alone, slice(area.shape[0], None)))
        ]
        return decoded, torch.cat(lit).permute(0, 2, 3, 1)

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

    def find_field(self, chosen: Tensor, window: Tensor) -> Tensor:
        """Fields of concepts (M,) at the places shown: (M, 1, h, w)."""
        rows, columns = self.frame(chosen, window)
        wide = functional.interpolate(self.fields[chosen][:, None].float() / 255, size=self.places, mode="bilinear")
        return wide[torch.arange(chosen.shape[0])[:, None, None], 0, rows, columns][:, None]

    def merge(self, left: Tensor, grown: Tensor, moved: Tensor, area: Tensor) -> Tensor:
        """Mixes pairs of pictures.

        Args:
            left: (M, 3, H, W), the first of each pair, 0 to 255.
            grown: the second.
            moved: (M, 1, H / PLACE_PX, W / PLACE_PX): by how much the second has more to show than the first.
            area: (M,), of the second.

        Returns:
            (M, 3, H, W).
        """
        step = grown - left
        lighter = (step * self.grey).sum(dim=1, keepdim=True)
        level, low, high = (edge[:, None, None, None] for edge in mixing.area_front(moved[:, 0], area))
        around = moved - functional.avg_pool2d(lighter, PLACE_PX)
        lead = functional.interpolate(around, scale_factor=float(PLACE_PX), mode="bilinear") + lighter
        share = mixing.soft_step((torch.minimum(torch.maximum(lead, low), high) - level) / mixing.SOFTNESS)
        return left + share * step
