"""deepsing storyboard as a process: what it writes and prints, and render with what it wrote."""

import hashlib
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1.composer_pb2 import NamedWeight, PlannedKey, PlanStoryResponse, StoryboardKey
from deepsing.v1.sentiment_pb2 import Sentiment, SongFacts
from tests.e2e.cli.stand_ins import deepsing
from tests.unit.client.fake_composer import FakeComposer, serve_composer, whole_story


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "song.mp3").write_bytes(b"song" * 1000)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def build_plan(count: int = 8) -> PlanStoryResponse:
    """A plan of keys every four seconds, each with a plain picture."""
    keys = []
    for place in range(count):
        file = io.BytesIO()
        Image.new("RGB", (240, 192), (20 * place, 90, 30)).save(file, "JPEG")
        concepts = [NamedWeight(name=f"concept {place}", weight=1)]
        key = StoryboardKey(time_us=4_000_000 * place, concepts=concepts, style="none", motion=0.5)
        target = Sentiment(arousal=0.1 * place, valence=-0.1 * place)
        keys.append(PlannedKey(key=key, target=target, expected=target, image=file.getvalue()))
    return PlanStoryResponse(song=SongFacts(duration_us=count * 4_000_000), keys=keys, warnings=["a warning"])


async def test_the_keys_are_written_as_toml_and_shown_on_a_sheet(folder: Path) -> None:
    composer = FakeComposer()
    composer.plan = build_plan()
    async with serve_composer(composer) as target:
        ended = await deepsing("storyboard", "song.mp3", "--seed", "7", "--target", target, root=folder)
    assert (ended.status, ended.out.splitlines()[:3]) == (
        0,
        ["song.storyboard.toml: 8 keys in 0:32.0", "beside it: song.storyboard.png", "note: a warning"],
    )
    text = (folder / "song.storyboard.toml").read_text(encoding="utf-8")
    assert (text.count("[[key]]  # "), 'concept = "concept 3"' in text, "seed = 7" in text) == (8, True, True)
    with Image.open(folder / "song.storyboard.png") as sheet:
        assert (sheet.format, sheet.size) == ("PNG", (6 * 248 + 8, 108 + 2 * 248))
        assert [sheet.getpixel((8 + 100 + 248 * place, 108 + 90))[0] // 20 for place in (0, 1, 5)] == [0, 1, 5]
    assert (composer.planned, composer.plan_config.seed) == (b"song" * 1000, 7)
    assert names(folder) == {"song.mp3", "song.storyboard.toml", "song.storyboard.png"}


async def test_json_lists_the_keys(folder: Path) -> None:
    composer = FakeComposer()
    composer.plan = build_plan(2)
    async with serve_composer(composer) as target:
        words = ("storyboard", "song.mp3", "--out", "first.toml", "--json", "--target", target)
        ended = await deepsing(*words, root=folder)
    facts = json.loads(ended.out)
    assert (ended.err, facts["storyboard"], facts["contact_sheet"]) == ("", "first.toml", "first.png")
    assert facts["keys"][1] == {
        "time_s": 4.0, "concepts": {"concept 1": 1.0}, "style": "none", "motion": 0.5, "locked": False,
        "target": [0.1, -0.1], "expected": [0.1, -0.1],
    }  # fmt: skip


async def test_what_was_written_is_rendered_as_it_stands(folder: Path) -> None:
    composer = FakeComposer(whole_story())
    composer.plan = build_plan(3)
    async with serve_composer(composer) as target:
        words = ("storyboard", "song.mp3", "--seed", "7", "--out", "board", "--target", target)
        assert (await deepsing(*words, root=folder)).status == 0
        words = ("render", "song.mp3", "story.mp4", "--storyboard", "board.toml", "--target", target)
        assert (await deepsing(*words, root=folder)).status == 0
        assert (await deepsing(*words, "--seed", "8", root=folder)).status == 0
    same, other = (call.config for call in composer.calls)
    assert (same.seed, [key.locked for key in same.storyboard]) == (7, [True] * 3)
    assert [key.concepts[0].name for key in same.storyboard] == ["concept 0", "concept 1", "concept 2"]
    assert (other.seed, [key.locked for key in other.storyboard]) == (8, [False] * 3)
    assert [key.time_us for key in other.storyboard] == [0, 4_000_000, 8_000_000]


async def test_a_storyboard_is_not_written_over_unless_asked(folder: Path) -> None:
    composer = FakeComposer()
    composer.plan = build_plan(1)
    (folder / "board.toml").write_text("mine")
    async with serve_composer(composer) as target:
        words = ("storyboard", "song.mp3", "--out", "board", "--target", target)
        kept = await deepsing(*words, root=folder)
        assert (kept.status, (folder / "board.toml").read_text()) == (2, "mine")
        assert kept.line == "deepsing: board.toml exists; choose another name with --out, or --replace it"
        assert (await deepsing(*words, "--replace", root=folder)).status == 0
        nowhere = await deepsing("storyboard", "song.mp3", "--out", "no/board", "--target", target, root=folder)
    assert nowhere.line == "deepsing: --out is no/board, in a folder that does not exist; make no first"
    assert "[[key]]" in (folder / "board.toml").read_text()


async def test_a_key_that_is_refused_is_named_by_file_and_line(folder: Path) -> None:
    composer = FakeComposer(
        [
            InvalidArgument(
                "storyboard[1] names the concept 'concept 1'; the nearest: lamb; choose another",
                reason=reasons.ERROR_REASON_CONCEPT_UNKNOWN,
                field="storyboard[1].concepts[0]",
                value="concept 1",
            )
        ]
    )
    composer.plan = build_plan(2)
    async with serve_composer(composer) as target:
        await deepsing("storyboard", "song.mp3", "--out", "board", "--target", target, root=folder)
        words = ("render", "song.mp3", "story.mp4", "--storyboard", "board.toml", "--target", target)
        ended = await deepsing(*words, root=folder)
    lines = (folder / "board.toml").read_text().splitlines()
    line = lines.index('concept = "concept 1"') + 1
    said = "storyboard[1] names the concept 'concept 1'; the nearest: lamb; choose another"
    assert (ended.status, ended.line) == (2, f"deepsing: board.toml, line {line}: {said}")


async def test_again_takes_the_storyboard_of_the_manifest(folder: Path) -> None:
    parameters = {
        "seed": 7, "frame_rate": "24/1", "size": "512x288", "engine": "canvas", "translator": "dictionary",
        "style": "none", "style_strength": 0.6, "sentiment_mode": "absolute", "truncation": 0.35,
        "start_us": 0, "duration_us": 0,
        "storyboard": [
            {"time_us": 0, "concepts": {"c1": 0.7, "c2": 0.3}, "style": "s0", "motion": 0.25, "locked": True},
            {"time_us": 7_500_000, "concepts": {}, "style": "", "motion": None, "locked": False},
        ],
    }  # fmt: skip
    digest = hashlib.sha256(b"song" * 1000).hexdigest()
    manifest = {"parameters": parameters, "song_digest": digest, "frames_digest": "f4a3"}
    (folder / "first.json").write_text(json.dumps(manifest))
    composer = FakeComposer(whole_story())
    async with serve_composer(composer) as target:
        words = ("again", "first.json", "song.mp3", "story.mp4", "--target", target)
        assert (await deepsing(*words, root=folder)).status == 0
        parameters["storyboard"] = [3]
        (folder / "first.json").write_text(json.dumps(manifest))
        assert "lacks a parameter" in (await deepsing(*words, root=folder)).line
    first, second = composer.calls[0].config.storyboard
    assert ([(one.name, round(one.weight, 6)) for one in first.concepts], first.style, first.motion, first.locked) == (
        [("c1", 0.7), ("c2", 0.3)], "s0", 0.25, True
    )  # fmt: skip
    assert (second.time_us, len(second.concepts), second.HasField("motion"), second.locked) == (
        *(7_500_000, 0, False, False),
    )
