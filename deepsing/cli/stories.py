"""deepsing stories: stories that a composer renders in the background and stores for a while."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepsing.cli.composer import add_wait, open_client
from deepsing.cli.credentials import add_credentials
from deepsing.cli.interrupts import run_to_end
from deepsing.cli.progress import Report, print_news, show_progress
from deepsing.cli.story_options import add_story_options, story_options
from deepsing.cli.storyboard_file import locate_faults
from deepsing.cli.tables import print_rows
from deepsing.cli.values import parse_file_name, parse_target, parse_timeout
from deepsing.cli.verbs import add_verb
from deepsing.client import Client
from deepsing.client.client import DEFAULT_TARGET
from deepsing.client.song import SongSource
from deepsing.local.failures import FAILURE
from deepsing.v1 import composer_pb2 as pb

__all__ = ["add_arguments", "EXAMPLES"]

EXAMPLES = """examples:
  deepsing up                                       in another terminal
  deepsing stories create song.mp3 --size 16:9      prints the story's id
  deepsing stories create song.mp3 --watch
  deepsing stories watch ID
  deepsing stories list --json
  deepsing stories show ID
  deepsing stories cancel ID
  deepsing stories fetch ID DIR                     story.mp4, story.json and two pictures

The composer needs a store for stories (see docs/stories.md); deepsing up gives it a folder. The same song with the
same options is the same story and is rendered once.

exit status: 0 done, 1 a service or the story failed, 2 a mistake in the request, 130 Ctrl-C
"""
MAX_TITLE = 200  # characters, of the contract


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verbs of `stories` and their arguments."""
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(
        name: str, what: str, work: Callable[..., Coroutine[Any, Any, int]], *examples: str
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = add_verb(verbs, name, what, *examples)
        added.set_defaults(run=lambda arguments: _run(work, arguments))
        return added

    creating = verb(
        "create",
        "send a song and print the story's id",
        _create,
        "stories create song.mp3 --size 16:9",
        "stories create song.mp3 --watch",
        "stories create song.mp3 --theme paintings --mood brighter",
    )
    creating.add_argument(
        "song", type=parse_file_name, metavar="SONG", help="an audio file: mp3, m4a, flac, ogg, wav, …"
    )
    add_story_options(creating)
    creating.add_argument("--key", default="", metavar="KEY", help="idempotency key: a request sent twice counts once")
    creating.add_argument("--watch", action="store_true", help="stay until the story has ended")
    verb("list", "list your stories, the newest first", _list, "stories list", "stories list --json")
    for name, what, work in (
        ("show", "print the state of a story, with links to its files", _show),
        ("watch", "follow a story until it has ended", _watch),
        ("cancel", "stop a story", _cancel),
        ("fetch", "save the files of a story that has succeeded", _fetch),
    ):
        example = f"stories {name} 0123456789abcdef0123456789abcdef" + (" my-story/" if name == "fetch" else "")
        verb(name, what, work, example).add_argument("story_id", metavar="ID", help="as create and list print it")
    verbs.choices["fetch"].add_argument("folder", metavar="DIR", type=Path, help="where to; created if missing")
    for added in verbs.choices.values():
        help_ = f"the composer (default: {DEFAULT_TARGET}, where deepsing up serves it)"
        added.add_argument("--target", type=parse_target, default=DEFAULT_TARGET, metavar="HOST:PORT", help=help_)
        add_wait(added)
        add_credentials(added)
        added.add_argument(
            "--timeout", type=parse_timeout, metavar="SECONDS", help="give up after so long (default: never)"
        )
        added.add_argument("--json", action="store_true", help="print JSON and no progress")


def _run(work: Callable[..., Coroutine[Any, Any, int]], arguments: argparse.Namespace) -> int:
    if hasattr(arguments, "song"):  # a mistake is reported before anything is sent
        arguments.title = arguments.title or Path(arguments.song).stem[:MAX_TITLE]
        story_options(arguments).to_config()
        SongSource(arguments.song)

    async def work_with_client() -> int:
        report: Report = (lambda news: None) if arguments.json else print_news
        board = getattr(arguments, "storyboard", None)  # of create alone
        async with open_client(arguments, report) as client:
            with locate_faults(board):
                return await work(client, arguments)

    return run_to_end(work_with_client())


async def _create(client: Client, arguments: argparse.Namespace) -> int:
    story = await client.create_story(arguments.song, story_options(arguments), idempotency_key=arguments.key)
    if arguments.watch:
        arguments.story_id = story.story_id
        return await _watch(client, arguments)
    print(json.dumps(_facts(story)) if arguments.json else story.story_id)
    return 0


async def _list(client: Client, arguments: argparse.Namespace) -> int:
    stories = [story async for story in client.list_stories()]
    stories.sort(key=lambda story: story.create_time_us, reverse=True)
    if arguments.json:
        print(json.dumps([_facts(story) for story in stories]))
        return 0
    columns = ("id", "created", "state", "title")
    print_rows(
        columns,
        [
            (story.story_id, _format_time(story.create_time_us), _describe(story), story.title or "(untitled)")
            for story in stories
        ],
    )
    return 0


async def _show(client: Client, arguments: argparse.Namespace) -> int:
    _print_story(await client.get_story(arguments.story_id), arguments)
    return 0


async def _cancel(client: Client, arguments: argparse.Namespace) -> int:
    _print_story(await client.cancel_story(arguments.story_id), arguments)
    return 0


async def _watch(client: Client, arguments: argparse.Namespace) -> int:
    story = pb.Story()
    with show_progress(quiet=arguments.json) as report:
        async for story in client.watch_story(arguments.story_id):
            if arguments.json:
                print(json.dumps(_facts(story)), flush=True)
            else:
                report(_describe(story))
    if not arguments.json:
        _print_story(story, arguments)
    return 0 if story.state == pb.STORY_STATE_SUCCEEDED else FAILURE


async def _fetch(client: Client, arguments: argparse.Namespace) -> int:
    arguments.folder.mkdir(parents=True, exist_ok=True)
    paths = await client.fetch_story(arguments.story_id, arguments.folder)
    print(json.dumps([str(path) for path in paths]) if arguments.json else "\n".join(map(str, paths)))
    return 0


def _print_story(story: pb.Story, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps(_facts(story)))
        return
    print(f"{story.story_id}  {_describe(story)}")
    if story.HasField("error"):
        print(f"{story.error.message} ({story.error.reason})", file=sys.stderr)
    for file in story.files:
        print(f"{_kind_name(file)}  {file.byte_count} bytes  {file.url}")


def _facts(story: pb.Story) -> dict[str, object]:
    error = story.error
    return {
        "story_id": story.story_id,
        "state": _state_name(story),
        "title": story.title,
        "frames_done": story.frames_done,
        "frames_total": story.frames_total,
        "remaining_s": None if story.remaining_us < 0 else story.remaining_us / 1e6,
        "created": _format_time(story.create_time_us),
        "ended": _format_time(story.end_time_us),
        "expires": _format_time(story.expire_time_us),
        "attempt": story.attempt,
        "files": [
            {"kind": _kind_name(file), "bytes": file.byte_count, "digest": file.digest, "url": file.url}
            for file in story.files
        ],
        "error": {"reason": error.reason, "message": error.message} if story.HasField("error") else None,
    }


def _describe(story: pb.Story) -> str:
    """The state of a story in a few words."""
    words = _state_name(story)
    if story.state == pb.STORY_STATE_RUNNING and not story.frames_done:
        words += ", analysing the song"
        if story.frames_total:
            words += f", {story.frames_total} frames to paint"
    elif story.frames_total and story.state != pb.STORY_STATE_SUCCEEDED:
        words += f", frame {story.frames_done} of {story.frames_total}"
    if story.remaining_us >= 0:
        words += f", about {time.strftime('%H:%M:%S', time.gmtime(story.remaining_us / 1e6))} left"
    return words


def _state_name(story: pb.Story) -> str:
    return pb.StoryState.Name(story.state).removeprefix("STORY_STATE_").lower()


def _kind_name(file: pb.StoredFile) -> str:
    return pb.StoryFileKind.Name(file.kind).removeprefix("STORY_FILE_KIND_").lower()


def _format_time(time_us: int) -> str | None:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="seconds") if time_us else None
