"""Trains a morph decoder on a folder of pictures: latents and weights together, coarse to fine.

Source: generative latent optimisation (Bojanowski et al. 2018).
Differs: at full size a part of each batch mixes two anchors, and a critic of the seams joins in (see seams.py).
Losses: Laplacian pyramid (Ling & Okada 2006), weighed by their gradients (Esser et al. 2021).
"""

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from training.generator.anchors import anchor_fields, initial_latents, load_anchors
from training.generator.network import MorphDecoder, MorphShape, Stage
from training.generator.seams import VIEW_PX, Critic, Mixture, draw_mixture

__all__ = ["Recipe", "main", "train", "widen"]

OWNED = 0.9  # share from which a place belongs to its anchor and must look like it


@dataclass(frozen=True)
class Recipe:
    """How long and how hard to train; everything that changes the result, and the seed."""

    steps: tuple[int, ...] = (1500, 2000, 5000)  # at a quarter, a half and the full size
    batch: int = 12
    mixed: int = 4  # of the batch's anchors that are also painted mixed with another one, at full size
    critic_from: float = 0.3  # share of the full-size steps after which the critic has its say
    critic_weight: float = 0.3  # of its gradient in the last layer, against the pictures' own
    critic_rate: float = 2e-4
    learning_rate: float = 1e-3
    latent_rate: float = 3e-3  # latents are seen once an epoch, so they move faster
    noise: float = 0.12  # standard deviation added to the latents of half of each batch
    clip: float = 0.5  # largest norm of a gradient
    ema: float = 0.999  # decay of the averaged weights that are exported
    checkpoint_every: int = 200  # steps
    seed: int = 0


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

    def __init__(self, files: list[str], pictures: Tensor, shape: MorphShape, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.files, self.recipe, self.shape, self.step = files, recipe, shape, 0
        self.fields = anchor_fields(pictures)
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
        self.critic = Critic()
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), recipe.critic_rate, betas=(0.5, 0.99))

    def weights(self) -> list[nn.Parameter]:
        """All trained tensors, the latents last."""
        return [*self.decoder.parameters(), self.latents]

    def level(self) -> int:
        """Index of the resolution at the present step."""
        return int(np.searchsorted(np.cumsum(self.recipe.steps), self.step, side="right").clip(0, 2))

    def advance(self, indices: Tensor) -> float:
        """One optimiser step on the pictures `indices`; returns the loss of the pictures themselves."""
        factor = rate_factor(self.step, sum(self.recipe.steps))
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * factor
        real, latent = self.levels[self.level()][indices], self.latents[indices]
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.step)
        noisy = torch.rand(len(indices), 1, generator=generator) < 0.5
        latent = latent + self.recipe.noise * noisy * torch.randn(latent.shape, generator=generator)
        made = self.decoder(latent[:, None], size_px=real.shape[-1])
        own_loss = pyramid_loss(made, real)
        mixed = indices[: self.recipe.mixed] if self.level() == 2 else indices[:0]
        loss = own_loss + (self.mixture_loss(mixed, made.detach(), own_loss) if len(mixed) else 0)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.weights(), self.recipe.clip)
        self.optimiser.step()
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for mean, weight in zip(self.average, self.weights(), strict=True):
            mean.lerp_(weight.detach(), 1 - decay)
        self.step += 1
        return float(own_loss)

    def mixture_loss(self, first: Tensor, single: Tensor, own_loss: Tensor) -> Tensor:
        """The loss of pictures of two anchors each; trains the critic on the way.

        Args:
            first: (N,), one anchor of each mixture.
            single: (N or more, 3, H, W), pictures of single anchors as the decoder paints them now.
            own_loss: of the single pictures, whose gradient the critic's is measured against.
        """
        mixture = draw_mixture(first, self.fields, (self.recipe.seed, self.step))
        mixed = self.decoder(self.latents[mixture.indices], mixture.shares)
        loss = faithful_loss(mixed, self.levels[-1], mixture)
        coarse_steps, full_steps = sum(self.recipe.steps[:2]), self.recipe.steps[2]
        if self.step < coarse_steps + self.recipe.critic_from * full_steps:
            return loss
        corner = tuple(np.random.default_rng((self.recipe.seed, self.step, 1)).integers(0, VIEW_PX + 1, 2).tolist())
        self.critic_optimiser.zero_grad(set_to_none=True)
        self.critic.loss(single[: len(first)], mixed.detach(), corner).backward()  # type: ignore[no-untyped-call]
        self.critic_optimiser.step()
        realism = self.critic.realism(mixed, corner)
        last = self.decoder.stages[-1]
        assert isinstance(last, Stage)
        pull, push = (gradient_norm(each, last.to_rgb.weight) for each in (own_loss, realism))
        return loss - self.recipe.critic_weight * pull / (push + 1e-6) * realism

    def average_model(self) -> tuple[MorphDecoder, Tensor]:
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
            "files": self.files,
            "decoder": self.decoder.state_dict(),
            "latents": self.latents.detach(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "critic": self.critic.state_dict(),
            "critic_optimiser": self.critic_optimiser.state_dict(),
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
        self.critic.load_state_dict(state["critic"])
        self.critic_optimiser.load_state_dict(state["critic_optimiser"])
        self.average, self.step = state["average"], state["step"]
        self.latents.data.copy_(state["latents"])

    def start_from(self, path: Path) -> None:
        """Takes over the averaged weights of another training, and its latents where the files are the same."""
        state = torch.load(path, weights_only=True)
        *weights, latents = state["average"]
        known = {name: row for row, name in enumerate(state["files"])}
        with torch.no_grad():
            for (name, weight), older in zip(self.decoder.named_parameters(), weights, strict=True):
                weight.copy_(widen(name, older, weight))
            for row, name in enumerate(self.files):
                if name in known:
                    self.latents[row] = latents[known[name]]
        self.average = [weight.detach().clone() for weight in self.weights()]


@torch.no_grad()
def psnr(decoder: MorphDecoder, latents: Tensor, pictures: Tensor) -> np.ndarray:
    """Peak signal-to-noise ratio of every anchor, dB, (K,)."""
    rows = []
    for first in range(0, len(latents), 16):
        made = decoder(latents[first : first + 16, None], size_px=pictures.shape[-1]).clamp(0, 1)
        error = (made - pictures[first : first + 16]).square().mean(dim=(1, 2, 3))
        rows.append(-10 * error.log10())
    return torch.cat(rows).numpy()


def train(trainer: Trainer, checkpoint: Path) -> None:
    """Trains, or goes on from `checkpoint` where it exists; a bar shows loss, sharpness and time left."""
    if checkpoint.exists():
        trainer.restore(checkpoint)
    recipe = trainer.recipe
    total = sum(recipe.steps)
    feed = batches(len(trainer.latents), recipe.batch, recipe.seed, trainer.step)
    with tqdm(total=total, initial=trainer.step, unit="step", mininterval=5) as bar:
        while trainer.step < total:
            loss = trainer.advance(next(feed))
            bar.update()
            if trainer.step % recipe.checkpoint_every == 0 or trainer.step == total:
                trainer.save(checkpoint)
                sharpness = psnr(*trainer.average_model(), trainer.levels[trainer.level()])
                bar.set_postfix(loss=f"{loss:.4f}", psnr_db=f"{sharpness.mean():.2f}")


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


def widen(name: str, older: Tensor, newer: Tensor) -> Tensor:
    """Puts a weight of an older network into the place of a newer one's.

    The older channels keep their numbers and get no input from the new ones at first, so that the network paints what
    it painted before; the new channels keep their first values and learn.

    Args:
        name: of the parameter; those of a FiLM layer hold scales, then shifts, which are widened apart.
        older: the trained weight.
        newer: the weight it goes into, as initialised; no axis may be shorter.

    Returns:
        A tensor of the newer shape.

    Raises:
        ValueError: the older weight does not fit in.
    """
    if ".film." in name:
        halves = zip(older.chunk(2), newer.chunk(2), strict=True)
        return torch.cat([_place_in_corner(name, old, new) for old, new in halves])
    return _place_in_corner(name, older, newer)


def _place_in_corner(name: str, older: Tensor, newer: Tensor) -> Tensor:
    if older.dim() != newer.dim() or any(o > n for o, n in zip(older.shape, newer.shape, strict=True)):
        raise ValueError(f"{name} is {tuple(older.shape)}; it does not fit into {tuple(newer.shape)}")
    grown = newer.detach().clone()
    grown[: older.shape[0]] = 0
    grown[tuple(slice(0, size) for size in older.shape)] = older
    return grown


def main(arguments: list[str] | None = None) -> None:
    """Command line: `python -m training.generator.train --images DIR --checkpoint FILE`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--anchors", type=Path, help="CSV: file, concept (default: every picture)")
    parser.add_argument("--checkpoint", type=Path, required=True, help="file to write and to go on from")
    parser.add_argument("--start", type=Path, help="checkpoint of another training to begin with")
    parser.add_argument("--steps", type=int, nargs=3, default=Recipe.steps, help="at 1/4, 1/2 and full size")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    shape = MorphShape()
    chosen, pictures = load_anchors(options.images, options.anchors, shape.size_px)
    trainer = Trainer([file for file, _ in chosen], pictures, shape, replace(Recipe(), steps=tuple(options.steps)))
    if options.start:
        trainer.start_from(options.start)
    train(trainer, options.checkpoint)


if __name__ == "__main__":
    main()
