"""Opens the models, the shipped ones or others, checks their files and runs them once."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepsing.runtime.artifacts import ArtifactError, Manifest, load_artifact
from deepsing.runtime.onnx import open_session
from services.audio_sentiment import passages, readers, sentiment
from services.audio_sentiment.analyser import Analyser
from services.audio_sentiment.embedding import Networks
from services.audio_sentiment.features import SAMPLE_RATE_HZ
from services.audio_sentiment.passages import PassageModel
from services.audio_sentiment.readers import Pacing
from services.audio_sentiment.rhythm import bar_model, onsets, tracker
from services.audio_sentiment.rhythm.activation import BeatNetwork
from services.audio_sentiment.sentiment import SentimentModel
from services.audio_sentiment.settings import Settings

__all__ = ["Models", "TypicalMusic", "open_models"]

WEIGHTS = Path(__file__).with_name("weights")
FILES = ("network", "patch", "head", "beats")  # manifests of a model folder
HEARINGS = ("live", "whole")


@dataclass(frozen=True)
class TypicalMusic:
    """Sentiment of the points of music in general, measured in training by models that never saw the song.

    Attributes:
        mean: (arousal, valence), each in [-1, 1].
        spread: their standard deviations, each in (0, 1].
    """

    mean: tuple[float, float]
    spread: tuple[float, float]


@dataclass(frozen=True)
class Models:
    """The opened models."""

    networks: Networks  # the music networks' sessions
    beat_network: BeatNetwork
    sentiment_model: SentimentModel
    passage_model: PassageModel
    pacing: Pacing  # unless the caller chooses its own smoothing or context
    typical: Mapping[str, TypicalMusic]  # of each of HEARINGS
    digest: str  # SHA-256 over files, pacing and typical values

    def new_analyser(self, pacing: Pacing, *, whole: bool) -> Analyser:
        """An analyser for one song; `whole` if points may wait for later audio."""
        return Analyser(
            self.networks,
            self.sentiment_model,
            self.passage_model,
            pacing,
            whole=whole,
            beat_network=self.beat_network,
        )


def open_models(settings: Settings) -> Models:
    """Opens the networks and the model of sentiment, digests checked, and runs them once.

    Raises:
        ArtifactError: a file is missing or differs from its manifest, or the manifest lacks the typical values.
    """
    folder = Path(settings.weights) if settings.weights else WEIGHTS
    files = [load_artifact(folder / f"{name}.json") for name in FILES]
    typical = _parse_typical(files[2][0], folder / "head.json")
    stream, patch, beats = (
        open_session(files[place][1], provider=settings.provider, threads=settings.threads) for place in (0, 1, 3)
    )
    networks = Networks(stream, patch)
    with np.load(files[2][1], allow_pickle=False) as arrays:
        model, passage_model = SentimentModel.from_arrays(arrays), PassageModel.from_arrays(arrays)
    pacing = Pacing(smoothing_s=settings.smoothing_s, memory_s=settings.memory_s)
    digest = _compute_digest([manifest for manifest, _ in files], pacing, typical)
    models = Models(networks, beats, model, passage_model, pacing, typical, digest)
    list(models.new_analyser(pacing, whole=False).push(np.zeros(4 * SAMPLE_RATE_HZ, np.float32)))
    return models


def _compute_digest(manifests: list[Manifest], pacing: Pacing, typical: Mapping[str, TypicalMusic]) -> str:
    """Equal digests mean equal points; threads and provider are left out: they only change rounding."""
    constants = {
        f"{module.__name__.rpartition('.')[2]}.{name}": value
        for module in (passages, readers, sentiment, bar_model, onsets, tracker)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, int | float | tuple)
    }
    decisive = {
        "constants": constants,
        "bars": asdict(bar_model.MUSIC),
        "files": {manifest.name: manifest.sha256 for manifest in manifests},
        "pacing": asdict(pacing),
        "typical": {name: asdict(music) for name, music in typical.items()},
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _parse_typical(manifest: Manifest, path: Path) -> dict[str, TypicalMusic]:
    """Reads `typical` of the model's manifest: for each hearing, for arousal and valence, `mean` and `sd`."""
    typical = {}
    for hearing in HEARINGS:
        rows = _get_mapping(_get_mapping(manifest.data, "typical"), hearing)
        names = ("arousal", "valence")
        arousal, valence = (_parse_row(_get_mapping(rows, name), f"{hearing} {name}", path) for name in names)
        typical[hearing] = TypicalMusic(mean=(arousal[0], valence[0]), spread=(arousal[1], valence[1]))
    return typical


def _parse_row(row: Mapping[str, Any], name: str, path: Path) -> tuple[float, float]:
    mean, spread = row.get("mean"), row.get("sd")
    numbers = [float(v) for v in (mean, spread) if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) != 2 or not (-1 <= numbers[0] <= 1 and 0 < numbers[1] <= 1):
        raise ArtifactError(
            f"the manifest {path} gives typical {name} a mean of {mean!r} and an sd of {spread!r}; it needs a mean "
            "from -1 to 1 and an sd above 0, at most 1: train the model again with deepsing train audio"
        )
    return numbers[0], numbers[1]


def _get_mapping(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The JSON object under a key; empty if there is none."""
    value = mapping.get(key)
    return value if isinstance(value, dict) else {}
