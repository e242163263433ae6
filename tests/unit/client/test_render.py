"""Render: four whole files under their names, or none and what was there before."""

import asyncio
from pathlib import Path

import pytest

from deepsing.client import Client, StoryOptions, render_story
from deepsing.client import connection as connection_module
from deepsing.client.errors import Failed, Refused, Unavailable
from deepsing.client.files import StoryFiles, story_paths
from deepsing.client.session import Event
from deepsing.rpc.errors import Unavailable as ServerUnavailable
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1.sentiment_pb2 import IMAGE_FORMAT_NONE
from tests.unit.client.fake_composer import (
    CONTENTS,
    FakeComposer,
    Step,
    end_event,
    file_pieces,
    serve_composer,
    start_event,
    wait_for_hangup,
    wait_for_song_end,
    whole_story,
)

NAMES = ["story.contact-sheet.png", "story.curve.png", "story.json", "story.mp4"]
GONE = ServerUnavailable("the composer drains", reason=reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "songs" / "Ase's death.mp3"
    path.parent.mkdir()
    path.write_bytes(b"song" * 50_000)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "stories").mkdir()
    return tmp_path / "stories" / "story.mp4"


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir())


def content(path: Path) -> bytes:
    return path.read_bytes()


@pytest.fixture
def last_weeks(out: Path) -> Path:
    out.write_bytes(b"last week's story")
    return out


async def test_a_story_becomes_four_files_and_a_result(song: Path, out: Path) -> None:
    composer, events = FakeComposer(whole_story()), list[Event]()
    async with serve_composer(composer) as target, Client(target) as client:
        story = await client.render(song, out, StoryOptions(style="auto"), on_event=events.append)
    assert names(out) == NAMES
    assert content(out) == CONTENTS[pb.STORY_FILE_KIND_VIDEO]
    assert content(story.manifest) == CONTENTS[pb.STORY_FILE_KIND_MANIFEST]
    config = composer.calls[0].config
    assert config.image_format == IMAGE_FORMAT_NONE
    assert list(config.files) == list(CONTENTS)
    assert (config.title, config.style) == ("Ase's death", "auto")
    assert story.end.frame_count == 24
    assert story.to_json()["agreement"] == {
        "arousal": {"r": 0.97, "ccc": 0.95, "rmse": 0.05, "n": 24},
        "valence": {"r": 0.96, "ccc": 0.94, "rmse": 0.06, "n": 24},
    }
    assert story.to_json()["achieved"] == {
        "arousal": {"r": 0.51, "ccc": 0.4, "rmse": 0.2, "n": 2},
        "valence": {"r": 0.42, "ccc": 0.3, "rmse": 0.3, "n": 2},
        "ceiling": {"arousal": {"r": 0.7, "n": 900}, "valence": {"r": 0.6, "n": 900}},
        "judge": "ee",
        "missed": 1,
    }
    assert any(isinstance(event, pb.Heartbeat) for event in events)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            [start_event(), wait_for_song_end, *file_pieces(spoil=pb.STORY_FILE_KIND_CURVE), end_event()],
            "story.curve.png arrived",
        ),
        (
            [start_event(), *file_pieces(pb.STORY_FILE_KIND_VIDEO), end_event()],
            "without story.json, story.contact-sheet.png",
        ),
        ([start_event(), *file_pieces()], "without ending the story"),
        ([start_event(), *file_pieces(), *file_pieces(pb.STORY_FILE_KIND_CURVE), end_event()], "nothing more is due"),
        ([start_event(), *file_pieces()[1:], end_event()], "sent byte 65536 of a file where byte 0 is due"),
    ],
    ids=["bytes differ from their digest", "a file is missing", "no end", "a file comes twice", "a piece is missing"],
)
async def test_an_answer_other_than_promised_leaves_what_was_there(
    song: Path, last_weeks: Path, script: list[Step], message: str
) -> None:
    out = last_weeks
    async with serve_composer(FakeComposer(script)) as target, Client(target) as client:
        with pytest.raises(Failed, match=message):
            await client.render(song, out)
    assert names(out) == ["story.mp4"]
    assert content(out) == b"last week's story"


async def test_a_break_before_the_files_starts_the_story_once_more(
    song: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "FIRST_PAUSE_S", 0.0)
    composer = FakeComposer([start_event(), wait_for_song_end, GONE], whole_story())
    async with serve_composer(composer) as target, Client(target) as client:
        await client.render(song, out)
    assert names(out) == NAMES
    assert composer.calls[1].config.resume.next_seq == 0


@pytest.mark.parametrize("came", [1, 2, len(file_pieces())])
async def test_after_a_break_within_the_files_they_are_taken_anew(
    song: Path, out: Path, monkeypatch: pytest.MonkeyPatch, came: int
) -> None:
    monkeypatch.setattr(connection_module, "FIRST_PAUSE_S", 0.0)
    composer = FakeComposer([start_event(), wait_for_song_end, *file_pieces()[:came], GONE], whole_story())
    async with serve_composer(composer) as target, Client(target) as client:
        await client.render(song, out)
    assert names(out) == NAMES
    assert content(out) == CONTENTS[pb.STORY_FILE_KIND_VIDEO]
    assert len(composer.calls) == 2


async def test_a_composer_that_keeps_breaking_off_within_the_files_leaves_nothing(song: Path, out: Path) -> None:
    composer = FakeComposer([start_event(), *file_pieces(pb.STORY_FILE_KIND_VIDEO), GONE])
    async with serve_composer(composer) as target, Client(target, retries=0) as client:
        with pytest.raises(Unavailable):
            await client.render(song, out)
    assert names(out) == []


async def test_a_piece_that_is_not_the_next_is_refused(song: Path, out: Path) -> None:
    pieces = file_pieces(pb.STORY_FILE_KIND_VIDEO)
    assert len(pieces) > 1
    composer = FakeComposer([start_event(), wait_for_song_end, *pieces, pieces[-1], end_event()])
    async with serve_composer(composer) as target, Client(target) as client:
        with pytest.raises(Failed, match=r"sent byte 65536 of a file where nothing more is due"):
            await client.render(song, out)
    assert names(out) == []


async def test_a_cancelled_render_leaves_nothing(song: Path, out: Path) -> None:
    has_pieces = asyncio.Event()

    def note(event: Event) -> None:
        if isinstance(event, pb.StoryFileChunk):
            has_pieces.set()

    composer = FakeComposer([start_event(), *file_pieces()[:1], wait_for_hangup])
    async with serve_composer(composer) as target, Client(target) as client:
        rendering = asyncio.create_task(client.render(song, out, on_event=note))
        await asyncio.wait_for(has_pieces.wait(), 20)
        assert len(names(out)) == 4
        rendering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rendering
        await asyncio.wait_for(composer.calls[0].closed.wait(), 20)
    assert names(out) == []


def test_a_thread_that_still_writes_when_the_files_are_given_up_leaves_nothing(out: Path) -> None:
    with StoryFiles(story_paths(out)) as files:
        assert len(names(out)) == 4
    with pytest.raises(Failed, match="given up"):
        files.write(pb.StoryFileChunk(kind=pb.STORY_FILE_KIND_VIDEO, data=b"late"))
    assert names(out) == []


async def test_a_story_does_not_overwrite_its_song(tmp_path: Path) -> None:
    song = tmp_path / "concert.mp4"
    song.write_bytes(b"film with sound")
    async with Client("127.0.0.1:1") as client:
        with pytest.raises(Refused, match="is the song itself"):
            await client.render(song, song)
    assert song.read_bytes() == b"film with sound"


@pytest.mark.parametrize(
    ("name", "error"),
    [("story.mkv", Refused), ("story", Refused), ("missing/story.mp4", FileNotFoundError), ("folder.mp4", OSError)],
)
async def test_a_place_where_no_story_can_go_is_refused_before_the_call(
    song: Path, tmp_path: Path, name: str, error: type[Exception]
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    async with Client("127.0.0.1:1") as client:
        with pytest.raises(error):
            await client.render(song, tmp_path / name)


@pytest.mark.parametrize("name", ["-dash.mp4", "two words.mp4", 'it\'s "so".mp4', "🎵 [b]x.mp4", "a.b.MP4"])
async def test_any_name_is_a_name(song: Path, out: Path, name: str) -> None:
    async with serve_composer(FakeComposer(whole_story())) as target, Client(target) as client:
        story = await client.render(song, out.with_name(name))
    assert story.video.name == name
    assert story.curve.name == f"{name[:-4]}.curve.png"
    assert len(names(out)) == 4


async def test_programs_without_an_event_loop_render_too(song: Path, out: Path) -> None:
    async with serve_composer(FakeComposer(whole_story())) as target:
        story = await asyncio.to_thread(render_story, song, out, target=target)
    assert story.duration_s == 1.0
    assert names(out) == NAMES
