from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from services.generator.engine import EXPORTERS, PAINT_RATES, Engine
from services.generator.stylize import Stylist
from tests.unit.generator.opened import tiny_engine, two_styles

ROOT = Path(__file__).parents[3]


class Blank:
    """A session whose file says nothing about itself."""

    def run(self, *_: Any) -> list[Any]:
        raise AssertionError("nothing is to be painted")

    def get_outputs(self) -> list[Any]:
        return []

    def get_modelmeta(self) -> Any:
        return SimpleNamespace(custom_metadata_map={})


def test_an_engine_reads_its_vocabulary_and_sizes_from_its_file() -> None:
    engine = tiny_engine()
    assert [concept.name for concept in engine.concepts] == ["calm lake", "storm", "fog"]
    assert engine.concepts[1].arousal == pytest.approx(0.7)
    assert (engine.native_size_px, engine.noise_size) == ((64, 64), 4)


def test_an_engine_paints_the_concepts_apart() -> None:
    made = tiny_engine().paint(np.eye(3, dtype=np.float32), np.zeros((3, 4), np.float32), np.zeros(3, np.float32))
    assert (made.shape, made.dtype) == ((3, 64, 64, 3), np.uint8)
    assert len({picture.tobytes() for picture in made}) == 3


@pytest.mark.parametrize(("kind", "exporter"), EXPORTERS.items())
def test_a_kind_of_engine_names_the_program_that_writes_its_file(kind: str, exporter: str) -> None:
    assert (ROOT / f"{exporter.replace('.', '/')}.py").is_file()
    with pytest.raises(ValueError, match=f"has no concepts in its file; write it with {exporter}$"):
        Engine("odd", "", Blank(), kind=kind)


def test_a_file_that_was_not_exported_for_serving_is_refused() -> None:
    with pytest.raises(ValueError, match="engine 'odd' has no concepts in its file"):
        Engine("odd", "", Blank())
    with pytest.raises(ValueError, match="names no styles"):
        Stylist("", Blank())


def test_a_canvas_engine_of_an_earlier_release_is_refused() -> None:
    class Earlier(Blank):
        def get_outputs(self) -> list[Any]:
            return [SimpleNamespace(name="pictures")]

        def get_modelmeta(self) -> Any:
            facts = {"concepts": '[["a", 0, 0], ["b", 0, 0]]', "noise_size": "4", "place_px": "16"}
            return SimpleNamespace(custom_metadata_map=facts)

    with pytest.raises(ValueError, match="engine 'mine' is of an earlier release; write it again with training"):
        Engine("mine", "", Earlier())


def test_styles_are_named_and_felt() -> None:
    assert [style.name for style in two_styles().styles] == ["negative", "mirror"]
    assert two_styles().styles[0].valence == pytest.approx(-0.5)


@pytest.mark.parametrize("kind", EXPORTERS)
def test_every_kind_of_engine_says_how_many_pictures_a_story_needs(kind: str) -> None:
    assert 0 < PAINT_RATES[kind] <= 60


def test_a_slow_kind_of_engine_asks_for_fewer_pictures() -> None:
    assert tiny_engine().paint_rate == PAINT_RATES["canvas"] == 12
    assert PAINT_RATES["biggan-deep"] == 2
