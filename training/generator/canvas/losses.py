"""What painted pictures are compared by: bands of a pyramid, and the features of an image classifier.

Sources: Laplacian pyramid loss (Bojanowski et al. 2018); learned perceptual distance (Zhang et al. 2018, LPIPS).
Differs: all features of efficientnet-lite0 count alike; nothing was fitted to people's judgements.
"""

import torch
from torch import Tensor
from torch.nn import functional

from training.translator.judge.backbone import MEAN, SCALE, Classifier

__all__ = ["feature_distance", "pyramid_loss"]

LEVELS = 4  # bands of the pyramid
DEPTHS = (2, 4, 7, 10)  # blocks of the classifier whose maps count, beside the stem
TINY = 1e-6


def pyramid_loss(made: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference, summed over the bands of a Laplacian pyramid: (N, 3, H, W) twice."""
    rest, total = made - real, torch.zeros(())
    for _ in range(LEVELS):
        coarse = functional.avg_pool2d(rest, 2)
        total = total + (rest - functional.interpolate(coarse, scale_factor=2.0)).abs().mean()
        rest = coarse
    return total + rest.abs().mean()


def feature_distance(network: Classifier, made: Tensor, real: Tensor) -> Tensor:
    """How differently pictures look to an image classifier.

    Args:
        network: in evaluation mode; lite0 gives the distance that is reported.
        made: (N, 3, H, W), RGB in [0, 1].
        real: the same.

    Returns:
        (N,): squared distance of normalised features, mean over places, summed over five depths.
    """
    with torch.no_grad():
        wanted = _feature_maps(network, real)
    apart = [
        (_normalize(a) - _normalize(b)).square().sum(1).mean((1, 2))
        for a, b in zip(_feature_maps(network, made), wanted, strict=True)
    ]
    return torch.stack(apart).sum(0)


def _feature_maps(network: Classifier, pictures: Tensor) -> list[Tensor]:
    features = network.stem((pictures * 255 - MEAN) / SCALE)
    maps = [features]
    for number, block in enumerate(network.blocks[: DEPTHS[-1] + 1]):
        features = block(features)
        if number in DEPTHS:
            maps.append(features)
    return maps


def _normalize(features: Tensor) -> Tensor:
    length: Tensor = features.square().sum(1, keepdim=True).clamp(min=TINY).sqrt()
    return features / (length + TINY)
