"""Points of the shipped model for two sounds made here; DEEPSING_REGENERATE=1 writes the file anew.

Provenance: readings.json was written by this test with the shipped weights. Tolerance 0.01: matrix products differ a
little between processors.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from deepsing.audio import decode_blocks
from services.audio_sentiment.analyser import Analyser
from services.audio_sentiment.feature_extractor import FeatureExtractor
from services.audio_sentiment.features import SAMPLE_RATE_HZ
from services.audio_sentiment.readers import LiveReader, Pacing
from services.audio_sentiment.sentiment import WINDOW_S
from tests.unit.audio_sentiment.models import networks, passage_model, sentiment_model
from tests.unit.audio_sentiment.signals import F32, chords

SONG = Path(__file__).parents[3] / "examples" / "peer_gynt.mp3"
GOLDEN = Path(__file__).with_name("readings.json")


def readings(samples: F32, *, whole: bool) -> list[list[float]]:
    analyser = Analyser(networks(), sentiment_model(), passage_model(), Pacing(), whole=whole)
    points = [*analyser.push(samples), *analyser.finish(samples.size // 8000)]
    rows = [(p.reading.arousal, p.reading.valence, p.loudness, p.onset_strength) for p in points]
    return [[round(value, 4) for value in row] for row in [*rows, analyser.sentiment()]]


def test_readings_are_those_of_the_shipped_model() -> None:
    noise = np.random.default_rng(7).normal(0, 0.2, 16_000 * 8).astype(np.float32)
    sounds = {"chords": chords(8.0), "noise": noise}
    found = {name: readings(sound, whole=False) for name, sound in sounds.items()}
    found |= {f"{name}, whole": readings(sound, whole=True) for name, sound in sounds.items()}
    if os.environ.get("DEEPSING_REGENERATE"):
        GOLDEN.write_text(json.dumps(found) + "\n", encoding="utf-8")
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    for name, rows in expected.items():
        for row, found_row in zip(rows, found[name], strict=True):
            np.testing.assert_allclose(found_row, row, atol=0.01)


def test_readings_trail_the_music_by_the_lag_that_is_stated() -> None:
    """Arousal of the bundled song: with default smoothing it is most like almost unsmoothed arousal lag_s earlier."""
    extractor = FeatureExtractor(networks())
    with decode_blocks(SONG, mono=True, sample_rate_hz=SAMPLE_RATE_HZ) as blocks:
        windows = [window for block in blocks for window in extractor.push(block)]
    quick, usual = (
        np.array([next(reader.read(window)).arousal for window in windows])[20:]
        for reader in (
            LiveReader(sentiment_model(), passage_model(), pacing)
            for pacing in (Pacing(smoothing_s=WINDOW_S), Pacing())
        )
    )
    shifts = range(1, 20)
    agreement = [np.corrcoef(quick[:-shift], usual[shift:])[0, 1] for shift in shifts]
    assert shifts[int(np.argmax(agreement))] * WINDOW_S == pytest.approx(Pacing().lag_s, abs=WINDOW_S)
