import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.generator.opened import WEIGHTS, tiny_engine
from training.generator.evaluate import paint_concepts
from training.generator.look import evaluate
from training.generator.look.measures import double_exposure, effective_px, mesh

NOISY = np.random.default_rng(0).integers(0, 256, (6, 128, 128, 3)).astype(np.uint8)


def shrink(pictures: np.ndarray, side: int) -> np.ndarray:
    """Pictures that hold `side` px of detail."""
    size = pictures.shape[1]
    small = [Image.fromarray(p).resize((side, side), Image.Resampling.BOX) for p in pictures]
    return np.stack([np.asarray(p.resize((size, size), Image.Resampling.BICUBIC)) for p in small])


def test_detail_is_the_size_that_holds_it() -> None:
    assert effective_px(NOISY, NOISY) == 128
    assert effective_px(shrink(NOISY, 64), NOISY) == pytest.approx(64, abs=6)
    assert effective_px(shrink(NOISY, 32), NOISY) < effective_px(shrink(NOISY, 64), NOISY)


def test_a_mesh_shows_at_its_period_and_nowhere_else() -> None:
    soft = np.random.default_rng(1).normal(128, 1, (4, 64, 64, 1)).repeat(3, 3)
    lined = soft.copy()
    lined[:, ::8] += 3
    lines = mesh(lined.round().astype(np.uint8), soft.round().astype(np.uint8))
    assert lines[8] > 1.2
    assert lines[8] == max(lines.values())
    same = mesh(NOISY, NOISY)
    assert list(same.values()) == pytest.approx([1, 1, 1, 1])


def test_a_cross_fade_is_a_double_exposure_and_a_patchwork_is_not() -> None:
    first, last = NOISY[:3], NOISY[3:]
    patchwork = first.copy()
    patchwork[:, :, 64:] = last[:, :, 64:]
    assert double_exposure(first, (first.astype(float) + last) / 2, last).tolist() == [1, 1, 1]
    assert double_exposure(first, patchwork, last).tolist() == [0, 0, 0]


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """A folder of what the tiny engine paints, and the list of it."""
    (tmp_path / "sub").mkdir()
    names = [concept.name for concept in tiny_engine().concepts]
    for name, picture in zip(names, paint_concepts(tiny_engine()), strict=True):
        Image.fromarray(picture).save(tmp_path / "sub" / f"{name}.png")
    with (tmp_path / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("file", "concept"), *((f"{name}.png", name) for name in names)])
    return tmp_path


def test_an_engine_is_compared_with_its_pictures(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate, "_measure_distance", lambda made, real: float(np.abs(made - real).mean()))
    monkeypatch.setattr(evaluate, "SPEED_ROUNDS", 1)
    options = [
        "--pictures",
        str(picture_folder),
        "--engine",
        str(WEIGHTS / "tiny.onnx"),
        "--list",
        str(picture_folder / "list.csv"),
    ]
    evaluate.main([*options, "--json"])
    report = json.loads(capsys.readouterr().out)["tiny"]
    assert report["n"] == 3
    assert report["psnr_db"] > 30  # enlarged by two methods
    assert report["mesh_2"] == report["mesh_16"] == 1
    assert 0 < report["blended"] < 1
    evaluate.main([*options, "--speed"])
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["tiny"]
    assert [line for line in table if line.startswith("ms a picture")]


def test_a_list_of_another_engine_is_refused(picture_folder: Path) -> None:
    short = picture_folder / "short.csv"
    short.write_text("".join((picture_folder / "list.csv").read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match="tiny has 3 concepts, its list 2 rows"):
        evaluate.measure_look(tiny_engine(), evaluate.read_list(short, rated=False), picture_folder)
    (picture_folder / "sub" / "storm.png").unlink()
    with pytest.raises(ValueError, match=r"storm.png is not in .*; give the folder that holds it"):
        evaluate.measure_look(
            tiny_engine(), evaluate.read_list(picture_folder / "list.csv", rated=False), picture_folder
        )
