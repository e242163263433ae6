"""deepsing render: a song becomes a story."""

import argparse
import json
import os
from pathlib import Path

from deepsing.cli.composer import add_arguments as add_composer_arguments
from deepsing.cli.composer import ask
from deepsing.cli.interrupts import run_to_end
from deepsing.cli.progress import show_progress
from deepsing.cli.story_options import add_story_options, story_options
from deepsing.client import Client, Story, StoryOptions
from deepsing.client.files import story_paths
from deepsing.client.song import SongSource
from deepsing.local.failures import USAGE, CommandError
from deepsing.v1.composer_pb2 import Agreement, SessionEnd

__all__ = ["add_arguments", "render", "EXAMPLES"]

STYLE_PICTURES = "DEEPSING_GENERATOR_STYLE_PICTURES"

EXAMPLES = """examples:
  deepsing render song.mp3 story.mp4
  deepsing render song.flac story.mp4 --fps 23.976 --size 9:16 --mode relative
  deepsing render song.ogg story.mp4 --start 30 --duration 20 --style auto --style-strength 0.4
  deepsing render song.mp3 story.mp4 --style-pictures my-paintings/
  deepsing render song.mp3 story.mp4 --target 127.0.0.1:50051 --json
  deepsing render -- -odd-name.mp3 story.mp4

Beside story.mp4 appear story.json (manifest), story.contact-sheet.png and story.curve.png. What is there under these
names is replaced once the story is whole, and not before.

exit status: 0 done, 1 a service failed, 2 a mistake in what was asked for, 130 Ctrl-C
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `render` takes."""
    parser.set_defaults(run=render)
    parser.add_argument("song", metavar="SONG", help="an audio file: mp3, m4a, flac, ogg, wav, …")
    parser.add_argument("out", metavar="OUT.mp4", help="where the video goes; three more files go beside it")
    add_story_options(parser)
    parser.add_argument(
        "--style-pictures",
        type=Path,
        metavar="DIR",
        help="paint in the manner of these pictures, which are called positive, neutral and negative, or listed with "
        "their feelings in styles.csv (file,name,arousal,valence); --style is auto then",
    )
    add_composer_arguments(parser)


def render(arguments: argparse.Namespace) -> int:
    """Renders a story and says where its files are."""
    if arguments.style_pictures and not arguments.style:
        arguments.style = "auto"
    options = story_options(arguments)
    _set_style_pictures(arguments.style_pictures, arguments.target)
    options.to_config()  # mistakes are told before anything is started
    SongSource(arguments.song)
    story_paths(Path(arguments.out))
    return run_to_end(_render(arguments, options))


def _set_style_pictures(style_pictures: Path | None, target: str | None) -> None:
    """Tells the generator that will be started here which pictures are its styles."""
    if style_pictures is None:
        return
    if target:
        message = (
            f"--style-pictures needs services started here; set {STYLE_PICTURES} where the generator of {target} runs"
        )
        raise CommandError(message, USAGE)
    if not style_pictures.is_dir():
        raise CommandError(
            f"--style-pictures is {style_pictures}, which is not a folder; give one with pictures", USAGE
        )
    os.environ[STYLE_PICTURES] = str(style_pictures.resolve())


async def _render(arguments: argparse.Namespace, options: StoryOptions) -> int:
    with show_progress(quiet=arguments.json) as report:

        async def render_song(client: Client) -> Story:
            report("listening")
            return await client.render(arguments.song, arguments.out, options, on_event=report)

        story = await ask(render_song, arguments=arguments, report=report)
    print(json.dumps(story.to_json()) if arguments.json else _format_summary(story))
    return 0


def _format_summary(story: Story) -> str:
    size, rate = story.started.size, story.started.frame_rate
    fps = rate.numerator / max(1, rate.denominator)
    lines = [
        f"{story.video}: {story.duration_s:.2f} s, {story.end.frame_count} frames "
        f"of {size.width_px}x{size.height_px}, {fps:.6g} a second",
        f"beside it: {story.manifest.name}, {story.contact_sheet.name}, {story.curve.name}",
        f"agreement of pictures and song by people's ratings of what is shown: "
        f"arousal {_format_agreement(story.end.arousal)}; valence {_format_agreement(story.end.valence)}",
        *_format_judgement(story.end),
        *(f"note: {warning.message}" for warning in story.end.song.warnings),
        *(f"note: {warning}" for warning in story.end.warnings),
        f"took {story.elapsed_s:.1f} s, {story.realtime_factor:.2f} x real time",
    ]
    return "\n".join(lines)


def _format_agreement(agreement: Agreement) -> str:
    return f"r {agreement.r:.2f}, ccc {agreement.ccc:.2f}, rmse {agreement.rmse:.2f}"


def _format_judgement(end: SessionEnd) -> list[str]:
    """What the judge read off the finished pictures, and how far it can be believed; nothing where it read none."""
    if not end.HasField("achieved"):
        return []
    achieved, judge = end.achieved, end.achieved.judge
    lines = [
        f"by a judge that reads the finished pictures ({achieved.arousal.n} of them): "
        f"arousal {_format_agreement(achieved.arousal)}; valence {_format_agreement(achieved.valence)}"
    ]
    if judge.arousal.n:
        lines.append(
            f"(on photos it agrees with people at arousal r {judge.arousal.r:.2f}, valence r {judge.valence.r:.2f})"
        )
    return lines
