"""The sheet of all concepts: who stands where, what is painted, and what is refused before."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepsing.cli.__main__ import main
from deepsing.cli.concept_sheet import BATCH, choose_size, paint_concepts, place_concepts, write_sheet
from deepsing.v1 import generator_pb2 as gen
from deepsing.v1 import sentiment_pb2

SHADES = (40, 120, 200)


def list_concepts(count: int, width_px: int = 640, height_px: int = 512) -> gen.ListConceptsResponse:
    rng = np.random.default_rng(count)
    engine = gen.Engine(name="many", native_size=sentiment_pb2.Size(width_px=width_px, height_px=height_px))
    felt = [sentiment_pb2.Sentiment(arousal=a, valence=v) for a, v in rng.uniform(-1, 1, (count, 2))]
    named = [gen.Concept(name=f"concept number {place} – très long", sentiment=one) for place, one in enumerate(felt)]
    return gen.ListConceptsResponse(engine=engine, concepts=named)


class Stub:
    """A generator that paints concept k in the shade k."""

    def __init__(self) -> None:
        self.requests: list[gen.GenerateRequest] = []

    async def Generate(self, request: gen.GenerateRequest, timeout: float) -> gen.GenerateResponse:  # noqa: ASYNC109
        self.requests.append(request)
        rows = np.array(request.class_weights).reshape(request.frame_count, -1)
        assert (rows.sum(1) == 1).all()
        pixels = 3 * request.size.width_px * request.size.height_px
        return gen.GenerateResponse(images=[bytes([shade]) * pixels for shade in rows.argmax(1).tolist()])


def test_concepts_stand_the_farther_right_the_more_pleasant_and_the_higher_the_more_excited() -> None:
    concepts = list_concepts(100).concepts
    places = place_concepts(concepts, 8)
    assert len(set(places)) == 100
    columns = [[one for one, (at, _) in zip(concepts, places, strict=True) if at == column] for column in range(8)]
    assert [len(column) for column in columns] == [13, 13, 13, 13, 12, 12, 12, 12]
    for left, right in pairwise(columns):
        assert max(one.sentiment.valence for one in left) <= min(one.sentiment.valence for one in right)
    for number, column in enumerate(columns):
        rows = {places[list(concepts).index(one)][1]: one.sentiment.arousal for one in column}
        assert sorted(rows) == list(range(len(column))), number
        assert [rows[row] for row in sorted(rows)] == sorted(rows.values(), reverse=True)


@pytest.mark.parametrize(
    ("count", "shape", "size"),
    [
        (12, (640, 512), (160, 128)),
        (342, (640, 512), (160, 128)),
        (1000, (512, 512), (88, 88)),
        (9, (1920, 64), (160, 64)),
    ],
)
def test_pictures_have_the_engines_shape_and_are_smaller_where_there_are_many(
    count: int, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    assert choose_size(list_concepts(1, *shape).engine, count) == size


async def test_every_concept_is_painted_by_itself_in_batches_and_counted() -> None:
    stub, listed, counted = Stub(), list_concepts(19), list[int]()
    pictures = await paint_concepts(stub, listed, counted.append)
    assert [picture[0] for picture in pictures] == list(range(19))
    assert counted == [BATCH, 2 * BATCH, 19]
    assert {request.engine for request in stub.requests} == {"many"}


def test_a_sheet_of_342_is_a_png_of_a_few_megabytes_even_of_noise(tmp_path: Path) -> None:
    listed, rng = list_concepts(342), np.random.default_rng(0)
    pictures = [rng.integers(0, 256, 128 * 160 * 3, np.uint8).tobytes() for _ in range(342)]
    write_sheet(tmp_path / "all.png", listed, pictures)
    assert (tmp_path / "all.png").stat().st_size < 8_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["all.png"]
    with Image.open(tmp_path / "all.png") as sheet:
        assert sheet.format == "PNG"
        assert 1.1 < sheet.width / sheet.height < 1.5


def test_a_sheet_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "all.png").write_bytes(b"before")
    with pytest.raises(ValueError, match="not enough image data"):
        write_sheet(tmp_path / "all.png", list_concepts(3), [b"too short"] * 3)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("all.png", b"before")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("all.jpg", "--sheet is all.jpg; choose a name that ends in .png"),
        ("gone/all.png", "gone: no such folder"),
        ("folder.png", "folder.png: is a folder"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_anything_is_started(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.png").mkdir()
    assert main(["concepts", "--sheet", name]) == 2
    assert capsys.readouterr().err == f"deepsing: {said}\n"
