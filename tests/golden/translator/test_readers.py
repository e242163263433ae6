"""Readers of one's own rated pictures: by the commands that users run, on plain colours."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tqdm")

from PIL import Image

from services.translator.catalogue import EMBEDDED
from services.translator.judge.reader import open_reader
from training.translator.judge import evaluate as evaluate_judge
from training.translator.judge import train as train_judge

THEMES, EACH = 12, 3


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures from blue and calm to red and aroused, rated 0..100, and readers trained on them."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    rows = ["file,arousal_mean,valence_mean,theme"]
    for number in range(THEMES * EACH):
        red = number / (THEMES * EACH - 1)
        picture = np.array([255 * red, 40, 255 * (1 - red)]) + rng.normal(0, 25, (64, 80, 3))
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{100 * red:.1f},{100 - 50 * red:.1f},theme {'abcdefghijkl'[number // EACH]}")
    (folder / "ratings.csv").write_text("\n".join(rows))
    train_judge.main([*photos_of(folder), "--out", str(folder / "weights"), "--json"])
    return folder


def photos_of(folder: Path) -> list[str]:
    return ["--images", str(folder), "--ratings", str(folder / "ratings.csv"), "--scale", "0", "100"]


def test_readers_of_own_pictures_are_trained_and_measured(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_judge.main([*photos_of(own), "--weights", str(own / "weights"), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["judge"]["all"]["n"] == THEMES * EACH
    assert report["judge"]["all"]["arousal"]["r"] > 0.9
    assert report["judge"]["all"]["valence"]["r"] > 0.9
    assert list(report) == ["judge", "labeller", "baseline"]
    manifest = json.loads((own / "weights" / "judge.json").read_text())
    assert manifest["metrics"]["all"]["arousal"]["r"] == pytest.approx(report["judge"]["all"]["arousal"]["r"], abs=1e-3)
    assert manifest["data"] == "36 rated photos of 12 themes"


def test_what_was_trained_is_served(own: Path) -> None:
    (own / "weights" / "eyes.onnx").write_bytes((EMBEDDED / "eyes.onnx").read_bytes())
    reader = open_reader(own / "weights")
    blue, red = (np.full((64, 64, 3), colour, np.uint8) for colour in ((10, 40, 245), (245, 40, 10)))
    read = reader.read([blue, red], [["theme a"], ["theme f"]])
    assert read[1, 0] > read[0, 0]
    assert read[1, 1] < read[0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "."], "give --ratings"),
        (["--images", ".", "--ratings", "none.csv"], "none.csv"),
        ([], "one of the arguments --oasis --images is required"),
    ],
)
def test_what_is_missing_is_said(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    for program in (evaluate_judge.main, lambda given: train_judge.main([*given, "--out", "never"])):
        with pytest.raises(SystemExit):
            program(arguments)
        assert message in capsys.readouterr().err


def test_own_readers_never_replace_the_shipped_ones_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train_judge.main(["--images", ".", "--ratings", "ratings.csv"])
    assert "give --out" in capsys.readouterr().err
