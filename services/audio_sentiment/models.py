"""Opens the models as they are shipped, or trained by others: files checked, and run once."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepsing.runtime.artifacts import load_artifact
from deepsing.runtime.onnx import open_session
from services.audio_sentiment.embedding import Networks
from services.audio_sentiment.features import SAMPLE_RATE_HZ
from services.audio_sentiment.sentiment import Analyser, Pacing, SentimentModel
from services.audio_sentiment.settings import Settings

__all__ = ["Models", "open_models"]

WEIGHTS = Path(__file__).with_name("weights")


@dataclass(frozen=True)
class Models:
    """The embedded models."""

    networks: Networks  # the music networks' sessions
    sentiment_model: SentimentModel  # what training found
    digest: str  # SHA-256 over the digests of all files


def open_models(settings: Settings) -> Models:
    """Opens the networks and the model of sentiment, digests checked, and runs them once."""
    folder = Path(settings.weights) if settings.weights else WEIGHTS
    files = [load_artifact(folder / f"{name}.json") for name in ("network", "patch", "head")]
    sessions = [open_session(path, provider=settings.provider, threads=settings.threads) for _, path in files[:2]]
    networks = Networks(*sessions)
    with np.load(files[2][1], allow_pickle=False) as arrays:
        model = SentimentModel.from_arrays(arrays)
    digest = hashlib.sha256("".join(manifest.sha256 for manifest, _ in files).encode()).hexdigest()
    list(Analyser(networks, model, Pacing()).push(np.zeros(4 * SAMPLE_RATE_HZ, np.float32)))
    return Models(networks, model, digest)
