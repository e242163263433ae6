from pathlib import Path

import pytest
from PIL import Image

from training.generator import own_pictures as train_generator


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What would be run, in place of hours of training."""
    runs: list[tuple[object, ...]] = []
    monkeypatch.setattr(train_generator, "_run_module", lambda *words: runs.append(words))
    return runs


@pytest.mark.usefixtures("runs")
def test_the_engine_goes_where_models_are_looked_for_and_has_the_rated_concepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEEPSING_MODELS_DIR", str(tmp_path / "mine"))
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("file,arousal_mean,valence_mean\na.png,4,4\nb.png,3,5\n")
    assert train_generator.main(["--images", str(tmp_path), "--ratings", str(ratings), "--name", "x"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{tmp_path / 'mine' / 'x'}.onnx: an engine of 2 concepts; try it:",
        "  deepsing render SONG story.mp4 --engine x",
    ]
    assert (tmp_path / "mine" / "x.training" / "anchors.csv").read_text().splitlines() == [
        "file,concept",
        "a.png,a",
        "b.png,b",
    ]
