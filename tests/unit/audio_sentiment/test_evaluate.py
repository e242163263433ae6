import csv
import json
import wave
from pathlib import Path

import numpy as np
import pytest

from services.audio_sentiment.evaluate import Reading, main, report
from services.audio_sentiment.labels import RatedSong
from services.audio_sentiment.sentiment import Point
from tests.unit.audio_sentiment.signals import chords


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


def song(arousal: float, valence: float, **more: object) -> RatedSong:
    return RatedSong(Path("x"), arousal, valence, str(more.pop("kind", "rating")), "g", {}, **more)  # type: ignore[arg-type]


def points(values: list[float]) -> list[Point]:
    return [Point(500_000 * k, value, -value, 0.5, 0.0) for k, value in enumerate(values)]


def test_report_of_ratings_has_both_dimensions_and_no_quadrants() -> None:
    readings = [Reading(np.array([0.5, -0.5]), []), Reading(np.array([-0.5, 0.5]), [])]
    answer = report([song(0.4, 0.2), song(-0.2, 0.3)], readings)
    assert answer["n"] == 2
    assert answer["arousal"]["r"] == pytest.approx(1)
    assert answer["arousal"]["accuracy"] == 1
    assert answer["valence"]["accuracy"] == 0.5
    assert answer["quadrant_f1"] is None
    assert "dynamics" not in answer


def test_dynamics_are_the_mean_course_agreement_inside_pieces() -> None:
    curve = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    rising, falling = points([0.1 * k for k in range(40)]), points([-0.1 * k for k in range(40)])
    songs = [song(0, 0, curve=curve, duration_s=20.0)] * 2
    answer = report(songs, [Reading(np.zeros(2), rising), Reading(np.zeros(2), falling)])
    assert answer["dynamics"] == {"n": 2, "arousal": pytest.approx(0), "valence": pytest.approx(0)}
    one = report(songs[:1], [Reading(np.zeros(2), rising)])
    assert one["dynamics"]["arousal"] == pytest.approx(1, abs=1e-3)
    assert one["dynamics"]["valence"] == pytest.approx(-1, abs=1e-3)


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
    assert [line.split()[0] for line in lines[2:]] == ["arousal", "valence", "quadrants,"]


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


def test_midi_without_fluidsynth_says_what_to_install(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "d.mid").write_bytes(b"MThd")
    (folder / "labels.csv").write_text("file,quadrant\nd.mid,1\n")
    monkeypatch.setenv("PATH", "")
    assert main(["--data", str(folder)]) == 2
    assert "apt install fluidsynth fluid-soundfont-gm" in capsys.readouterr().err.replace("\n", " ")
