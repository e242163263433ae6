"""deepsing storyboard: shows and writes down the keys of a story before it is rendered."""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from deepsing.cli.composer import add_arguments as add_composer_arguments
from deepsing.cli.composer import ask
from deepsing.cli.interrupts import run_to_end
from deepsing.cli.pictures import add_pictures, check_pictures, choose_engine
from deepsing.cli.progress import show_progress
from deepsing.cli.story_options import add_story_options, story_options
from deepsing.cli.storyboard_file import OPTIONS, format_storyboard, locate_faults
from deepsing.cli.storyboard_sheet import draw_sheet, format_time
from deepsing.cli.values import parse_file_name
from deepsing.client import Client
from deepsing.client.song import SongSource
from deepsing.client.storyboard import StoryboardKey
from deepsing.local.failures import USAGE, CommandError
from deepsing.v1.composer_pb2 import PlannedKey, PlanStoryResponse

__all__ = ["EXAMPLES", "add_arguments", "storyboard"]

EXAMPLES = """examples:
  deepsing storyboard song.mp3
  deepsing storyboard song.mp3 --out boards/first --style auto --seed 7
  deepsing storyboard song.mp3 --storyboard boards/first.toml --seed 8 --out boards/second
  deepsing storyboard song.mp3 --pictures holiday-photos/
  deepsing storyboard song.mp3 --json --target 127.0.0.1:50051
  deepsing render song.mp3 story.mp4 --storyboard boards/first.toml

Two files are written: NAME.toml with the keys of the story, to be changed and rendered, and NAME.png, a contact sheet
of their pictures. The whole song is planned; --start and --duration of render then show a part of it.

Rendered with the options that it was made with, every key is shown as the file says. With another --seed, --style,
--motion, --mode, --mood, --theme, --only, --without, --engine or --translator the story chooses again what to show at
the same times; only keys with locked = true, and those that were changed in the file, stay.

exit status: 0 done, 1 a service failed, 2 a mistake in the request, 130 Ctrl-C
"""
MOST_NAMED = 5  # keys that a note names one by one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `storyboard`."""
    parser.set_defaults(run=storyboard)
    parser.add_argument("song", type=parse_file_name, metavar="SONG", help="an audio file: mp3, m4a, flac, ogg, wav, …")
    parser.add_argument(
        "--out",
        type=parse_file_name,
        metavar="NAME",
        help="write NAME.toml and NAME.png (default: the song's name, with .storyboard)",
    )
    parser.add_argument("--replace", action="store_true", help="write over a storyboard of this name")
    add_story_options(parser)
    add_pictures(parser)
    add_composer_arguments(parser)


def storyboard(arguments: argparse.Namespace) -> int:
    """Plans a story, writes its storyboard and its contact sheet, and prints where they are."""
    check_pictures(arguments)
    story_options(arguments).to_config()
    SongSource(arguments.song)
    toml, png = _choose_paths(arguments)
    return run_to_end(_plan(arguments, toml, png))


def _choose_paths(arguments: argparse.Namespace) -> tuple[Path, Path]:
    name = Path(arguments.out or f"{Path(arguments.song).stem}.storyboard")
    name = name.with_suffix("") if name.suffix in (".toml", ".png") else name
    toml, png = (name.with_name(f"{name.name}{suffix}") for suffix in (".toml", ".png"))
    if not toml.parent.is_dir():
        raise CommandError(f"--out is {name}, in a folder that does not exist; make {toml.parent} first", USAGE)
    for path in (toml, png):
        if path.exists() and not arguments.replace:
            raise CommandError(f"{path} exists; choose another name with --out, or --replace it", USAGE)
    return toml, png


async def _plan(arguments: argparse.Namespace, toml: Path, png: Path) -> int:
    began_s = time.monotonic()
    await choose_engine(arguments)
    options = story_options(arguments)
    with show_progress(quiet=arguments.json) as report, locate_faults(arguments.storyboard):

        async def plan_story(client: Client) -> PlanStoryResponse:
            report("planning the story: some seconds for each three minutes of music")
            return await client.plan_story(arguments.song, options)

        answer = await ask(plan_story, arguments=arguments, report=report)
    keys = [StoryboardKey.from_message(one.key) for one in answer.keys]
    known = {name: getattr(arguments, name) for name in OPTIONS}
    text = format_storyboard(Path(arguments.song).name, known, keys, [_describe(one) for one in answer.keys])
    _write(toml, text.encode("utf-8", "replace"))
    notes = list(answer.warnings) + [warning.message for warning in answer.song.warnings]
    drawn = _draw(png, answer, notes)
    if arguments.json:
        print(json.dumps(_collect_facts(answer, toml, png if drawn else None, notes)))
        return 0
    print(f"{toml}: {len(keys)} keys in {format_time(answer.song.duration_us / 1e6)}")
    if drawn:
        print(f"beside it: {png.name}")
    for note in notes:
        print(f"note: {note}")
    print(
        f"took {time.monotonic() - began_s:.1f} s; change it, then: deepsing render SONG story.mp4 --storyboard {toml}"
    )
    return 0


def _draw(png: Path, answer: PlanStoryResponse, notes: list[str]) -> bool:
    """Whether the contact sheet could be drawn; if not, a note is added."""
    whole = png.with_name(f".{png.name}.{os.getpid()}")
    try:
        draw_sheet(whole, answer.keys, answer.song.duration_us / 1e6)
        whole.replace(png)
    except CommandError as error:
        notes.append(str(error))
        return False
    finally:
        whole.unlink(missing_ok=True)
    return True


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole, or not at all."""
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        whole.write_bytes(content)
        whole.replace(path)
    finally:
        whole.unlink(missing_ok=True)


def _describe(key: PlannedKey) -> str:
    felt = key.target
    return f"{format_time(key.key.time_us / 1e6)}, arousal {felt.arousal:+.2f}, valence {felt.valence:+.2f}"


def _collect_facts(answer: PlanStoryResponse, toml: Path, png: Path | None, notes: list[str]) -> dict[str, Any]:
    return {
        "storyboard": str(toml),
        "contact_sheet": None if png is None else str(png),
        "duration_s": answer.song.duration_us / 1e6,
        "keys": [_key_facts(one) for one in answer.keys],
        "warnings": notes,
    }


def _key_facts(planned: PlannedKey) -> dict[str, Any]:
    key = StoryboardKey.from_message(planned.key)
    return {
        "time_s": key.time_s,
        "concepts": {name: round(share, 4) for name, share in key.concepts.items()},
        "style": key.style,
        "motion": None if key.motion is None else round(key.motion, 4),
        "locked": key.locked,
        "target": [round(planned.target.arousal, 5), round(planned.target.valence, 5)],
        "expected": [round(planned.expected.arousal, 5), round(planned.expected.valence, 5)],
    }
