"""Pictures of several anchors: what they should look like where one anchor ends and another begins.

Source: patch discriminator (Isola et al. 2017) with the hinge loss (Lim & Ye 2017), its weight set by the gradients
of the last layer (Esser et al. 2021). Differs: what is real for the critic is the decoder's own pictures of single
anchors, so that it sees nothing but the seams.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.generator.composition import concept_shares

__all__ = ["VIEW_PX", "Critic", "Mixture", "draw_mixture"]

CRITIC_WIDTHS = (32, 64, 128)
VIEW_PX = 128  # the critic looks at whole pictures halved, and at one quarter of each in full size
WEIGHTS = (0.15, 0.85)  # range of a mixture's first weight


@dataclass(frozen=True)
class Mixture:
    """A batch of pictures with two anchors each."""

    indices: Tensor  # (N, 2), of the anchors
    shares: Tensor  # (N, 2, FIELD_PX, FIELD_PX)


def draw_mixture(first: Tensor, fields: Tensor, seed: tuple[int, int]) -> Mixture:
    """Gives each anchor of `first` (N,) a random partner and a random weight."""
    random = np.random.default_rng(seed)
    others = (first + torch.from_numpy(random.integers(1, len(fields), len(first)))) % len(fields)
    rows = torch.arange(len(first))
    weights = torch.zeros(len(first), len(fields))
    weights[rows, first] = torch.from_numpy(random.uniform(*WEIGHTS, len(first))).float()
    weights[rows, others] = 1 - weights[rows, first]
    chosen, shares = concept_shares(weights, fields)
    return Mixture(chosen[:, :2], shares[:, :2])


class Critic(nn.Module):
    """Distinguishes pictures of one anchor from mixtures, patch by patch, at two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.whole, self.quarter = _build_patch_critic(), _build_patch_critic()

    def forward(self, pictures: Tensor, corner: tuple[int, int]) -> list[Tensor]:
        """(N, 3, 2 × VIEW_PX, 2 × VIEW_PX) → two maps of scores; `corner` is where the quarter begins."""
        top, left = corner
        part = pictures[:, :, top : top + VIEW_PX, left : left + VIEW_PX]
        return [self.whole(functional.avg_pool2d(pictures, 2)), self.quarter(part)]

    def loss(self, real: Tensor, mixed: Tensor, corner: tuple[int, int]) -> Tensor:
        """Hinge loss of the critic; neither argument needs a gradient."""
        scores = zip(self(real, corner), self(mixed, corner), strict=True)
        return torch.stack([functional.relu(1 - r).mean() + functional.relu(1 + m).mean() for r, m in scores]).sum()

    def realism(self, mixed: Tensor, corner: tuple[int, int]) -> Tensor:
        """What the decoder should raise: the mean score of its mixtures."""
        return torch.stack([score.mean() for score in self(mixed, corner)]).sum()


def _build_patch_critic() -> nn.Sequential:
    layers: list[nn.Module] = []
    width = 3
    for wider in CRITIC_WIDTHS:
        layers += [nn.utils.parametrizations.spectral_norm(nn.Conv2d(width, wider, 4, 2, 1)), nn.LeakyReLU(0.2)]
        width = wider
    layers.append(nn.utils.parametrizations.spectral_norm(nn.Conv2d(width, 1, 4, 1, 1)))
    return nn.Sequential(*layers)
