"""What `deepsing stories` prints of stored stories, and what it sends."""

import argparse
import json
from pathlib import Path

import pytest

from deepsing.cli import stories
from deepsing.cli.__main__ import build_parser
from deepsing.v1 import composer_pb2 as pb


class FakeClient:
    """Two stories, one without a title; notes what it was asked to create."""

    def __init__(self) -> None:
        self.title = ""

    async def list_stories(self):  # type: ignore[no-untyped-def]
        yield pb.Story(
            story_id="a" * 32, state=pb.STORY_STATE_SUCCEEDED, create_time_us=1, remaining_us=-1, title="Dawn"
        )
        yield pb.Story(story_id="b" * 32, state=pb.STORY_STATE_QUEUED, create_time_us=2_000_000, remaining_us=-1)

    async def create_story(self, song: str, options: object, idempotency_key: str) -> pb.Story:
        self.title = options.title  # type: ignore[attr-defined]
        return pb.Story(story_id="c" * 32)


def parse(*words: str) -> argparse.Namespace:
    return build_parser().parse_args(["stories", *words])


async def test_the_list_has_a_header_and_names_untitled_stories_so(capsys: pytest.CaptureFixture[str]) -> None:
    await stories._list(FakeClient(), parse("list"))  # type: ignore[arg-type]
    header, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert header == ["id", "created", "state", "title"]
    assert rows == [
        ["b" * 32, "1970-01-01T00:00:02+00:00", "queued", "(untitled)"],
        ["a" * 32, "1970-01-01T00:00:00+00:00", "succeeded", "Dawn"],
    ]


@pytest.mark.parametrize(("words", "title"), [((), "Morning Mood"), (("--title", "Dawn"), "Dawn")])
def test_a_story_is_called_as_its_file_unless_a_title_is_given(
    words: tuple[str, ...], title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Morning Mood.mp3").write_bytes(b"song")
    monkeypatch.setattr(stories, "run_to_end", lambda work: work.close() or 0)
    arguments = parse("create", str(tmp_path / "Morning Mood.mp3"), *words)
    arguments.run(arguments)
    assert stories.story_options(arguments).title == title


@pytest.mark.parametrize(
    ("story", "words"),
    [
        (pb.Story(state=pb.STORY_STATE_RUNNING, remaining_us=-1), "running, analysing the song"),
        (
            pb.Story(state=pb.STORY_STATE_RUNNING, frames_total=240, remaining_us=-1),
            "running, analysing the song, 240 frames to paint",
        ),
        (
            pb.Story(state=pb.STORY_STATE_RUNNING, frames_done=48, frames_total=240, remaining_us=65_000_000),
            "running, frame 48 of 240, about 00:01:05 left",
        ),
        (pb.Story(state=pb.STORY_STATE_QUEUED, remaining_us=-1), "queued"),
        (pb.Story(state=pb.STORY_STATE_SUCCEEDED, frames_done=240, frames_total=240, remaining_us=-1), "succeeded"),
    ],
)
def test_a_story_is_said_to_be_analysed_until_its_first_frame_is_there(story: pb.Story, words: str) -> None:
    assert stories._describe(story) == words


async def test_json_keeps_the_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    await stories._list(FakeClient(), parse("list", "--json"))  # type: ignore[arg-type]
    newest, oldest = json.loads(capsys.readouterr().out)
    assert (newest["title"], oldest["title"], newest["frames_total"]) == ("", "Dawn", 0)
