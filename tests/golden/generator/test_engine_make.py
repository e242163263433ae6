"""One command makes an engine of a folder of pictures, without PyTorch, from which a story can be made."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from PIL import Image

pytest.importorskip("onnx")

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import composer_pb2, generator_pb2
from services.composer.pipeline.selection import select_concepts
from services.composer.session.config import parse_config
from services.generator.concepts import Concept
from services.generator.rpc import GeneratorServicer
from services.generator.settings import Settings
from services.translator.catalogue import open_translators
from tests.songs import make_song
from tests.unit.training.generator.own.drawing import draw_picture, fill_folder
from training.generator.own import cache, folder
from training.generator.own.make import main
from training.generator.painting import open_engine

FILES = {"mine.onnx", "mine.json", "mine_concepts.json", "mine_pictures.csv"}


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPSING_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return fill_folder(tmp_path / "pictures", "sad/Red_Sky.png", "joyful/meadow.jpg", "sea/0001.png", "sea/0002.png")


def make(*words: object, capsys: pytest.CaptureFixture[str]) -> Any:
    """The report, and the lines on standard error."""
    assert main([*map(str, words), "--json"]) == 0
    said = capsys.readouterr()
    return json.loads(said.out), said.err.splitlines()


def test_pictures_become_an_engine_and_its_tables(
    pictures: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "broken.png").write_text("no picture")
    (pictures / "sea" / "copy.png").write_bytes((pictures / "sea" / "0001.png").read_bytes())
    report, said = make(pictures, capsys=capsys)
    assert {path.name for path in models.iterdir()} == FILES
    assert (report["name"], report["rated_by"], report["reused"]) == ("mine", "mixed", False)
    assert [(one["name"], one["source"], one["rated_by"]) for one in report["concepts"]] == [
        ("meadow", "folder", "people"),
        ("red sky", "folder", "people"),
        ("sea 0001", "labeller", "model"),
        ("sea 0002", "labeller", "model"),
    ]
    assert said[:2] == [
        "deepsing: left out: broken.png is no picture that can be read here; save it as JPEG or PNG",
        "deepsing: left out: sea/copy.png is the same picture as sea/0001.png",
    ]
    assert said[2].startswith("deepsing: smaller than 640 x 512 pixels and enlarged, up to 4 times: ")
    assert report["left_out"] == [
        {"file": "broken.png", "why": "is no picture that can be read here; save it as JPEG or PNG"},
        {"file": "sea/copy.png", "why": "is the same picture as sea/0001.png"},
    ]
    manifest = json.loads((models / "mine.json").read_text())
    assert (manifest["engine"], manifest["rated_by"]) == ("canvas", "mixed")
    assert manifest["ratings"] == {"folder": 2, "labeller": 2}
    assert manifest["data"] == (
        "4 pictures of the user, rated: 2 by the names of folders, 2 by a model; nobody was asked."
    )
    assert manifest["metrics"]["psnr_db"]["min"] > 30
    concepts = open_engine(models / "mine.onnx").concepts
    assert concepts[:2] == (
        Concept("meadow", 0.4, 0.7, (), "people"),
        Concept("red sky", -0.3, -0.55, (), "people"),
    )
    assert [(one.name, one.themes, one.rated_by) for one in concepts[2:]] == [
        ("sea 0001", ("sea",), "model"),
        ("sea 0002", ("sea",), "model"),
    ]
    translators = open_translators(models / "mine_concepts.json")
    assert set(translators) == {"dictionary", "original", "journey"}
    assert translators["dictionary"].lexicon.names == ("meadow", "red sky", "sea 0001", "sea 0002")
    assert translators["dictionary"].lexicon.raters == ("people", "people", "model", "model")
    table = json.loads((models / "mine_concepts.json").read_text())
    assert [one["themes"] for one in table["concepts"]] == [[], [], ["sea"], ["sea"]]


async def test_a_story_of_own_pictures_may_be_of_a_theme_or_without_one(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("sad/Red_Sky.png", *(f"sea/{name}.png" for name in "abc"), "joyful/North Sea/d.png")
    make(fill_folder(tmp_path / "many", *names), capsys=capsys)
    engine = open_engine(models / "mine.onnx")
    listing = GeneratorServicer({"mine": engine}, Mock(), Mock(), Settings())
    listed = await listing.ListConcepts(generator_pb2.ListConceptsRequest(), None)

    def select(**chosen: tuple[str, ...]) -> list[str]:
        plan = replace(parse_config(composer_pb2.StoryConfig()), **chosen)  # type: ignore[arg-type]
        selection = select_concepts(plan, "mine", listed.concepts)
        return [listed.concepts[number].name for number in selection.allowed]

    assert select(themes=("sea",)) == ["a", "b", "c"]
    assert select(themes=("Sea", "north sea")) == ["d", "a", "b", "c"]
    assert select(without=("north sea",)) == ["red sky", "a", "b", "c"]
    with pytest.raises(InvalidArgument, match="theme is 'joyful'; choose one of: north sea, sea"):
        select(themes=("joyful",))


def test_the_table_of_pictures_can_be_changed_and_given_back(
    pictures: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(pictures, capsys=capsys)
    with (models / "mine_pictures.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["file"] for row in rows] == ["joyful/meadow.jpg", "sad/Red_Sky.png", "sea/0001.png", "sea/0002.png"]
    rows[2] |= {"arousal": "-0.5", "valence": "0.25", "rated_by": "people", "name": "Old Harbour"}
    changed = pictures / "ratings.csv"  # taken without being named
    with changed.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([*rows, rows[0] | {"file": "gone.png"}])
    report, said = make(pictures, "--name", "x", capsys=capsys)
    assert [one for one in report["concepts"] if one["name"] == "Old Harbour"] == [
        {
            "name": "Old Harbour",
            "file": "sea/0001.png",
            "arousal": -0.5,
            "valence": 0.25,
            "rated_by": "people",
            "source": "table",
        }
    ]
    assert "deepsing: ratings.csv, line 6: gone.png is not among the pictures" in said
    assert main([str(pictures), "--ratings", str(tmp_path / "none.csv")]) == 2
    assert "none.csv: no such file" in capsys.readouterr().err


def test_equal_pictures_give_equal_bytes(pictures: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(pictures, capsys=capsys)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in models.iterdir()}
    make(pictures, capsys=capsys)
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in models.iterdir()} == before
    draw_picture(9).save(pictures / "more.png")
    make(pictures, capsys=capsys)
    assert {path.name for path in models.iterdir()} == FILES
    assert (models / "mine.onnx").read_bytes() != before["mine.onnx"][0]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "(JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF) 0 can be used, and an engine needs 3\n"),
        (("a.png", "b.png"), "2 can be used, and an engine needs 3\n"),
    ],
)
def test_too_few_pictures_are_refused(
    names: tuple[str, ...], said: str, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "few").mkdir()
    fill_folder(tmp_path / "few", *names)
    assert main([str(tmp_path / "few")]) == 2
    assert said in capsys.readouterr().err
    assert list(models.iterdir()) == []


def test_pictures_that_are_all_the_same_are_refused(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abcde":
        Image.new("RGB", (640, 512), (9, 9, 9)).save(tmp_path / f"{name}.png")
    assert main([str(tmp_path)]) == 2
    assert " 1 can be used, and" in (said := capsys.readouterr().err)
    assert "an engine needs 3; b.png is the same picture as a.png; c.png is the same picture as a.png" in said


def test_of_too_many_pictures_the_rest_is_told(
    pictures: Path, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(folder, "MAX_PICTURES", 3)
    report, _ = make(pictures, capsys=capsys)
    assert [one["file"] for one in report["concepts"]] == ["joyful/meadow.jpg", "sad/Red_Sky.png", "sea/0001.png"]
    assert report["notes"][0].startswith("1 of 4 pictures are left out: an engine holds 1000")


@pytest.mark.parametrize(
    "name",
    ["canvas", "Canvas", "painting", "judge", "labeller", "biggan-deep-512", "../x", "a/b", "", "x_concepts", "a,b"],
)
def test_names_that_are_taken_or_no_words_are_refused(
    name: str, pictures: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(pictures), "--name", name]) == 2
    said = capsys.readouterr().err
    assert "which comes with deepsing; choose another name" in said or "letters a to z, digits and hyphens" in said
    assert not models.exists()


def test_an_engine_made_on_the_way_is_used_again_until_something_changes(
    pictures: Path, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, said = make(pictures, "--cached", capsys=capsys)
    assert Path(first["engine"]) == models / "cache" / first["name"] / f"{first['name']}.onnx"
    rated = "2 by the names of folders, 2 by a model; nobody was asked"
    assert f"deepsing: made an engine of 4 pictures, rated: {rated}" in said
    again, said = make(pictures, "--cached", capsys=capsys)
    assert (again["name"], again["reused"]) == (first["name"], True)
    assert said == [f"deepsing: {pictures} has not changed; its engine is there: {first['engine']}"]
    (pictures / "ratings.csv").write_text("file,arousal,valence\n0001.png,0.1,0.2\n")
    changed, _ = make(pictures, "--cached", capsys=capsys)
    assert (changed["name"] != first["name"], changed["reused"]) == (True, False)
    monkeypatch.setattr(cache, "KEPT", 1)
    os.utime(models / "cache" / changed["name"] / f"{changed['name']}.json", (1, 1))
    draw_picture(5).save(pictures / "new.png")
    newest, _ = make(pictures, "--cached", capsys=capsys)
    assert [path.name for path in (models / "cache").iterdir()] == [newest["name"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    fill_folder(tmp_path / "many", *(f"{place}.png" for place in range(400)))
    words = [sys.executable, "-m", "training", "engine", "make", str(tmp_path / "many"), "--out", str(tmp_path / "out")]
    end_s = time.monotonic() + 60
    # What runs in the background of a shell ignores Ctrl-C, and so would its children.
    listen = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(words, stderr=subprocess.PIPE, preexec_fn=listen) as process:
        while not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir()):
            assert time.monotonic() < end_s
            time.sleep(0.02)
        process.send_signal(number)
        assert process.communicate()[1] == b""
    assert process.returncode == 128 + number
    assert list((tmp_path / "out").iterdir()) == []


def deepsing(*arguments: object, hidden: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command, and what it starts, where PyTorch cannot be imported."""
    hidden.mkdir(exist_ok=True)
    (hidden / "torch.py").write_text("raise ModuleNotFoundError('hidden', name='torch')\n")
    path = os.pathsep.join(filter(None, [str(hidden), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": path}
    words = [sys.executable, "-m", "deepsing.cli", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, env=environment)


def test_a_story_shows_own_pictures_without_pytorch(pictures: Path, models: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    made = deepsing("engine", "make", pictures, hidden=hidden)
    assert made.returncode == 0, made.stderr[-2000:]
    assert made.stdout.splitlines()[-1] == "try it: deepsing render SONG story.mp4 --engine mine"
    song, story = make_song(tmp_path, "cbr_mp3"), tmp_path / "story.mp4"
    words = ("render", song, story, "--fps", "4", "--duration", "3", "--json")
    for choice in (("--engine", "mine"), ("--pictures", pictures)):
        rendered = deepsing(*words, *choice, hidden=hidden)
        assert rendered.returncode == 0, rendered.stderr[-2000:]
        manifest = json.loads(story.with_suffix(".json").read_text())
        assert manifest["rated_by"] == "mixed"
        shown = {name for frame in manifest["frames"] for name in frame["concepts"]}
        assert shown <= {"meadow", "red sky", "sea 0001", "sea 0002"}
    assert manifest["parameters"]["engine"].startswith("pictures-")
    assert "deepsing: made an engine of 4 pictures" in rendered.stderr
    planned = deepsing("storyboard", song, "--out", tmp_path / "board", "--pictures", pictures, hidden=hidden)
    assert planned.returncode == 0, planned.stderr[-2000:]
    board = tomllib.loads((tmp_path / "board.toml").read_text())
    assert board["options"]["engine"] == manifest["parameters"]["engine"]
    assert {key["concept"] for key in board["key"]} <= {"meadow", "red sky", "sea 0001", "sea 0002"}
    live = deepsing("live", song, "--seconds", "1", "--json", "--pictures", pictures, hidden=hidden)
    assert live.returncode == 0, live.stderr[-2000:]
    assert json.loads(live.stdout.splitlines()[-1])["end"] is True
    shown = ("--pictures", pictures, "--storyboard", tmp_path / "board.toml")
    rendered = deepsing(*words, *shown, "--seed", "0", hidden=hidden)
    assert rendered.returncode == 0, rendered.stderr[-2000:]
    keys = json.loads(story.with_suffix(".json").read_text())["parameters"]["storyboard"]
    assert [key["locked"] for key in keys] == [True] * len(board["key"])
    again = deepsing("again", story.with_suffix(".json"), song, tmp_path / "again.mp4", hidden=hidden)
    assert again.returncode == 0, again.stderr[-2000:]
    assert again.stdout.splitlines()[-1] == "the same frames as before, bit for bit"


def test_a_story_of_too_few_pictures_is_refused_before_a_service_starts(models: Path, tmp_path: Path) -> None:
    few = fill_folder(tmp_path / "few", "a.png", "b.png")
    song, story = make_song(tmp_path, "cbr_mp3"), tmp_path / "story.mp4"
    refused = deepsing("render", song, story, "--pictures", few, "--json", hidden=tmp_path / "hidden")
    assert refused.returncode == 2
    assert refused.stdout == ""
    said = refused.stderr.splitlines()
    assert said[0].endswith("2 can be used, and an engine needs 3")
    assert said[1:] == [f"deepsing: the engine of {few} was not made"]
    assert not story.exists()
