import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.generator.concepts import Concept
from services.generator.style_pictures import read_style_pictures, style_vectors, styles_digest
from services.generator.stylize import Stylist
from tests.unit.generator.opened import session

SHIPPED = Path(__file__).resolve().parents[3] / "services" / "generator" / "weights"


def paint(path: Path, colour: tuple[int, int, int], size_px: tuple[int, int] = (80, 60)) -> None:
    """A picture of stripes in a colour."""
    stripes = np.indices(size_px[::-1]).sum(0)[..., None] // 8 % 2
    Image.fromarray((stripes * np.array(colour)).astype(np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    paint(tmp_path / "Positive.jpg", (250, 220, 90))
    paint(tmp_path / "negative.png", (40, 0, 90))
    paint(tmp_path / "holiday.jpg", (0, 90, 200))
    return tmp_path


def test_pictures_called_positive_and_negative_have_these_feelings(folder: Path) -> None:
    styles = {one.style.name: (one.style.arousal, one.style.valence) for one in read_style_pictures(folder)}
    assert styles == {"positive": (0.0, 0.5), "negative": (0.0, -0.5)}


def test_a_table_names_any_pictures_and_feelings(folder: Path) -> None:
    table = "file,name,arousal,valence\nholiday.jpg,blue stripes,-0.4,0.3\nnegative.png,night,0.2,-0.7\n"
    (folder / "styles.csv").write_text(table)
    found = read_style_pictures(folder)
    assert [one.style for one in found] == [Concept("blue stripes", -0.4, 0.3), Concept("night", 0.2, -0.7)]
    assert [one.path.name for one in found] == ["holiday.jpg", "negative.png"]


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("file,name\nholiday.jpg,blue\n", "cannot be read ('arousal'); give it columns file, name, arousal, valence"),
        ("file,name,arousal,valence\nholiday.jpg,blue,high,0\n", "could not convert string to float: 'high'"),
        ("file,name,arousal,valence\nholiday.jpg,blue,0,1.5\n", "the sentiment of 'blue' is (0.0, 1.5); use -1 to 1"),
        ("file,name,arousal,valence\nholiday.jpg,auto,0,0\n", "a style of styles.csv is called 'auto'; choose another"),
        ("file,name,arousal,valence\ngone.jpg,blue,0,0\n", "styles.csv names gone.jpg, which is not in"),
        ("file,name,arousal,valence,share\nholiday.jpg,blue,0,0,2\n", "a share of styles.csv is 2; choose one above 0"),
        (
            "file,name,arousal,valence\n" + "".join(f"holiday.jpg,blue {i},0,0\n" for i in range(65)),
            "styles.csv lists 65 styles; list 1 to 64",
        ),
        ("file,name,arousal,valence\n", "styles.csv lists 0 styles; list 1 to 64, one a line"),
        (
            "file,name,arousal,valence\nholiday.jpg,blue,0,0\nnegative.png,blue,0,0\n",
            "two concepts are called 'blue'; give each its own name",
        ),
    ],
)
def test_a_wrong_table_is_refused_with_the_way_out(folder: Path, table: str, complaint: str) -> None:
    (folder / "styles.csv").write_text(table)
    with pytest.raises(ValueError, match=re.escape(complaint)):
        read_style_pictures(folder)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    complaint = (
        f"{tmp_path} has no styles.csv and no picture called positive, neutral or negative "
        "(.jpg, .jpeg, .png or .webp); name a picture so, or list your pictures in "
        "styles.csv with columns file, name, arousal, valence (-1 to 1)"
    )
    paint(tmp_path / "holiday.jpg", (0, 90, 200))
    with pytest.raises(ValueError, match=f"^{re.escape(complaint)}$"):
        read_style_pictures(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        read_style_pictures(tmp_path / "gone")


def test_a_file_that_is_no_picture_is_refused(folder: Path) -> None:
    (folder / "negative.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"negative\.png cannot be read as a picture"):
        style_vectors(read_style_pictures(folder), session(SHIPPED / "style_vector.onnx"))


def test_the_digest_follows_the_pictures_their_feelings_and_the_networks(folder: Path) -> None:
    pictures = read_style_pictures(folder)
    before = styles_digest(pictures, ("a", "b"))
    assert len(before) == 64
    assert styles_digest(pictures, ("a", "c")) != before
    assert styles_digest(pictures[:1], ("a", "b")) != before
    paint(folder / "negative.png", (40, 0, 91))
    assert styles_digest(pictures, ("a", "b")) != before


@pytest.fixture
def stylist(folder: Path) -> Stylist:
    pictures = read_style_pictures(folder)
    vectors = style_vectors(pictures, session(SHIPPED / "style_vector.onnx"))
    assert vectors.shape == (2, 100)
    return Stylist("", session(SHIPPED / "any_style.onnx"), [one.style for one in pictures], vectors)


def grey(height: int = 64, width: int = 96) -> np.ndarray:
    ramp = np.linspace(60, 200, width)[None, :, None]
    return np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8)


def test_a_picture_takes_the_colours_of_the_style_picture(stylist: Stylist) -> None:
    names = [style.name for style in stylist.styles]
    made = {
        name: stylist.stylize(grey(), np.eye(2, dtype=np.float32)[place]).astype(float).mean((0, 1))
        for place, name in enumerate(names)
    }
    assert made["positive"][0] > made["positive"][2] + 20  # yellow: more red than blue
    assert made["negative"][2] > made["negative"][0]  # violet: more blue than red
    assert made["positive"].mean() > made["negative"].mean() + 20


def test_own_styles_blend_and_weaken_as_the_built_in_ones_do(stylist: Stylist) -> None:
    plain = grey()
    full, half, none = (
        stylist.stylize(plain, np.array([0.5, 0.5], np.float32) * share).astype(float) for share in (1, 0.5, 0)
    )
    first = stylist.stylize(plain, np.array([1, 0], np.float32)).astype(float)
    assert np.abs(full - first).mean() > 5
    assert half == pytest.approx((full + plain) / 2, abs=1)
    assert np.array_equal(none, plain)


def test_a_share_weakens_its_style(folder: Path) -> None:
    table = "file,name,share,arousal,valence\nholiday.jpg,blue,0.5,0,0\nnegative.png,night,,0,-0.5\n"
    (folder / "styles.csv").write_text(table)
    pictures = read_style_pictures(folder)
    assert [one.share for one in pictures] == [0.5, 1.0]
    vectors = style_vectors(pictures, session(SHIPPED / "style_vector.onnx"))
    whole, weak = (
        Stylist("", session(SHIPPED / "any_style.onnx"), [one.style for one in pictures], vectors, shares)
        for shares in ((1.0, 1.0), (0.5, 1.0))
    )
    first = np.array([0.6, 0], np.float32)
    assert np.array_equal(weak.stylize(grey(), first), whole.stylize(grey(), first / 2))
    second = np.array([0, 0.6], np.float32)
    assert np.array_equal(weak.stylize(grey(), second), whole.stylize(grey(), second))
