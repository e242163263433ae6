"""What the shipped model reads off two sounds made here; DEEPSING_REGENERATE=1 writes the file anew.

Provenance: readings.json was written by this test with the shipped weights. Tolerance 0.01: matrix products differ a
little between processors.
"""

import json
import os
from pathlib import Path

import numpy as np

from services.audio_sentiment.sentiment import Analyser, Pacing
from tests.unit.audio_sentiment.models import networks, sentiment_model
from tests.unit.audio_sentiment.signals import F32, chords

GOLDEN = Path(__file__).with_name("readings.json")


def readings(samples: F32) -> list[list[float]]:
    analyser = Analyser(networks(), sentiment_model(), Pacing())
    points = [*analyser.push(samples), *analyser.finish(samples.size // 8000)]
    rows = [(p.arousal, p.valence, p.loudness, p.onset_strength) for p in points]
    return [[round(value, 4) for value in row] for row in [*rows, analyser.sentiment()]]


def test_readings_are_those_of_the_shipped_model() -> None:
    noise = np.random.default_rng(7).normal(0, 0.2, 16_000 * 8).astype(np.float32)
    found = {"chords": readings(chords(8.0)), "noise": readings(noise)}
    if os.environ.get("DEEPSING_REGENERATE"):
        GOLDEN.write_text(json.dumps(found) + "\n", encoding="utf-8")
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    for name, rows in expected.items():
        for row, found_row in zip(rows, found[name], strict=True):
            np.testing.assert_allclose(found_row, row, atol=0.01)
