"""How far painted pictures are from the anchors, and the size of a loss's gradient.

Source: Laplacian-pyramid loss (Ling & Okada 2006); weights of losses by their gradients (Esser et al. 2021).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from training.generator.seams import Mixture

__all__ = ["faithful_loss", "gradient_norm", "pyramid_loss"]

OWNED = 0.9  # share from which a place belongs to its anchor and must look like it


def pyramid_loss(made: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference, summed over the bands of a Laplacian pyramid down to 8 px."""
    difference, loss = made - real, torch.zeros(())
    while difference.shape[-1] > 8:
        coarse = functional.avg_pool2d(difference, 2)
        band = difference - functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        loss, difference = loss + band.abs().mean(), coarse
    return loss + difference.abs().mean()


def faithful_loss(made: Tensor, pictures: Tensor, mixture: Mixture) -> Tensor:
    """Mean absolute difference to each anchor's picture at the places that belong to it.

    Args:
        made: (N, 3, H, W), painted from the mixture.
        pictures: (K, 3, H, W), of all anchors.
        mixture: which anchors, and where.
    """
    owned = ((mixture.shares - OWNED) / (1 - OWNED)).clamp(min=0)
    owned = functional.interpolate(owned, size=made.shape[-2:], mode="bilinear")
    apart: Tensor = (made[:, None] - pictures[mixture.indices]).abs().mean(dim=2)
    total: Tensor = (owned * apart).sum() / owned.sum().clamp(min=1)
    return total


def gradient_norm(loss: Tensor, weight: Tensor) -> Tensor:
    """Norm of a loss's gradient by a weight; the graph is kept for the training step."""
    return torch.autograd.grad(loss, weight, retain_graph=True)[0].norm()
