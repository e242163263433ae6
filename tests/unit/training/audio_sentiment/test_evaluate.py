import csv
import json
import wave
from pathlib import Path

import pytest

from tests.unit.audio_sentiment.signals import chords
from training.audio_sentiment.evaluate import main


def write_wav(path: Path, seconds: float, seed: int) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes((chords(seconds, seed=seed) * 32767).astype("<i2").tobytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a.wav", "b.wav", "-c.wav")):
        write_wav(tmp_path / name, 3.0, seed)
    (tmp_path / "labels.csv").write_text("file,quadrant\na.wav,1\nb.wav,3\n-c.wav,2\n")
    return tmp_path


def test_the_command_prints_one_json_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curves = folder / "curves.csv"
    assert main(["--data", str(folder), "--json", "--curves", str(curves), "--context", "2"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["n"] == 3
    assert set(answer["arousal"]) == {"r", "ccc", "rmse", "accuracy"}
    assert 0 <= answer["quadrant_f1"] <= 1
    rows = list(csv.DictReader(curves.read_text().splitlines()))
    assert [row["time_s"] for row in rows if row["file"] == "-c.wav"] == ["0", "0.5", "1", "1.5", "2", "2.5"]


def test_without_json_people_read_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 songs"
    assert lines[1].split() == ["r", "CCC", "RMSE", "sign"]
    assert [line.split()[0] for line in lines[2:]] == ["arousal", "valence", "quadrants,", "mean"]
    assert all(line.count("[") == line.count("]") == 4 for line in lines[2:4])
    assert lines[-1].startswith("mean of 3 readings: arousal ")


def test_a_song_that_cannot_be_read_is_named_and_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.wav").write_bytes(b"no song" * 100)
    assert main(["--data", str(folder), "--json"]) == 0
    streams = capsys.readouterr()
    answer = json.loads(streams.out)
    assert answer["n"] == answer["readings"]["arousal"]["n"] == 2
    assert "a.wav: the song is in no format" in streams.err.replace("\n", " ")


def test_a_folder_of_collections_is_reported_by_collection(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = tmp_path_factory.mktemp("parent")
    (parent / "one").symlink_to(folder)
    (parent / "two").mkdir()
    write_wav(parent / "two" / "long.wav", 12.0, 5)
    (parent / "two" / "labels.csv").write_text("file,arousal,valence\nlong.wav,0.5,0.1\ngone.wav,0,0\n")
    assert main(["--data", str(parent), "--json"]) == 0
    streams = capsys.readouterr()
    assert "gone.wav" in streams.err
    answer = json.loads(streams.out)
    assert {name: row["n"] for name, row in answer["collections"].items()} == {"one": 3, "two": 1}
    assert answer["readings"]["valence"]["n"] == 4
    assert answer["collections"]["two"]["context_10s"]["n"] == 1
    assert answer["typical"]["arousal"]["n"] == 14  # of 24 half seconds, without the first ten


def test_a_piece_that_cannot_be_rendered_is_named_and_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "d.mid").write_bytes(b"MThd")
    (folder / "labels.csv").write_text("file,quadrant\nd.mid,1\na.wav,1\nb.wav,3\n")
    monkeypatch.setenv("PATH", "")
    assert main(["--data", str(folder), "--json"]) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["n"] == 2
    assert "apt install fluidsynth fluid-soundfont-gm; left out" in streams.err.replace("\n", " ")


def test_curves_that_cannot_be_read_cost_no_song(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "per_measure.json").write_text("{")
    assert main(["--data", str(folder), "--json"]) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["n"] == 3
    assert "per_measure.json cannot be read" in streams.err.replace("\n", " ")


def test_midi_without_fluidsynth_says_what_to_install(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "d.mid").write_bytes(b"MThd")
    (folder / "labels.csv").write_text("file,quadrant\nd.mid,1\n")
    monkeypatch.setenv("PATH", "")
    assert main(["--data", str(folder)]) == 2
    assert "apt install fluidsynth fluid-soundfont-gm" in capsys.readouterr().err.replace("\n", " ")
