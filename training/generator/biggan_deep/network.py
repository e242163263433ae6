"""The generator of BigGAN-deep, for painting only.

Source: Brock, Donahue & Simonyan, "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (ICLR 2019),
appendix B: residual bottleneck blocks, class-conditional batch normalisation, self-attention (Zhang et al. 2019).
Differs from the published code in form, not in result: spectral norm is folded into the weights, all normalisations
are computed at once as one scale and one shift for each channel, and only the three channels that become a picture
are computed at the end.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.generator.biggan_deep.layout import FIRST_SIDE_PX, NORMS, Layer, Layout

__all__ = ["BigGanDeep", "Block", "Normalisations"]

GRID = 1024  # parts of a step to which truncations are rounded; rounding of 32-bit floats is less
FIRST_STEP = 1  # the network was published for truncations from 0.02; smaller ones use its statistics


class Normalisations(nn.Module):
    """Every batch normalisation of the network: scale and shift of each channel, from condition and truncation.

    Attributes:
        means, variances: (steps, C), all normalisations side by side; one row where one truncation was folded.
        modulation: condition → (2C,): scales less 1, then shifts.
    """

    means: Tensor
    variances: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.widths = [width for layer in layout.layers for width in norm_widths(layer)] + [layout.channels]
        self.eps, total = layout.eps, sum(self.widths)
        self.register_buffer("means", torch.zeros(layout.steps, total))
        self.register_buffer("variances", torch.ones(layout.steps, total))
        self.modulation = nn.Linear(layout.condition_size, 2 * total)

    def fold(self, truncation: float) -> None:
        """Keeps the statistics of one truncation, (0, 1], only."""
        means, variances = self._statistics(torch.tensor([truncation]))
        self.means, self.variances = means.detach(), variances.detach()

    def forward(self, condition: Tensor, truncation: Tensor) -> list[tuple[Tensor, Tensor]]:
        """(N, condition) and (N,) → for each normalisation its scale and its shift, (N, width, 1, 1)."""
        means, variances = self._statistics(truncation)
        scale, shift = self.modulation(condition).chunk(2, dim=1)
        scale = (1 + scale) / torch.sqrt(variances + self.eps)
        shift = shift - means * scale
        scales, shifts = (part[:, :, None, None].split(self.widths, 1) for part in (scale, shift))
        return list(zip(scales, shifts, strict=True))

    def _statistics(self, truncation: Tensor) -> tuple[Tensor, Tensor]:
        """Means and variances of each row's truncation, (N, C).

        Between two steps the published loader weighs the step below by how far the truncation lies above it, and the
        step above by the rest; weights that paint its pictures have to be read the same way.
        """
        last = self.means.shape[0] - 1
        place = torch.round(truncation * (last * GRID)) / GRID
        if last:
            place = place.clamp(min=FIRST_STEP)
        below = torch.floor(place)
        beyond = (place - below)[:, None]
        beyond = torch.where(beyond > 0, beyond, torch.ones_like(beyond))
        low = below.to(torch.int64)
        high = (low + 1).clamp(max=last)
        return (
            self.means[low] * beyond + self.means[high] * (1 - beyond),
            self.variances[low] * beyond + self.variances[high] * (1 - beyond),
        )


def norm_widths(layer: Layer) -> list[int]:
    """Channels of a block's normalisations."""
    return [layer.channels_in] + [layer.channels_inside] * (NORMS - 1)


class Block(nn.Module):
    """Bottleneck beside a way that drops the upper channels and doubles the size without weights."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer, inside = layer, layer.channels_inside
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(layer.channels_in, inside, 1),
                nn.Conv2d(inside, inside, 3, padding=1),
                nn.Conv2d(inside, inside, 3, padding=1),
                nn.Conv2d(inside, layer.channels_out, 1),
            ]
        )

    def forward(self, features: Tensor, norms: list[tuple[Tensor, Tensor]]) -> Tensor:
        """(N, in, H, W) and four scales and shifts → (N, out, H, W), or of twice the size."""
        inner, beside = features, features[:, : self.layer.channels_out]
        for place, (convolution, (scale, shift)) in enumerate(zip(self.convolutions, norms, strict=True)):
            inner = functional.relu(inner * scale + shift)
            if place == 1 and self.layer.doubles:
                inner = double_size(inner)
            inner = convolution(inner)
        return inner + (double_size(beside) if self.layer.doubles else beside)


class Attention(nn.Module):
    """Every place looks at all others, at half the resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(width, width // 8, 1, bias=False)
        self.phi = nn.Conv2d(width, width // 8, 1, bias=False)
        self.g = nn.Conv2d(width, width // 2, 1, bias=False)
        self.out = nn.Conv2d(width // 2, width, 1, bias=False)  # the trained share gamma is folded in

    def forward(self, features: Tensor) -> Tensor:
        """(N, width, H, W) → the same shape."""
        _, _, height, width = features.shape
        wanted = self.theta(features).flatten(2)
        offered = functional.max_pool2d(self.phi(features), 2).flatten(2)
        looks = torch.softmax(wanted.transpose(1, 2) @ offered, dim=-1)  # (N, H W, H W / 4)
        seen = functional.max_pool2d(self.g(features), 2).flatten(2) @ looks.transpose(1, 2)
        gathered: Tensor = self.out(seen.view(-1, seen.shape[1], height, width))
        return features + gathered


class BigGanDeep(nn.Module):
    """Noise and class → pictures. Weights come from `checkpoint.load_network`; `half` halves all but the conditions."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.normalisations = Normalisations(layout)
        self.first = nn.Linear(layout.condition_size, FIRST_SIDE_PX**2 * layout.layers[0].channels_in)
        self.blocks = nn.ModuleList(Block(layer) for layer in layout.layers)
        self.attention = Attention(layout.attention_channels)
        self.to_rgb = nn.Conv2d(layout.channels, 3, 3, padding=1)

    def forward(self, condition: Tensor, truncation: Tensor) -> Tensor:
        """Paints.

        Args:
            condition: (N, 2Z), noise (already scaled by its truncation), then the class's embedding.
            truncation: (N,), whose statistics to use, (0, 1].

        Returns:
            (N, 3, H, W), RGB in [-1, 1].
        """
        kind = self.to_rgb.weight.dtype
        norms = [(scale.to(kind), shift.to(kind)) for scale, shift in self.normalisations(condition, truncation)]
        features = self.first(condition).to(kind).view(-1, self.layout.layers[0].channels_in, 4, 4)
        for place, block in enumerate(self.blocks):
            if place == self.layout.attention_before:
                features = self.attention(features)
            features = block(features, norms[NORMS * place : NORMS * (place + 1)])
        scale, shift = norms[-1]
        return torch.tanh(self.to_rgb(functional.relu(features * scale + shift))).to(condition.dtype)

    def halve_precision(self) -> "BigGanDeep":
        """Computes features in 16-bit floats; conditions and statistics, whose range is larger, stay in 32."""
        for part in (self.blocks, self.attention, self.to_rgb):
            part.half()
        return self


def double_size(features: Tensor) -> Tensor:
    """(N, C, H, W) → (N, C, 2H, 2W), each value four times."""
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")
