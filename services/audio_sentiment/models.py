"""The embedded models: their files checked, opened and run once."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepsing.runtime.artifacts import load_artifact
from deepsing.runtime.onnx import open_session
from services.audio_sentiment.features import SAMPLE_RATE_HZ
from services.audio_sentiment.sentiment import Analyser, Head, Pacing
from services.audio_sentiment.settings import Settings

__all__ = ["Models", "open_models"]

WEIGHTS = Path(__file__).with_name("weights")


@dataclass(frozen=True)
class Models:
    """The embedded models."""

    network: Any  # the music network's onnxruntime session
    head: Head  # what training found
    digest: str  # SHA-256 over the digests of both files


def open_models(settings: Settings) -> Models:
    """Opens the network and its head, their digests checked, and runs them once."""
    folder = Path(settings.weights) if settings.weights else WEIGHTS
    network_manifest, network_path = load_artifact(folder / "network.json")
    head_manifest, head_path = load_artifact(folder / "head.json")
    session = open_session(network_path, provider=settings.provider, threads=settings.threads)
    with np.load(head_path, allow_pickle=False) as arrays:
        head = Head.from_arrays(arrays)
    digest = hashlib.sha256(f"{network_manifest.sha256}{head_manifest.sha256}".encode()).hexdigest()
    list(Analyser(session, head, Pacing()).push(np.zeros(4 * SAMPLE_RATE_HZ, np.float32)))
    return Models(session, head, digest)
