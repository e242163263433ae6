"""Trains the canvas autoencoder on crops of listed pictures, for a given time; a stopped run goes on.

Encoder and decoder start as principal components and learn together, through codes rounded as the engine stores them:
first what is nearest in colour, then also what an image classifier sees alike.
`python -m training.generator.canvas.train --pictures DIR --list CSV --checkpoint FILE --minutes 20`
"""

import argparse
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from training.generator.canvas.codes import MARGIN_PX, PLACE_PX
from training.generator.canvas.losses import feature_distance, pyramid_loss
from training.generator.canvas.network import CanvasDecoder, CanvasEncoder, fit_principal_parts, round_values
from training.generator.canvas.pictures import load_pictures
from training.generator.evaluate import psnr_db
from training.generator.pictures import read_list
from training.translator.judge.backbone import load_published

__all__ = ["Recipe", "Trainer", "encode_pictures", "load_networks", "main", "paint_values"]


@dataclass(frozen=True)
class Recipe:
    """How long and how hard to train; everything that changes the result, and the seed."""

    minutes: float = 20.0
    batch: int = 4
    crop_places: int = (
        10  # side of a crop, in places of 16 px; the loss leaves out the outermost, which lack neighbours
    )
    learning_rate: float = 1e-4
    feature_weight: float = 0.05  # of the classifier's distance in the loss
    feature_from: float = 0.15  # share of the time after which it counts: before, colours are still wrong
    clip: float = 0.5  # largest norm of a gradient
    ema: float = 0.998  # decay of the averaged weights that are exported
    checkpoint_s: float = 120.0  # seconds of training between checkpoints
    watched: int = 8  # pictures whose sharpness the bar shows
    seed: int = 0


def rate_factor(step: int, done: float) -> float:
    """Learning-rate multiplier: 50 steps of warm-up, then half a cosine over the time down to 2 %."""
    return min(1.0, (step + 1) / 50) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))))


def pad_pictures(pictures: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) → (N, 3, H + 2 MARGIN_PX, W + 2 MARGIN_PX), 8 bits; the border is repeated outwards."""
    margin = (MARGIN_PX,) * 2
    edged = np.pad(pictures, ((0, 0), margin, margin, (0, 0)), mode="edge")
    return torch.from_numpy(np.ascontiguousarray(edged.transpose(0, 3, 1, 2)))


class Trainer:
    """Everything a stopped run needs to go on: weights, their averages, the optimiser, step and time passed.

    Args:
        pictures: (N, H, W, 3), RGB.
        recipe: how to train.
    """

    def __init__(self, pictures: NDArray[np.uint8], recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.step, self.passed_s = recipe, 0, 0.0
        self.pictures, self.padded = pictures, pad_pictures(pictures)
        self.eyes = load_published("lite0").requires_grad_(requires_grad=False) if recipe.feature_weight else None
        self.encoder, self.decoder = CanvasEncoder(), CanvasDecoder()
        self.optimiser = torch.optim.Adam(self.weights(), lr=recipe.learning_rate, betas=(0.9, 0.99))
        self.average = [weight.detach().clone() for weight in self.weights()]

    def weights(self) -> list[nn.Parameter]:
        """All trained tensors, the encoder's first."""
        return [*self.encoder.parameters(), *self.decoder.parameters()]

    @property
    def done(self) -> float:
        """Share of the time that has passed."""
        return self.passed_s / (self.recipe.minutes * 60)

    def start(self, checkpoint: Path | None = None) -> None:
        """Begins with principal components, or with the averaged weights of another training."""
        if checkpoint is None:
            fit_principal_parts(self.pictures).fill(self.encoder, self.decoder)
        else:
            encoder, decoder = load_networks(checkpoint)
            self.encoder.load_state_dict(encoder.state_dict())
            self.decoder.load_state_dict(decoder.state_dict())
        self.average = [weight.detach().clone() for weight in self.weights()]

    def draw_crops(self) -> Tensor:
        """The crops of the present step with their surroundings, 0 to 1: (batch, 3, side, side)."""
        random = np.random.default_rng((self.recipe.seed, self.step))
        side = self.recipe.crop_places
        rows, columns = ((extent - 2 * MARGIN_PX) // PLACE_PX - side + 1 for extent in self.padded.shape[2:])
        crops = []
        for picture in random.integers(0, len(self.padded), self.recipe.batch):
            top, left = PLACE_PX * random.integers(0, rows), PLACE_PX * random.integers(0, columns)
            extent = side * PLACE_PX + 2 * MARGIN_PX
            crops.append(self.padded[picture, :, top : top + extent, left : left + extent])
        return torch.stack(crops).float() / 255

    def advance(self) -> float:
        """One optimiser step; returns the pyramid loss."""
        began_s = time.monotonic()
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * rate_factor(self.step, self.done)
        crops = self.draw_crops()
        inner, edge = slice(PLACE_PX, -PLACE_PX), PLACE_PX + MARGIN_PX
        real = crops[:, :, edge:-edge, edge:-edge]
        made = self.decoder(round_values(self.encoder(crops)))[:, :, inner, inner]
        own_loss = loss = pyramid_loss(made, real)
        if self.eyes is not None and self.done >= self.recipe.feature_from:
            loss = loss + self.recipe.feature_weight * feature_distance(self.eyes, made, real).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.weights(), self.recipe.clip)
        self.optimiser.step()
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for mean, weight in zip(self.average, self.weights(), strict=True):
            mean.lerp_(weight.detach(), 1 - decay)
        self.step += 1
        self.passed_s += time.monotonic() - began_s
        return float(own_loss.detach())

    def save(self, path: Path) -> None:
        """Writes a checkpoint in one rename, so that a stop never leaves half a file."""
        state = {
            "step": self.step,
            "passed_s": self.passed_s,
            "encoder": self.encoder.state_dict(),
            "decoder": self.decoder.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Goes on from a checkpoint (tensors and plain values only: no pickled code is run)."""
        state = torch.load(path, weights_only=True)
        self.encoder.load_state_dict(state["encoder"])
        self.decoder.load_state_dict(state["decoder"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average, self.step, self.passed_s = state["average"], state["step"], state["passed_s"]


def load_networks(checkpoint: Path) -> tuple[CanvasEncoder, CanvasDecoder]:
    """The averaged weights of a checkpoint, in evaluation mode."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    return _build_networks(state["average"])


@torch.no_grad()
def _build_networks(weights: list[Tensor]) -> tuple[CanvasEncoder, CanvasDecoder]:
    """Networks of these weights, the encoder's first, in evaluation mode."""
    encoder, decoder = CanvasEncoder(), CanvasDecoder()
    for own, given in zip([*encoder.parameters(), *decoder.parameters()], weights, strict=True):
        own.copy_(given)
    return encoder.eval(), decoder.eval()


@torch.no_grad()
def encode_pictures(encoder: CanvasEncoder, pictures: NDArray[np.uint8], batch: int = 8) -> Tensor:
    """Pictures (N, H, W, 3) → values of their codes, not rounded: (N, CODES, H / 16, W / 16)."""
    padded = pad_pictures(pictures)
    return torch.cat([encoder(padded[i : i + batch].float() / 255) for i in range(0, len(padded), batch)])


@torch.no_grad()
def paint_values(decoder: CanvasDecoder, values: Tensor, batch: int = 4) -> NDArray[np.uint8]:
    """Values (N, CODES, h, w), rounded on the way, → pictures (N, 16 h, 16 w, 3)."""
    made = []
    for first in range(0, len(values), batch):
        painted = decoder(round_values(values[first : first + batch]))
        made.append((painted * 255).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1))
    return np.asarray(torch.cat(made).numpy())


def watch(trainer: Trainer) -> float:
    """Mean sharpness of some pictures with averaged weights, dB."""
    encoder, decoder = _build_networks(trainer.average)
    some = trainer.pictures[:: max(1, len(trainer.pictures) // trainer.recipe.watched)]
    return float(psnr_db(paint_values(decoder, encode_pictures(encoder, some)), some).mean())


def train(trainer: Trainer, checkpoint: Path) -> None:
    """Trains until the time is over; a bar shows minutes, loss, sharpness and time left."""
    total_s, saved_s = trainer.recipe.minutes * 60, trainer.passed_s
    with tqdm(total=round(total_s), initial=round(trainer.passed_s), unit="s", mininterval=5) as bar:
        while trainer.done < 1:
            loss = trainer.advance()
            bar.update(int(trainer.passed_s) - bar.n if trainer.done < 1 else round(total_s) - bar.n)
            if trainer.passed_s - saved_s >= trainer.recipe.checkpoint_s or trainer.done >= 1:
                saved_s = trainer.passed_s
                trainer.save(checkpoint)
                bar.set_postfix(step=trainer.step, loss=f"{loss:.4f}", psnr_db=f"{watch(trainer):.2f}")


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--list", type=Path, required=True, help="CSV: file, folder, name, arousal, valence, …")
    parser.add_argument("--checkpoint", type=Path, required=True, help="file to write and to go on from")
    parser.add_argument("--start", type=Path, help="checkpoint of another training to begin with")
    parser.add_argument("--minutes", type=float, default=Recipe.minutes, help="of training in all (default: 20)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    pictures = load_pictures(options.pictures, read_list(options.list))
    trainer = Trainer(pictures, replace(Recipe(), minutes=options.minutes))
    if options.checkpoint.exists():
        trainer.restore(options.checkpoint)
    else:
        trainer.start(options.start)
    train(trainer, options.checkpoint)


if __name__ == "__main__":
    main()
