"""deepsing eval motion: makes the stories of a folder of songs and measures how they move, and whether with the music.

Onsets are librosa's, which is not the detector that drives the camera. A part is made of each song, at 24 frames a
second, because fewer frames show no onset.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from deepsing.audio import AudioError
from deepsing.cli.composer import ask
from deepsing.cli.entry import run_command
from deepsing.cli.interrupts import run_to_end
from deepsing.cli.story_options import add_motion_options
from deepsing.client import Client, StoryOptions
from deepsing.client.errors import InvalidSong
from deepsing.local.failures import USAGE, CommandError
from training.program import new_parser
from training.stories.motion import MotionFigures, format_table, measure_onsets, summarize
from training.stories.progress import (
    SongCount,
    add_song_options,
    find_songs,
    print_nothing,
    print_progress,
    write_table,
)

__all__ = ["build_parser", "main"]

EXAMPLES = """examples:
  deepsing eval motion --songs DIR
  deepsing eval motion --songs DIR --limit-s 60 --json
  deepsing eval motion --songs DIR --motion lively --react 1 --target 127.0.0.1:50051
"""


@dataclass
class Evaluation:
    """Stories measured so far, and songs that have none."""

    stories: list[MotionFigures] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # name of the file, why


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    options = build_parser().parse_args(arguments)
    return run_command(lambda: _evaluate(options))


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing eval motion", __doc__ or "", EXAMPLES)
    add_song_options(parser, fps="24")
    add_motion_options(parser)
    parser.add_argument("--start", type=float, default=0.0, metavar="N", help="begin each song at this second")
    return parser


def _evaluate(arguments: argparse.Namespace) -> int:
    _build_options(arguments).to_config()  # mistakes are reported before anything is started
    songs = find_songs(arguments.songs)
    report = print_nothing if arguments.json else print_progress
    return run_to_end(_run(arguments, songs, report))


async def _run(arguments: argparse.Namespace, songs: Sequence[Path], report: Callable[[object], None]) -> int:
    async def question(client: Client) -> Evaluation:
        return await _measure_all(client, arguments, songs, report)

    evaluation = await ask(question, arguments=arguments, report=report)
    if not evaluation.stories:
        name, why = next(iter(evaluation.skipped.items()))
        raise CommandError(f"none of the {len(songs)} files in {arguments.songs} has a story: {name}: {why}", USAGE)
    if arguments.json:
        sys.stdout.write(json.dumps(_build_report(evaluation, arguments)) + "\n")
        return 0
    write_table(format_table(evaluation.stories), evaluation.skipped)
    return 0


async def _measure_all(
    client: Client, arguments: argparse.Namespace, songs: Sequence[Path], report: Callable[[object], None]
) -> Evaluation:
    evaluation, count = Evaluation(), SongCount(len(songs))
    for song in songs:
        name = str(song.relative_to(arguments.songs))
        try:
            story = await _measure_story(client, song, name, _build_options(arguments))
            evaluation.stories.append(story)
            news = f"r {story.facts()['r']:.2f}"
        except (InvalidSong, AudioError, OSError) as error:
            evaluation.skipped[name] = news = str(error)
        report(count.finish_song(f"{name}: {news}"))
    return evaluation


async def _measure_story(client: Client, song: Path, name: str, options: StoryOptions) -> MotionFigures:
    figures = MotionFigures(name)
    async with aclosing(client.compose(song, options)) as events:
        async for event in events:
            figures.take(event)
    figures.onsets = measure_onsets(song, options.start_s, len(figures.differences) / figures.fps)
    return figures


def _build_options(arguments: argparse.Namespace) -> StoryOptions:
    return StoryOptions(
        seed=arguments.seed,
        fps=arguments.fps,
        size=arguments.size,
        engine=arguments.engine,
        style=arguments.style,
        motion=arguments.motion,
        react=arguments.react,
        paint_rate=arguments.paint_rate,
        start_s=arguments.start,
        duration_s=arguments.limit_s,
        images="raw",
    )


def _build_report(evaluation: Evaluation, arguments: argparse.Namespace) -> dict[str, object]:
    asked = ("fps", "style", "motion", "react", "paint_rate", "seed", "start", "limit_s")
    return {
        **{name: getattr(arguments, name) for name in asked},
        "all": summarize(evaluation.stories),
        "songs": [story.facts() for story in evaluation.stories],
        "skipped": evaluation.skipped,
    }


if __name__ == "__main__":
    raise SystemExit(main())
