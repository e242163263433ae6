"""One command makes an engine of a folder of pictures, from which a story can be made."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("onnx")

from tests.songs import make_song
from training.generator.own_pictures import main

COLOURS = {"Red_Sky.png": (200, 30, 30), "meadow.jpg": (20, 160, 60), "sea.png": (40, 60, 220)}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (300, 256), colour).save(folder / name)
    return folder


def deepsing(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", **more}
    words = [sys.executable, "-m", "deepsing.cli", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, env=environment)


def test_pictures_that_nobody_rated_become_an_engine_of_stories(images: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    done = deepsing("train", "generator", "--images", images, "--name", "mine", "--out", models)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "deepsing render SONG story.mp4 --engine mine" in done.stdout
    with (models / "mine.training" / "ratings.csv").open(newline="") as lines:
        ratings = {row["file"]: float(row["valence_mean"]) for row in csv.DictReader(lines)}
    assert set(ratings) == set(COLOURS)
    assert all(1 <= rating <= 7 for rating in ratings.values())
    assert json.loads((models / "mine.json").read_text())["rated_by"] == "model"
    table = json.loads((models / "mine_concepts.json").read_text())
    assert [one["name"] for one in table["concepts"]] == ["red sky", "meadow", "sea"]
    assert table["source"] == "Sentiments: readings of a model; nobody was asked."

    song = make_song(tmp_path, "cbr_mp3")
    story = tmp_path / "story.mp4"
    words = ("render", song, story, "--engine", "mine", "--fps", "4", "--duration", "3", "--json")
    rendered = deepsing(*words, DEEPSING_MODELS_DIR=str(models))
    assert rendered.returncode == 0, rendered.stderr[-2000:]
    assert story.stat().st_size > 1000
    assert '"mine"' in story.with_suffix(".json").read_text()


def test_rated_pictures_become_an_engine_of_the_rated_ones(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEEPSING_MODELS_DIR", str(tmp_path / "models"))
    Image.new("RGB", (64, 64)).save(images / "unrated.png")
    ratings = tmp_path / "ratings.csv"
    rows = [f"{name},{4 + place},2.5,people,plain {name[:3]}" for place, name in enumerate(COLOURS)]
    ratings.write_text("\n".join(["file,arousal_mean,valence_mean,rated_by,concept", *rows]))
    assert main(["--images", str(images), "--ratings", str(ratings), "--name", "x"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path / 'models' / 'x'}.onnx: an engine of 3 concepts; try it:",
        "  deepsing render SONG story.mp4 --engine x",
    ]
    manifest = json.loads((tmp_path / "models" / "x.json").read_text())
    assert (manifest["engine"], manifest["rated_by"], manifest["anchors"]) == ("canvas", "people", list(COLOURS))
    assert manifest["metrics"]["psnr_db"]["min"] > 35
    table = json.loads((tmp_path / "models" / "x_concepts.json").read_text())
    assert [(one["name"], one["arousal"], one["valence"]) for one in table["concepts"]] == [
        ("plain Red", 0.0, -0.5),
        ("plain mea", 0.333, -0.5),
        ("plain sea", 0.667, -0.5),
    ]


def test_a_folder_without_pictures_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--images", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "holds 0 pictures" in capsys.readouterr().err


def test_ratings_of_other_pictures_are_refused(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("file,arousal_mean,valence_mean\nother.png,4,4\n")
    assert main(["--images", str(images), "--ratings", str(ratings), "--out", str(tmp_path / "out")]) == 2
    assert "rates 0 of the pictures; at least 3 are needed" in capsys.readouterr().err
