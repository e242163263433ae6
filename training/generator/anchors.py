"""The anchor pictures of a training run: loading, first latents, and the fields that say what they show where."""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from training.generator.composition import FIELD_PX

__all__ = ["anchor_fields", "initial_latents", "load_anchors", "to_8_bit"]

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SURROUND_PX = 17  # side of the surroundings that a place stands out from, at twice FIELD_PX
SMOOTHING_PX = 13  # side of the box that smooths fields, twice: concepts meet along few long seams, not in spots
OWN_SHARE = 0.3  # of a field that is a smooth pattern of the anchor's own, so that even flat pictures have places


def load_anchors(images: Path, anchors: Path | None, size_px: int) -> tuple[list[tuple[str, str]], Tensor]:
    """Reads the anchor pictures, cropped to their centre square.

    Args:
        images: folder of pictures.
        anchors: CSV with columns file, concept; None takes every picture in the folder.
        size_px: side of the square.

    Returns:
        The (file, concept) pairs, and pictures (K, 3, size_px, size_px) as RGB in [0, 1].
    """
    if anchors is None:
        files = sorted(p.name for p in images.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
        chosen = [(name, Path(name).stem.replace("_", " ").lower()) for name in files]
    else:
        with anchors.open(newline="", encoding="utf-8") as lines:
            chosen = [(row["file"], row["concept"]) for row in csv.DictReader(lines)]
    if len(chosen) < 2:
        raise ValueError(f"{len(chosen)} pictures found in {images}; a morph needs at least 2")
    squares = []
    for name, _ in chosen:
        with Image.open(images / name) as picture:
            square = ImageOps.fit(picture.convert("RGB"), (size_px, size_px), Image.Resampling.LANCZOS)
            squares.append(np.asarray(square))
    stacked = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
    return chosen, stacked.float() / 255


def to_8_bit(pictures: Tensor) -> npt.NDArray[np.uint8]:
    """Pictures (K, 3, H, W) in [0, 1] as engines paint them: (K, H, W, 3), 8 bits."""
    made: npt.NDArray[np.uint8] = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return made


def initial_latents(pictures: Tensor, latent_size: int, seed: int) -> Tensor:
    """Principal components of 32 px thumbnails, softened and scaled to unit variance.

    Half whitening (singular values to the power 1/2) keeps alike pictures near each other
    without letting brightness alone decide.

    Returns:
        (K, latent_size), root mean square 1.
    """
    thumbs = functional.adaptive_avg_pool2d(pictures, 32).flatten(1)
    left, singular, _ = torch.linalg.svd(thumbs - thumbs.mean(0), full_matrices=False)
    kept = min(latent_size, left.shape[1])
    generator = torch.Generator().manual_seed(seed)
    latents = 0.01 * torch.randn(len(pictures), latent_size, generator=generator)
    latents[:, :kept] += left[:, :kept] * singular[:kept].sqrt()
    return latents / latents.square().mean().sqrt()


def anchor_fields(pictures: Tensor) -> Tensor:
    """How much each picture has to show at each place: colour that stands out from its surroundings, smoothed.

    Args:
        pictures: (K, 3, H, W), RGB in [0, 1].

    Returns:
        (K, FIELD_PX, FIELD_PX): ranks within the picture, evenly spread over [0, 1], in steps of 1/255.
    """
    small = functional.adaptive_avg_pool2d(pictures, 2 * FIELD_PX)
    contrast = (small - _box_blur(small, SURROUND_PX)).abs().sum(1, keepdim=True)
    shown = functional.avg_pool2d(_box_blur(_box_blur(contrast, SMOOTHING_PX), SMOOTHING_PX), 2)
    generator = torch.Generator().manual_seed(FIELD_PX)
    pattern = torch.randn(len(pictures), 1, 4, 4, generator=generator)
    own = functional.interpolate(pattern, size=FIELD_PX, mode="bicubic", align_corners=True)
    mixed = (1 - OWN_SHARE) * _ranks(shown) + OWN_SHARE * _ranks(own)
    return (_ranks(mixed) * 255).round() / 255


def _box_blur(maps: Tensor, side_px: int) -> Tensor:
    margin = side_px // 2
    return functional.avg_pool2d(functional.pad(maps, (margin,) * 4, mode="replicate"), side_px, 1)


def _ranks(maps: Tensor) -> Tensor:
    """(K, 1, H, W) or (K, H, W) → (K, H, W): each value's rank within its map, from 0 to 1."""
    flat = maps.flatten(1)
    ranks = flat.argsort(dim=1, stable=True).argsort(dim=1).float() / (flat.shape[1] - 1)
    return ranks.view(-1, *maps.shape[-2:])
