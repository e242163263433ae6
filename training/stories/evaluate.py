"""deepsing eval story: makes the stories of a folder of songs and measures how well their pictures carry the emotions.

The image-sentiment model (the judge) reads each story's pictures as they are painted; its judgements are compared with
the song, and so are the ratings of what is shown, of people or of a model. Frames are few (2 a second unless --fps says
otherwise), so that it takes about a tenth of the time of whole stories. Steps between frames and flashes are those at
this frame rate; for the flashes of real stories give --fps 24.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from deepsing.cli.composer import ask
from deepsing.cli.entry import run_command
from deepsing.cli.interrupts import run_to_end
from deepsing.client import Client, StoryOptions
from deepsing.client.errors import InvalidSong, Refused
from deepsing.local.failures import USAGE, CommandError
from training.program import new_parser
from training.stories.figures import Figures, format_table, summarize
from training.stories.progress import (
    SongCount,
    add_song_options,
    find_songs,
    print_nothing,
    print_progress,
    write_table,
)

__all__ = ["build_parser", "main"]

COMPARED = "original"  # measured beside the default translator where the service has it
EXAMPLES = """examples:
  deepsing eval story --songs DIR
  deepsing eval story --songs DIR --translator dictionary --translator view-1 --limit-s 60 --json
  deepsing eval story --songs DIR --style auto --fps 24 --target 127.0.0.1:50051
"""


@dataclass
class Evaluation:
    """Stories made so far, by translator, and songs that have none."""

    stories: dict[str, list[Figures]]
    skipped: dict[str, str] = field(default_factory=dict)  # name of the file, why
    unknown: list[str] = field(default_factory=list)  # default translators that the service does not have


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    options = build_parser().parse_args(arguments)
    return run_command(lambda: _evaluate(options))


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing eval story", __doc__ or "", EXAMPLES)
    add_song_options(parser, fps="2")
    parser.add_argument(
        "--translator",
        action="append",
        metavar="NAME",
        help=f"as often as wanted (default: the default one, and {COMPARED} where there is one)",
    )
    parser.add_argument("--mode", choices=("absolute", "relative", "adaptive"), default="absolute")
    return parser


def _evaluate(arguments: argparse.Namespace) -> int:
    _build_options(arguments, "").to_config()  # mistakes are reported before anything is started
    songs = find_songs(arguments.songs)
    report = print_nothing if arguments.json else print_progress
    return run_to_end(_run(arguments, songs, report))


async def _run(arguments: argparse.Namespace, songs: Sequence[Path], report: Callable[[object], None]) -> int:
    async def question(client: Client) -> Evaluation:
        return await _measure_all(client, arguments, songs, report)

    evaluation = await ask(question, arguments=arguments, report=report)
    if not any(evaluation.stories.values()):
        raise CommandError(
            f"none of the {len(songs)} files in {arguments.songs} has a story: {_first_reason(evaluation)}", USAGE
        )
    if arguments.json:
        sys.stdout.write(json.dumps(_build_report(evaluation, arguments)) + "\n")
        return 0
    tables = (format_table(name, stories, arguments.fps) for name, stories in evaluation.stories.items() if stories)
    write_table("\n\n".join(tables), evaluation.skipped)
    return 0


async def _measure_all(
    client: Client, arguments: argparse.Namespace, songs: Sequence[Path], report: Callable[[object], None]
) -> Evaluation:
    """Makes all stories, song by song, so that a report at any time compares the same songs."""
    evaluation = Evaluation({name: [] for name in arguments.translator or ("", COMPARED)})
    count = SongCount(len(songs))
    for song in songs:
        name = str(song.relative_to(arguments.songs))
        for translator in list(evaluation.stories):
            try:
                story = await _measure_story(client, song, name, _build_options(arguments, translator))
            except (InvalidSong, OSError) as error:
                evaluation.skipped[name] = str(error)
                break
            except Refused as error:
                if error.reason != "TRANSLATOR_UNKNOWN" or arguments.translator:
                    raise
                del evaluation.stories[translator]
                evaluation.unknown.append(translator)
                continue
            evaluation.stories[translator].append(story)
        report(count.finish_song(f"{name}{_format_latest(evaluation, name)}"))
    return evaluation


async def _measure_story(client: Client, song: Path, name: str, options: StoryOptions) -> Figures:
    figures = Figures(name, options.translator)
    async with aclosing(client.compose(song, options)) as events:
        async for event in events:
            figures.take(event)
    return figures


def _build_options(arguments: argparse.Namespace, translator: str) -> StoryOptions:
    return StoryOptions(
        seed=arguments.seed,
        fps=arguments.fps,
        size=arguments.size,
        engine=arguments.engine,
        translator=translator,
        style=arguments.style,
        mode=arguments.mode,
        duration_s=arguments.limit_s,
        images="raw",
        achieved=True,
    )


def _build_report(evaluation: Evaluation, arguments: argparse.Namespace) -> dict[str, object]:
    return {
        "fps": arguments.fps,
        "style": arguments.style,
        "mode": arguments.mode,
        "seed": arguments.seed,
        "limit_s": arguments.limit_s,
        "translators": {
            name or "default": {"all": summarize(stories), "songs": [story.facts() for story in stories]}
            for name, stories in evaluation.stories.items()
            if stories
        },
        "unknown_translators": evaluation.unknown,
        "skipped": evaluation.skipped,
    }


def _format_latest(evaluation: Evaluation, name: str) -> str:
    """The latest song's agreement in a few words, or why it has none."""
    if name in evaluation.skipped:
        return f": {evaluation.skipped[name]}"
    ends = {translator: stories[-1].end.achieved for translator, stories in evaluation.stories.items() if stories}
    return "".join(
        f"; {translator or 'default'} r(A) {achieved.arousal.r:.2f} r(V) {achieved.valence.r:.2f}"
        for translator, achieved in ends.items()
    )


def _first_reason(evaluation: Evaluation) -> str:
    name, why = next(iter(evaluation.skipped.items()), ("", "no translator is there"))
    return f"{name}: {why}" if name else why


if __name__ == "__main__":
    raise SystemExit(main())
