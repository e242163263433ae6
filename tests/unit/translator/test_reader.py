from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.translator.catalogue import EMBEDDED
from services.translator.judge.model import load_judge
from services.translator.judge.reader import PictureReader, open_reader
from services.translator.lexicon import load_lexicon


@pytest.fixture(scope="module")
def reader() -> PictureReader:
    return open_reader(EMBEDDED)


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)


def test_a_picture_is_read_without_ratings_of_its_concepts(reader: PictureReader, picture: NDArray[np.uint8]) -> None:
    lexicon, folds = load_lexicon(EMBEDDED / "canvas_concepts.json"), load_judge(EMBEDDED / "judge.npz").folds
    name, theme = lexicon.names[0], lexicon.themes[0]
    kin = next(other for other in folds if folds[other] == folds[theme] and other != theme)
    readings = reader.read([picture] * 4, [[name], [theme], [kin], ["no such thing"]])
    assert np.array_equal(readings[0], readings[1])
    assert np.array_equal(readings[0], readings[2])
    assert not np.allclose(readings[0], readings[3])
    assert np.abs(readings).max() <= 1


def test_themes_beyond_two_folds_are_passed_over(reader: PictureReader, picture: NDArray[np.uint8]) -> None:
    folds = load_judge(EMBEDDED / "judge.npz").folds
    first, second, third = (next(theme for theme in folds if folds[theme] == fold) for fold in (4, 1, 7))
    two, three = reader.read([picture] * 2, [[first, second], [first, second, third]])
    assert np.array_equal(two, three)


def test_pictures_of_any_size_are_read_alone_as_together(reader: PictureReader, picture: NDArray[np.uint8]) -> None:
    wide = np.repeat(picture, 2, axis=1)
    together = reader.read([picture, wide], [[], []])
    assert together.shape == (2, 2)
    assert reader.read([wide], [[]])[0] == pytest.approx(together[1], abs=1e-6)
    assert reader.read([], []).shape == (0, 2)


@pytest.mark.parametrize("wrong", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_what_is_no_picture_is_refused(reader: PictureReader, wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"give uint8 \(height, width, 3\)"):
        reader.read([wrong], [[]])


def test_every_picture_needs_its_concepts(reader: PictureReader, picture: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="1 pictures have 0 lists"):
        reader.read([picture], [])


def test_the_digest_names_eyes_and_judge(reader: PictureReader, tmp_path: Path) -> None:
    for name in ("eyes.onnx", "judge.npz"):
        (tmp_path / name).write_bytes((EMBEDDED / name).read_bytes())
    same = open_reader(tmp_path)  # no concept table: themes alone
    assert same.digest == reader.digest
    assert len(reader.digest) == 64
