"""The options of a story, for every command that makes one, also live, or says what one would cost."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deepsing.cli.storyboard_file import follow_storyboard
from deepsing.client import StoryOptions
from deepsing.client.options import PURPOSES

__all__ = ["add_motion_options", "add_shared_options", "add_story_options", "build_options", "story_options"]


def add_story_options(parser: argparse.ArgumentParser) -> None:
    """Adds everything that decides a story except its song."""
    add_shared_options(parser, "24")
    parser.add_argument(
        "--mode",
        choices=("absolute", "relative", "adaptive"),
        help="absolute: a sad song has a sad story (default); relative: every song uses the whole scale; "
        "adaptive: relative to the song so far",
    )
    parser.add_argument(
        "--start",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="begin at this time of the song; it is listened to from its start, so that a part looks as in the whole",
    )
    parser.add_argument(
        "--duration", type=float, metavar="SECONDS", help="use this much of the song (default: to its end)"
    )
    parser.add_argument(
        "--title", default="", help="in the manifest and the video (default: the name of the song's file)"
    )
    parser.add_argument(
        "--storyboard",
        type=Path,
        metavar="FILE.toml",
        help="show the keys of this file, which deepsing storyboard wrote, and take options that are not given from it",
    )


def add_shared_options(parser: argparse.ArgumentParser, fps: str) -> None:
    """Adds what decides both stories of whole songs and live ones.

    Args:
        parser: of a command.
        fps: the default of its frame rate, as its help says it.
    """
    parser.add_argument("--fps", metavar="RATE", help=f"frames a second: 24, 23.976, 30000/1001, … (default: {fps})")
    _add_size_options(parser)
    parser.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same choices (default: 0)")
    parser.add_argument("--translator", default="", metavar="NAME", help="see deepsing translators")
    parser.add_argument("--engine", default="", metavar="NAME", help="which engine paints (default: the built-in one)")
    parser.add_argument(
        "--style", metavar="NAME", help="none (default), auto (follows the feelings), or a name; see deepsing styles"
    )
    parser.add_argument("--style-strength", type=float, metavar="SHARE", help="from 0 to 1 (default: 0.6)")
    add_motion_options(parser)
    _add_selection_options(parser)


def _add_size_options(parser: argparse.ArgumentParser) -> None:
    """Adds the size of the frames: in pixels, as a shape, or by what they are for."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--size", metavar="SIZE", help="512x288, or a shape: 16:9, 9:16, … (default: the size of the engine)"
    )
    sizes = ", ".join(f"{name} {width}x{height}" for name, (width, height) in PURPOSES.items())
    either.add_argument("--for", dest="size", choices=tuple(PURPOSES), help=f"the size for a platform: {sizes}")


def add_motion_options(parser: argparse.ArgumentParser) -> None:
    """Adds what decides how the film is made of painted pictures."""
    parser.add_argument(
        "--motion",
        metavar="HOW",
        help="of the camera: still, calm (default), lively, or from 0 to 1; faster where the music is excited",
    )
    parser.add_argument(
        "--react", type=float, metavar="SHARE", help="how strongly it answers onsets and beats, 0 to 1 (default: 0.6)"
    )
    parser.add_argument(
        "--paint-rate",
        type=float,
        metavar="RATE",
        help="pictures painted a second; the frames between are blended (default: what the engine asks for)",
    )


def _add_selection_options(parser: argparse.ArgumentParser) -> None:
    """Adds what decides which concepts may be shown, and the mood; each may be given several times."""
    parser.add_argument(
        "--theme",
        action="append",
        default=[],
        metavar="NAME",
        help="show only this: sea, sky, woods, city, animals, paintings, …; several with commas; see deepsing concepts",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="show only this concept or theme, beside those of --theme",
    )
    parser.add_argument(
        "--without", action="append", default=[], metavar="NAME", help="do not show this concept or theme"
    )
    parser.add_argument(
        "--mood",
        action="append",
        default=[],
        metavar="WORD[=AMOUNT]",
        help="darker or brighter, calmer or wilder than the song; from 0 to 1 (default: 0.5), such as calmer=0.3",
    )


def _split_themes(texts: Iterable[str]) -> list[str]:
    """The themes of all --theme: each text may hold several, with commas."""
    return [name for text in texts for name in (part.strip() for part in text.split(",")) if name]


def story_options(arguments: argparse.Namespace) -> StoryOptions:
    """Builds the options from the arguments, and completes these from a storyboard, if there is one.

    Raises:
        CommandError: the storyboard's file cannot be used.
        OSError: it cannot be read.
    """
    keys = follow_storyboard(arguments)
    return build_options(
        arguments,
        mode=arguments.mode or "absolute",
        start_s=arguments.start,
        duration_s=arguments.duration,
        title=arguments.title,
        storyboard=keys,
    )


def build_options(arguments: argparse.Namespace, **others: Any) -> StoryOptions:
    """Builds the options from the arguments of `add_shared_options`, and others that the command knows."""
    return StoryOptions(
        seed=arguments.seed or 0,
        fps=arguments.fps,
        size=arguments.size,
        engine=arguments.engine,
        translator=arguments.translator,
        style=arguments.style or "none",
        style_strength=arguments.style_strength,
        motion=arguments.motion,
        react=arguments.react,
        paint_rate=arguments.paint_rate,
        themes=tuple(_split_themes(arguments.theme)),
        only=tuple(arguments.only),
        without=tuple(arguments.without),
        mood=tuple(arguments.mood),
        **others,
    )
