"""What is opened, what is refused, and which choices of an operator give a model another digest."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from deepsing.runtime.artifacts import ArtifactError
from services.audio_sentiment.models import open_models
from services.audio_sentiment.readers import Pacing
from services.audio_sentiment.settings import Settings
from tests.unit.audio_sentiment.models import WEIGHTS

SHIPPED = json.loads((WEIGHTS / "head.json").read_text(encoding="utf-8"))["typical"]
LIVE = {"arousal": {"mean": 0.05, "sd": 0.39, "n": 9}, "valence": {"mean": 0.08, "sd": 0.3, "n": 9}}
WHOLE = {"arousal": {"mean": 0.02, "sd": 0.38, "n": 9}, "valence": {"mean": 0.09, "sd": 0.3, "n": 9}}


def write_weights(folder: Path, typical: Any) -> str:
    """Copies the shipped models, with another `typical` in the manifest; None leaves it out."""
    shutil.copytree(WEIGHTS, folder, dirs_exist_ok=True)
    data = json.loads((WEIGHTS / "head.json").read_text(encoding="utf-8"))
    del data["typical"]
    data |= {} if typical is None else {"typical": typical}
    (folder / "head.json").write_text(json.dumps(data), encoding="utf-8")
    return str(folder)


def test_the_shipped_model_says_what_it_reads_on_music_in_general() -> None:
    models = open_models(Settings())
    assert models.typical["live"].mean == (0.0436, 0.0936)
    assert models.typical["live"].spread == (0.4124, 0.3216)
    assert models.typical["whole"].mean == (0.0218, 0.0907)
    assert models.typical["whole"].spread == (0.3889, 0.315)
    assert models.pacing == Pacing(smoothing_s=4.0, memory_s=120.0)
    assert models.pacing.lag_s == pytest.approx(1.2)


def test_the_digest_covers_files_smoothing_memory_and_what_is_typical(tmp_path: Path) -> None:
    settings = [
        Settings(),
        Settings(smoothing_s=5.0),
        Settings(memory_s=60.0),
        Settings(weights=write_weights(tmp_path / "a", SHIPPED | {"live": LIVE})),
        Settings(weights=write_weights(tmp_path / "b", SHIPPED | {"whole": WHOLE})),
    ]
    digests = [open_models(chosen).digest for chosen in settings]
    assert len(set(digests)) == len(settings)
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)


def test_the_digest_does_not_depend_on_what_changes_no_reading(tmp_path: Path) -> None:
    elsewhere = Settings(threads=2, max_sessions=3, upload_stall_s=1.0, weights=write_weights(tmp_path, SHIPPED))
    assert open_models(elsewhere).digest == open_models(Settings()).digest


@pytest.mark.parametrize(
    "live",
    [
        None,
        "loud",
        {"arousal": LIVE["arousal"]},
        LIVE | {"valence": {"mean": 0.08}},
        LIVE | {"valence": {"mean": "0.08", "sd": 0.3}},
        LIVE | {"valence": {"mean": 1.1, "sd": 0.3}},
        LIVE | {"valence": {"mean": float("nan"), "sd": 0.3}},
        LIVE | {"valence": {"mean": 0.08, "sd": 0}},
        LIVE | {"valence": {"mean": 0.08, "sd": True}},
    ],
)
def test_a_manifest_without_usable_typical_readings_is_refused(live: Any, tmp_path: Path) -> None:
    name = "arousal" if live in (None, "loud") else "valence"
    message = f"head.json gives typical live {name} a mean of .* deepsing train audio$"
    with pytest.raises(ArtifactError, match=message):
        open_models(Settings(weights=write_weights(tmp_path, {"live": live, "whole": WHOLE})))


def test_a_manifest_that_states_only_one_hearing_is_refused(tmp_path: Path) -> None:
    for typical in (None, "loud", {"live": LIVE}):
        with pytest.raises(ArtifactError, match=r"head.json gives typical (live|whole) arousal a mean of None"):
            open_models(Settings(weights=write_weights(tmp_path, typical)))


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        ("passages", "CHANGE_COST", 20.0),
        ("readers", "FORGETTING", 10.0),
        ("rhythm.bar_model", "FARTHEST_STEP", 5),
        ("rhythm.onsets", "FULL_SCALE", (0.5, 0.3, 0.3)),
    ],
)
def test_the_digest_covers_the_constants_that_decide_a_point(
    module: str, name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = open_models(Settings()).digest
    monkeypatch.setattr(f"services.audio_sentiment.{module}.{name}", value)
    assert open_models(Settings()).digest != shipped
