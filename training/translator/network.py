"""The network of a neural view, and its training; needs torch.

Source: Passalis & Doropoulos (2021), section 3.3 and its supplement: 2 → 64 → 256 → {class logits, noise}.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from services.translator.lexicon import F32
from services.translator.views import View
from training.translator.training_set import STEPS, TrainingSet

__all__ = ["ViewNetwork", "train_view"]

HIDDEN = (64, 256)
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-4
NOISE_SHARE = 0.1  # weight of the noise's squared error beside the cross-entropy
JITTER = 0.1  # deviation of noise on the standardised sentiments, so that the network interpolates


class ViewNetwork(nn.Module):
    """Standardised sentiments (N, 2) → logits (N, C) and noise (N, Z)."""

    def __init__(self, class_count: int, noise_size: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, HIDDEN[0]), nn.Linear(HIDDEN[0], HIDDEN[1])
        self.logits, self.noise = nn.Linear(HIDDEN[1], class_count), nn.Linear(HIDDEN[1], noise_size)

    def forward(self, sentiments: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and noise."""
        signal = functional.relu(self.second(functional.relu(self.first(sentiments))))
        return self.logits(signal), self.noise(signal)


def train_view(training_set: TrainingSet, centre: F32, spread: F32, seed: int, steps: int = STEPS) -> View:
    """Trains one view and hands its weights over to numpy.

    Args:
        training_set: what it learns from.
        centre: (2,), of people's scale.
        spread: (2,), of people's scale.
        seed: decides the first weights and the jitter.
        steps: of the optimiser.
    """
    torch.set_num_threads(1)  # the networks are tiny
    torch.manual_seed(seed)
    network = ViewNetwork(len(training_set.classes), training_set.noise.shape[1])
    sentiments = torch.from_numpy(training_set.sentiments.astype(np.float32))
    labels, noise = torch.from_numpy(training_set.labels), torch.from_numpy(training_set.noise)
    weights = torch.from_numpy((training_set.weights / training_set.weights.sum()).astype(np.float32))
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(steps):
        logits, painted = network(sentiments + JITTER * torch.randn_like(sentiments))
        miss = functional.cross_entropy(logits, labels, reduction="none")
        miss = miss + NOISE_SHARE * (painted - noise).square().mean(dim=1)
        optimiser.zero_grad()
        (weights * miss).sum().backward()
        optimiser.step()
    return View(
        classes=training_set.classes,
        centre=centre,
        spread=spread,
        hidden=(to_numpy(network.first), to_numpy(network.second)),
        logits=to_numpy(network.logits),
        noise=to_numpy(network.noise),
    )


def to_numpy(layer: nn.Linear) -> tuple[F32, F32]:
    """Weights (inputs, outputs) and bias of a layer."""
    return layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy()
