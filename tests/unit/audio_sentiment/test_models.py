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

TYPICAL = {"arousal": {"mean": 0.05, "sd": 0.39, "n": 9}, "valence": {"mean": 0.08, "sd": 0.3, "n": 9}}


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
    assert models.typical.mean == (0.05, 0.08)
    assert models.typical.spread == (0.39, 0.3)
    assert models.pacing == Pacing(smoothing_s=4.0, memory_s=120.0)
    assert models.pacing.lag_s == 2.0


def test_the_digest_covers_files_smoothing_memory_and_what_is_typical(tmp_path: Path) -> None:
    settings = [
        Settings(),
        Settings(smoothing_s=5.0),
        Settings(memory_s=60.0),
        Settings(weights=write_weights(tmp_path, TYPICAL | {"valence": {"mean": 0.07, "sd": 0.3}})),
    ]
    digests = [open_models(chosen).digest for chosen in settings]
    assert len(set(digests)) == len(settings)
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)


def test_the_digest_does_not_depend_on_what_changes_no_reading(tmp_path: Path) -> None:
    elsewhere = Settings(threads=2, max_sessions=3, upload_stall_s=1.0, weights=write_weights(tmp_path, TYPICAL))
    assert open_models(elsewhere).digest == open_models(Settings()).digest


@pytest.mark.parametrize(
    "typical",
    [
        None,
        "loud",
        {"arousal": TYPICAL["arousal"]},
        TYPICAL | {"valence": {"mean": 0.08}},
        TYPICAL | {"valence": {"mean": "0.08", "sd": 0.3}},
        TYPICAL | {"valence": {"mean": 1.1, "sd": 0.3}},
        TYPICAL | {"valence": {"mean": float("nan"), "sd": 0.3}},
        TYPICAL | {"valence": {"mean": 0.08, "sd": 0}},
        TYPICAL | {"valence": {"mean": 0.08, "sd": True}},
    ],
)
def test_a_manifest_without_usable_typical_readings_is_refused(typical: Any, tmp_path: Path) -> None:
    name = "arousal" if typical in (None, "loud") else "valence"
    with pytest.raises(ArtifactError, match=f"head.json gives typical {name} a mean of .* deepsing train audio$"):
        open_models(Settings(weights=write_weights(tmp_path, typical)))
