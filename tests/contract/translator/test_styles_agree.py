"""A style is measured as the generator paints it: by its code, at the network's own strength."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.generator.style_pictures import open_picture_stylist, read_style_pictures
from services.generator.stylize import Stylist
from tests.unit.generator.opened import session
from training.translator.styles.readings import find_style_files, open_built_in_styles, open_style_pictures

WEIGHTS = Path(__file__).resolve().parents[3] / "services" / "generator" / "weights"
STRENGTH = 0.6


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def test_built_in_styles_agree_at_their_shares(picture: np.ndarray) -> None:
    styles, stylist = open_built_in_styles(WEIGHTS / "painting.onnx"), Stylist("", session(WEIGHTS / "painting.onnx"))
    assert styles.names == tuple(style.name for style in stylist.styles)
    place = styles.names.index("red weave")  # strong: shown at a share of its strength
    weights = np.zeros(len(styles.names), np.float32)
    weights[place] = STRENGTH
    whole, shown = styles.stylize([picture], place, STRENGTH)[0], stylist.stylize(picture, weights)
    away, kept = (np.abs(made.astype(float) - picture).mean() for made in (whole, shown))
    assert kept == pytest.approx(0.6 * away, rel=0.05)


def test_styles_of_pictures_agree(picture: np.ndarray, tmp_path: Path) -> None:
    for name, colour in (("positive", (250, 230, 120)), ("negative", (20, 20, 60))):
        Image.new("RGB", (300, 200), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "styles.csv").write_text(
        "file,name,arousal,valence\npositive.png,sun,0,0.5\nnegative.png,night,0,-0.5\n"
    )
    styles = open_style_pictures(WEIGHTS / "any_style.onnx", tmp_path)
    networks = [session(WEIGHTS / name) for name in ("style_vector.onnx", "any_style.onnx")]
    stylist = open_picture_stylist(tmp_path, *networks, ("", ""))
    assert styles.names == tuple(style.name for style in stylist.styles) == ("sun", "night")
    for place in (0, 1):
        weights = np.eye(2, dtype=np.float32)[place] * np.float32(STRENGTH)
        made = styles.stylize([picture], place, STRENGTH)[0].astype(int)
        assert np.abs(made - stylist.stylize(picture, weights)).max() <= 1


def test_without_a_table_pictures_are_styles_by_their_names(tmp_path: Path) -> None:
    for name in ("positive.png", "neutral.png"):
        Image.new("RGB", (64, 64)).save(tmp_path / name)
    assert find_style_files(tmp_path) == {one.style.name: one.path for one in read_style_pictures(tmp_path)}
