"""From other pictures to an engine that paints them, by the encoder in the shipped engine's file."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx")

from services.generator.concepts import Concept
from services.generator.engine import Engine
from tests.unit.generator.opened import WEIGHTS, session
from training.generator.canvas.codes import NATIVE_SIZE_PX
from training.generator.evaluate import measure_sharpness
from training.generator.own.engine import EngineMaker
from training.generator.own.sources import SHIPPED
from training.generator.painting import open_engine_with_latents

CONCEPTS = [Concept("red", 0.3, -0.2), Concept("waves", -0.5, 0.4), Concept("blue", 0.1, 0.9), Concept("dusk", 0, 0)]


def write_own_engine(source: Path, pictures: NDArray[np.uint8], concepts: list[Concept], path: Path) -> None:
    maker = EngineMaker(source)
    for picture in pictures:
        maker.add(picture, (0.5, 0.5))
    maker.write(concepts, path)


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    """Smooth pictures with an edge each, (4, 512, 640, 3)."""
    width, height = NATIVE_SIZE_PX
    down, across = np.mgrid[0:height, 0:width].astype(np.float32) / 100
    shades = [np.sin((1 + number) * across) + np.cos(down) + (across > 3) for number in range(len(CONCEPTS))]
    colours = np.array([[200, 30, 30], [60, 120, 90], [30, 60, 200], [90, 60, 120]], np.float32)
    made = [shade[..., None] * 20 + colour for shade, colour in zip(shades, colours, strict=True)]
    return np.stack(made).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def own(pictures: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "mine.onnx"
    write_own_engine(SHIPPED, pictures, CONCEPTS, path)
    return path


def test_an_own_engine_paints_its_pictures_and_knows_its_concepts(own: Path, pictures: NDArray[np.uint8]) -> None:
    engine, latents = open_engine_with_latents(own)
    assert engine.concepts == tuple(CONCEPTS)
    assert (engine.native_size_px, engine.noise_size, latents.shape) == (NATIVE_SIZE_PX, 128, (4, 4))
    found = measure_sharpness(own, pictures)
    assert found["n"] == 4
    assert found["min"] > 30  # dB
    assert own.stat().st_size < 2_000_000
    assert [path.name for path in own.parent.iterdir()] == ["mine.onnx"]


def test_a_mixture_of_own_pictures_shows_each_where_it_is_near_to_it(own: Path, pictures: NDArray[np.uint8]) -> None:
    engine = Engine("mine", "", session(own))
    weights = np.array([[0.5, 0, 0.5, 0]], np.float32)
    made = engine.paint(weights, np.zeros((1, 128), np.float32), np.zeros(1, np.float32))[0].astype(int)
    apart = np.stack([np.abs(made - pictures[place]).mean(axis=2) for place in (0, 2)])
    shares = [(apart[first] < 12).mean() for first in (0, 1)]
    assert all(0.35 < share < 0.6 for share in shares)
    assert sum(shares) > 0.8


def test_the_shipped_engine_is_left_as_it_is(own: Path) -> None:
    assert len(Engine("canvas", "", session(SHIPPED)).concepts) == 337


def test_too_few_pictures_and_engines_without_an_encoder_are_refused(
    pictures: NDArray[np.uint8], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="2 pictures and 2 concepts; give 3 or more of each, as many"):
        write_own_engine(SHIPPED, pictures[:2], CONCEPTS[:2], tmp_path / "x.onnx")
    with pytest.raises(ValueError, match=r"tiny\.onnx holds no encoder"):
        write_own_engine(WEIGHTS / "tiny.onnx", pictures, CONCEPTS, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
