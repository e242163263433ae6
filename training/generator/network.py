"""The morph decoder: one latent per anchor photo, one convolutional decoder for all of them.

Source: generative latent optimisation (Bojanowski et al. 2018), FiLM conditioning (Perez et al. 2018).
Differs: residual blocks of one convolution, a spatial code at two resolutions so that few weights hold
many pictures, and a last stage that shuffles channels into pixels (initialised to nearest neighbour).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Blend", "MorphDecoder", "MorphShape"]

SLOPE = 0.2  # negative slope of every leaky rectifier
SOFTENING = 0.2  # share that each neighbour in a row or column has in a finished pixel: hides the shuffle's grid


@dataclass(frozen=True)
class MorphShape:
    """Sizes of the decoder; the defaults give 9.4 M weights and about 1 GMAC a picture."""

    latent_size: int = 160
    widths: tuple[int, ...] = (512, 384, 256, 128, 80, 48)  # channels at 4, 8, 16, 32, 64, 128 px
    blocks: tuple[int, ...] = (1, 2, 1, 1, 1, 1)  # residual blocks at the same sizes
    spatial: tuple[int, ...] = (0, 0, 12, 4, 0, 0)  # channels of the spatial code at the same sizes

    @property
    def size_px(self) -> int:
        """Side of the finished picture: twice the last feature map."""
        return 4 << len(self.widths)


class Blend:
    """What a picture is made of: the latents of its slots, and the share of each slot at each place.

    Args:
        latents: (N, M, latent_size).
        shares: (N, M, S, S), summing to 1 over the slots; None gives the first slot everything.
    """

    def __init__(self, latents: Tensor, shares: Tensor | None = None) -> None:
        self.latents, self._shares = latents, shares

    def to_maps(self, values: Tensor, size_px: int) -> Tensor:
        """Values of each slot, (N, M, C), to maps: (N, C, size_px, size_px), or (N, C, 1, 1) with one slot."""
        if self._shares is None:
            return values[:, 0, :, None, None]
        shares = self._shares_at(size_px)
        maps = values.transpose(1, 2) @ shares.flatten(2)
        return maps.view(-1, values.shape[2], size_px, size_px)

    def merge(self, maps: Tensor) -> Tensor:
        """Maps of each slot, (N, M, C, s, s), to one: (N, C, s, s)."""
        if self._shares is None:
            return maps[:, 0]
        return (maps * self._shares_at(maps.shape[-1])[:, :, None]).sum(dim=1)

    def _shares_at(self, size_px: int) -> Tensor:
        assert self._shares is not None
        if size_px > self._shares.shape[-1]:
            return functional.interpolate(self._shares, size=(size_px, size_px), mode="bilinear")
        return functional.avg_pool2d(self._shares, self._shares.shape[-1] // size_px)


class Block(nn.Module):
    """Residual convolution whose input is scaled and shifted by the latent."""

    def __init__(self, width: int, latent_size: int) -> None:
        super().__init__()
        self.film = nn.Linear(latent_size, 2 * width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        nn.init.normal_(self.film.weight, std=0.02)
        nn.init.zeros_(self.film.bias)
        nn.init.kaiming_normal_(self.conv.weight, a=SLOPE)
        self.conv.weight.data *= 0.5

    def forward(self, features: Tensor, blend: Blend) -> Tensor:
        """(N, width, H, W) → (N, width, H, W)."""
        scale, shift = blend.to_maps(self.film(blend.latents), features.shape[-1]).chunk(2, dim=1)
        moved: Tensor = self.conv(functional.leaky_relu(features * (1 + scale) + shift, SLOPE))
        return features + moved


class Stage(nn.Module):
    """One resolution: narrows, doubles the size, adds the spatial code, runs the blocks."""

    softening: Tensor

    def __init__(self, shape: MorphShape, level: int) -> None:
        super().__init__()
        width, self.size_px = shape.widths[level], 4 * 2**level
        self.narrow = nn.Conv2d(shape.widths[level - 1], width, 1) if level else None
        self.spatial_channels = shape.spatial[level]
        if self.spatial_channels:
            self.code = nn.Linear(shape.latent_size, self.spatial_channels * self.size_px**2)
            self.spread = nn.Conv2d(self.spatial_channels, width, 1)
        self.blocks = nn.ModuleList(Block(width, shape.latent_size) for _ in range(shape.blocks[level]))
        self.to_rgb = nn.Conv2d(width, 12, 3, padding=1)
        line = torch.tensor([SOFTENING, 1 - 2 * SOFTENING, SOFTENING])
        self.register_buffer("softening", torch.outer(line, line).expand(3, 1, 3, 3).contiguous(), persistent=False)
        with torch.no_grad():  # the four sub-pixels start equal: nearest-neighbour upsampling, no checkerboard
            self.to_rgb.weight.copy_(self.to_rgb.weight[::4].repeat_interleave(4, dim=0) * 0.5)

    def forward(self, features: Tensor, blend: Blend) -> Tensor:
        """(N, previous width, H/2, W/2) → (N, width, H, W)."""
        if self.narrow is not None:
            features = functional.interpolate(self.narrow(features), scale_factor=2.0, mode="nearest")
        if self.spatial_channels:
            codes = self.code(blend.latents).unflatten(2, (self.spatial_channels, self.size_px, self.size_px))
            features = features + self.spread(blend.merge(codes))
        for block in self.blocks:
            features = block(features, blend)
        return features

    def to_picture(self, features: Tensor) -> Tensor:
        """(N, width, H, W) → (N, 3, 2H, 2W), RGB in about [0, 1]."""
        colours = functional.pixel_shuffle(self.to_rgb(functional.leaky_relu(features, SLOPE)), 2)
        edged = functional.pad(colours, (1, 1, 1, 1), mode="replicate")
        return functional.conv2d(edged, self.softening, groups=3) + 0.5


class MorphDecoder(nn.Module):
    """Latents of roughly unit variance → pictures (N, 3, size, size)."""

    def __init__(self, shape: MorphShape) -> None:
        super().__init__()
        self.shape = shape
        self.seed = nn.Linear(shape.latent_size, shape.widths[0] * 16)
        self.stages = nn.ModuleList(Stage(shape, level) for level in range(len(shape.widths)))

    def forward(self, latents: Tensor, shares: Tensor | None = None, size_px: int | None = None) -> Tensor:
        """Decodes latents.

        Args:
            latents: (N, M, latent_size), one for each slot.
            shares: (N, M, FIELD_PX, FIELD_PX), summing to 1 over the slots; None with one slot.
            size_px: 8, 16 … full size; smaller sizes stop at an earlier stage (progressive training).

        Returns:
            (N, 3, size_px, size_px), RGB in about [0, 1], not clipped.
        """
        wanted, blend = size_px or self.shape.size_px, Blend(latents, shares)
        features = blend.merge(self.seed(latents).unflatten(2, (self.shape.widths[0], 4, 4)))
        for stage in self.stages:
            assert isinstance(stage, Stage)
            features = stage(features, blend)
            if 2 * stage.size_px >= wanted:
                return stage.to_picture(features)
        raise ValueError(f"size_px is {size_px}; the largest is {self.shape.size_px}")
