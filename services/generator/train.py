"""Trains a morph decoder on a folder of pictures: latents and weights together, coarse to fine.

Source: generative latent optimisation (Bojanowski et al. 2018); Laplacian-pyramid loss (Ling & Okada 2006).
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from services.generator.network import MorphDecoder, MorphShape

__all__ = ["Recipe", "load_anchors", "main", "train"]

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class Recipe:
    """How long and how hard to train; everything that changes the result, and the seed."""

    steps: tuple[int, ...] = (1500, 2000, 5000)  # at a quarter, a half and the full size
    batch: int = 16
    learning_rate: float = 1e-3
    latent_rate: float = 3e-3  # latents are seen once an epoch, so they move faster
    noise: float = 0.12  # standard deviation added to the latents of half of each batch
    clip: float = 0.5  # largest norm of a gradient
    ema: float = 0.999  # decay of the averaged weights that are exported
    checkpoint_every: int = 200  # steps
    seed: int = 0


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


def pyramid_loss(made: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference, summed over the bands of a Laplacian pyramid down to 8 px."""
    difference, loss = made - real, torch.zeros(())
    while difference.shape[-1] > 8:
        coarse = functional.avg_pool2d(difference, 2)
        band = difference - functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        loss, difference = loss + band.abs().mean(), coarse
    return loss + difference.abs().mean()


def rate_factor(step: int, total: int) -> float:
    """Learning-rate multiplier: 100 steps of warm-up, then half a cosine down to 2 %."""
    return min(1.0, (step + 1) / 100) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * step / total)))


def batches(count: int, batch: int, seed: int, start: int) -> Iterator[Tensor]:
    """Endless shuffled indices in batches; begins at batch number `start` of the same sequence."""
    number = 0
    for epoch in range(sys.maxsize):
        order = np.random.default_rng((seed, epoch)).permutation(count)
        for first in range(0, count, batch):
            if number >= start:
                yield torch.from_numpy(order[first : first + batch])
            number += 1


class Trainer:
    """Everything a stopped run needs to go on: weights, latents, their averages, the optimiser, the step."""

    def __init__(self, pictures: Tensor, shape: MorphShape, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.shape, self.step = recipe, shape, 0
        self.levels = [functional.avg_pool2d(pictures, 4), functional.avg_pool2d(pictures, 2), pictures]
        self.decoder = MorphDecoder(shape).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.latents = nn.Parameter(initial_latents(pictures, shape.latent_size, recipe.seed))
        self.average = [weight.detach().clone() for weight in self.weights()]
        self.optimiser = torch.optim.Adam(
            [
                {"params": list(self.decoder.parameters()), "base": recipe.learning_rate},
                {"params": [self.latents], "base": recipe.latent_rate},
            ],
            betas=(0.9, 0.99),
        )

    def weights(self) -> list[nn.Parameter]:
        """All trained tensors, the latents last."""
        return [*self.decoder.parameters(), self.latents]

    def level(self) -> int:
        """Index of the resolution at the present step."""
        return int(np.searchsorted(np.cumsum(self.recipe.steps), self.step, side="right").clip(0, 2))

    def advance(self, indices: Tensor) -> float:
        """One optimiser step on the pictures `indices`; returns the loss."""
        factor = rate_factor(self.step, sum(self.recipe.steps))
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * factor
        real, latent = self.levels[self.level()][indices], self.latents[indices]
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.step)
        noisy = torch.rand(len(indices), 1, generator=generator) < 0.5
        latent = latent + self.recipe.noise * noisy * torch.randn(latent.shape, generator=generator)
        loss = pyramid_loss(self.decoder(latent, real.shape[-1]), real)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.weights(), self.recipe.clip)
        self.optimiser.step()
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for mean, weight in zip(self.average, self.weights(), strict=True):
            mean.lerp_(weight.detach(), 1 - decay)
        self.step += 1
        return float(loss)

    def averaged(self) -> tuple[MorphDecoder, Tensor]:
        """The decoder and latents with averaged weights: what is measured and exported."""
        decoder = MorphDecoder(self.shape)
        with torch.no_grad():
            for weight, mean in zip(decoder.parameters(), self.average[:-1], strict=True):
                weight.copy_(mean)
        return decoder.eval(), self.average[-1].clone()

    def save(self, path: Path) -> None:
        """Writes a checkpoint in one rename, so that a stop never leaves half a file."""
        state = {
            "step": self.step,
            "decoder": self.decoder.state_dict(),
            "latents": self.latents.detach(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "shape": asdict(self.shape),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Goes on from a checkpoint (tensors and plain values only: no pickled code is run)."""
        state = torch.load(path, weights_only=True)
        self.decoder.load_state_dict(state["decoder"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average, self.step = state["average"], state["step"]
        self.latents.data.copy_(state["latents"])


@torch.no_grad()
def psnr(decoder: MorphDecoder, latents: Tensor, pictures: Tensor) -> np.ndarray:
    """Peak signal-to-noise ratio of every anchor, dB, (K,)."""
    rows = []
    for first in range(0, len(latents), 16):
        made = decoder(latents[first : first + 16], pictures.shape[-1]).clamp(0, 1)
        error = (made - pictures[first : first + 16]).square().mean(dim=(1, 2, 3))
        rows.append(-10 * error.log10())
    return torch.cat(rows).numpy()


def train(pictures: Tensor, checkpoint: Path, recipe: Recipe, shape: MorphShape) -> Trainer:
    """Trains, or goes on from `checkpoint` where it exists; a bar shows loss, sharpness and time left."""
    trainer = Trainer(pictures, shape, recipe)
    if checkpoint.exists():
        trainer.restore(checkpoint)
    total = sum(recipe.steps)
    feed = batches(len(pictures), recipe.batch, recipe.seed, trainer.step)
    with tqdm(total=total, initial=trainer.step, unit="step", mininterval=5) as bar:
        while trainer.step < total:
            loss = trainer.advance(next(feed))
            bar.update()
            if trainer.step % recipe.checkpoint_every == 0 or trainer.step == total:
                trainer.save(checkpoint)
                sharpness = psnr(*trainer.averaged(), trainer.levels[trainer.level()])
                bar.set_postfix(loss=f"{loss:.4f}", psnr_db=f"{sharpness.mean():.2f}")
    return trainer


def main(arguments: list[str] | None = None) -> None:
    """Command line: `python -m services.generator.train --images DIR --checkpoint FILE`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--anchors", type=Path, help="CSV: file, concept (default: every picture)")
    parser.add_argument("--checkpoint", type=Path, required=True, help="file to write and to go on from")
    parser.add_argument("--steps", type=int, nargs=3, default=Recipe.steps, help="at 1/4, 1/2 and full size")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    shape = MorphShape()
    _, pictures = load_anchors(options.images, options.anchors, shape.size_px)
    train(pictures, options.checkpoint, replace(Recipe(), steps=tuple(options.steps)), shape)


if __name__ == "__main__":
    main()
