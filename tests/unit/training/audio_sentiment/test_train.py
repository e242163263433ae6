import logging
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("librosa")

from training.audio_sentiment import train
from training.audio_sentiment.labels import RatedSong
from training.audio_sentiment.report import Reading


def test_taggers_are_not_trained_without_their_checkpoints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        train.main(["--data", str(tmp_path), "--cache", str(tmp_path)])
    assert ended.value.code == 2
    assert "--musicnn is missing; unpack the wheel" in capsys.readouterr().err.replace("\n", " ")


def test_a_file_that_is_not_the_authors_model_ends_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlp.model").write_bytes(b"no model")
    words = ["--model", "deepsing-mlp", "--data", tmp_path, "--cache", tmp_path, "--checkpoint", tmp_path / "mlp.model"]
    with pytest.raises(SystemExit) as ended:
        train.main([*map(str, words)])
    assert ended.value.code == 2
    assert "no state dict of tensors fc1.weight" in capsys.readouterr().err


def test_tables_of_all_collections_are_told_with_music_in_general(caplog: pytest.LogCaptureFixture) -> None:
    songs = [RatedSong(Path(f"{i}"), 0.1 * i, -0.1 * i, "rating", "g", {}) for i in range(4)]
    readings = [
        ("games" if i % 2 else "clips", song, Reading(np.array([song.arousal, song.valence]), np.full((20, 2), 0.5)))
        for i, song in enumerate(songs)
    ]
    with caplog.at_level(logging.INFO):
        tables = train.log_tables(readings)
    assert set(tables) == {"games", "clips"}
    assert tables["games"]["arousal"]["rmse"] == pytest.approx(0)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        *("clips", "games"),
        "music in general, from the fifth second on",
    ]
    assert "'mean': 0.5, 'sd': 0.0, 'n': 40" in caplog.records[-1].message


def test_typical_music_of_a_manifest_is_pooled_over_collections() -> None:
    song = RatedSong(Path("0"), 0.0, 0.0, "rating", "g", {})
    low, high = Reading(np.zeros(2), np.full((20, 2), -0.2)), Reading(np.zeros(2), np.full((30, 2), 0.4))
    found = train.round_floats(train.measure_typical([("games", song, low), ("clips", song, high)]))
    assert found == {name: {"mean": 0.1, "sd": 0.3, "n": 30} for name in ("arousal", "valence")}


def test_numbers_of_a_manifest_are_short() -> None:
    assert train.round_floats({"a": [0.123456, 2], "b": None}) == {"a": [0.1235, 2], "b": None}
