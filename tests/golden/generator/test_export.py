"""From a folder of pictures to an engine that paints them: train, export, measure, by the commands that users run."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from services.generator.concepts import Concept
from services.generator.engine import Engine
from tests.unit.generator.opened import session
from training.generator.composition import FIELD_PX
from training.generator.export import EngineGraph, export
from training.ratings import read_rated_pictures

COLOURS = {"red.png": (200, 30, 30), "green.png": (20, 160, 60), "blue.png": (40, 60, 220)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three plain pictures, their names and ratings."""
    (tmp_path / "images").mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (300, 256), colour).save(tmp_path / "images" / name)
    write(tmp_path / "anchors.csv", ["file", "concept"], [[name, f"plain {name[:-4]}"] for name in COLOURS])
    ratings = [[name, 4 + place, 2.5] for place, name in enumerate(COLOURS)]
    write(tmp_path / "ratings.csv", ["file", "arousal_mean", "valence_mean"], ratings)
    return tmp_path


def write(path: Path, head: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])


def command(module: str, *arguments: object) -> None:
    subprocess.run(
        [sys.executable, "-m", f"training.generator.{module}", *map(str, arguments)],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
    )


def test_a_users_pictures_become_an_engine(folder: Path) -> None:
    shared = ("--images", folder / "images", "--anchors", folder / "anchors.csv", "--checkpoint", folder / "my.pt")
    command("train", *shared, "--steps", 2, 2, 2, "--threads", 1)
    command("export", *shared, "--ratings", folder / "ratings.csv", "--out", folder, "--name", "mine")
    manifest = json.loads((folder / "mine.json").read_text())
    assert (manifest["name"], manifest["engine"], manifest["training"]["steps"]) == ("mine", "morph", 6)
    assert manifest["rated_by"] == "people"
    assert manifest["metrics"]["psnr_db"]["n"] == 3
    assert manifest["anchors"] == list(COLOURS)
    assert manifest["bytes"] == (folder / "mine.onnx").stat().st_size < 20_000_000
    engine = Engine("mine", manifest["sha256"], session(folder / "mine.onnx"))
    assert [concept.name for concept in engine.concepts] == ["plain red", "plain green", "plain blue"]
    assert [round(concept.arousal, 3) for concept in engine.concepts] == [0, 0.333, 0.667]
    assert engine.concepts[0].valence == pytest.approx(-0.5)
    assert (engine.native_size_px, engine.noise_size) == ((256, 256), 128)
    made = engine.paint(np.eye(3, dtype=np.float32), np.zeros((3, 128), np.float32), np.zeros(3, np.float32))
    assert made.shape == (3, 256, 256, 3)
    assert sorted(path.suffix for path in folder.iterdir()) == ["", ".csv", ".csv", ".json", ".onnx", ".pt"]


def test_an_anchor_without_a_rating_is_named(folder: Path) -> None:
    write(folder / "ratings.csv", ["file", "arousal_mean", "valence_mean"], [["red.png", 4, 4]])
    with pytest.raises(ValueError, match=r"green\.png has no row in ratings\.csv"):
        read_rated_pictures(folder / "anchors.csv", folder / "ratings.csv")


def test_anchors_of_another_training_are_refused(folder: Path) -> None:
    rated = read_rated_pictures(folder / "anchors.csv", folder / "ratings.csv")
    concepts = [Concept(one.concept, one.arousal, one.valence) for one in rated]
    parts = (torch.zeros(2, 8), torch.zeros(2, FIELD_PX, FIELD_PX), torch.zeros(4, 8))
    with pytest.raises(ValueError, match="3 concepts for 2 latents; give the anchors of this training"):
        export(EngineGraph(None, *parts), concepts, folder / "x.onnx")  # type: ignore[arg-type]


def test_a_training_begins_with_the_weights_of_another(folder: Path) -> None:
    shared = ("--images", folder / "images", "--threads", 1)
    command("train", *shared, "--checkpoint", folder / "a.pt", "--steps", 3, 0, 0)
    write(folder / "two.csv", ["file", "concept"], [["blue.png", "sea"], ["red.png", "fire"]])
    more = ("--anchors", folder / "two.csv", "--start", folder / "a.pt", "--checkpoint", folder / "b.pt")
    command("train", *shared, *more, "--steps", 0, 0, 2)
    older, newer = (torch.load(folder / name, weights_only=True) for name in ("a.pt", "b.pt"))
    assert (older["files"], newer["files"]) == (["blue.png", "green.png", "red.png"], ["blue.png", "red.png"])
    moved = (newer["latents"] - older["average"][-1][[0, 2]]).abs().max()
    assert 0 < float(moved) < 0.1  # two steps of learning from where the other training ended
