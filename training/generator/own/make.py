"""deepsing engine make: makes an engine of a folder of pictures, and the table of concepts for its translator."""

import argparse
import json
import re
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

import services.generator
import services.translator
from deepsing.cli.entry import run_command
from deepsing.local.failures import INTERRUPTED, USAGE, CommandError
from deepsing.local.models_folder import cache_folder, models_folder
from training.generator.own.cache import compute_name, find_cached, forget_oldest
from training.generator.own.feelings import FEELINGS
from training.generator.own.folder import MAX_PICTURES
from training.generator.own.report import format_summary, report_to_json, say, tell_report
from training.generator.own.sources import find_own_pictures
from training.generator.own.tables import describe_ratings
from training.program import new_parser

__all__ = ["build_parser", "check_name", "main"]

MAX_NAME = 40  # characters of an engine's name
LINE_EVERY_S = 10.0
WORDS = textwrap.fill(", ".join(FEELINGS), 100, initial_indent=" " * 7, subsequent_indent=" " * 7)
EXAMPLES = f"""What is felt at a picture is said by the first of these that knows it:
  1. a table: --ratings, or ratings.csv in DIR, a CSV with a row a picture and these columns:
       file                        below DIR, or the name alone
       arousal_mean, valence_mean  mean ratings of people, 1 to 7; 4 is neutral
       arousal, valence            in place of these: -1 to 1; 0 is neutral
       concept                     if you like: the name of what it shows (default: the file's name)
       rated_by                    if you like: people or model (default: people)
  2. its subfolder, where that is called after a feeling:
{WORDS}
     Other subfolders (sea, city) are themes.
  3. the image-sentiment model that comes with deepsing.

Pictures are JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF, at least 3; of more than {MAX_PICTURES} that many, evenly.
Nothing is trained and PyTorch is not needed: 100 pictures take less than a minute. Each is cut to 5 : 4 where it has
most contrast.
NAME_pictures.csv beside the engine lists what it shows; change it and give it back as --ratings.

examples:
  deepsing engine make holiday-photos/ --name holiday
  deepsing engine make paintings/ --ratings felt.csv --name art
  deepsing engine make moods/ --name moods --json
  deepsing render song.mp3 story.mp4 --engine holiday
"""


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing engine make", "Makes an engine of your own pictures.", EXAMPLES)
    parser.add_argument("pictures", type=Path, metavar="DIR", help="the pictures, in subfolders if you like")
    parser.add_argument("--name", default="mine", help="of the engine (default: mine)")
    parser.add_argument("--ratings", type=Path, metavar="CSV", help="what is felt at them (default: DIR/ratings.csv)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="for the engine (default: where deepsing models looks, or its cache)"
    )
    parser.add_argument(
        "--cached",
        action="store_true",
        help="name it after a digest of pictures, ratings and models, and take the one that is there, if it is: what "
        "deepsing render --pictures does",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = build_parser().parse_args(arguments)

    def work() -> int:
        with _end_by_signals():
            return _make(options)

    return run_command(work)


def check_name(name: str) -> str:
    """Returns the name of an engine.

    Raises:
        CommandError: it is no plain word, or the name of something that comes with deepsing.
    """
    if not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9-]{{0,{MAX_NAME - 1}}}", name):
        raise CommandError(
            f"--name is {name[:80]!r}; use at most {MAX_NAME} letters a to z, digits and hyphens, as in holiday-2",
            USAGE,
        )
    shipped = {
        path.stem
        for service in (services.generator, services.translator)
        for path in (Path(str(service.__file__)).parent / "weights").glob("*.*")
    }
    if name.lower() in shipped or name.lower().startswith("biggan-deep"):
        raise CommandError(f"--name is {name!r}, which comes with deepsing; choose another name", USAGE)
    return name


def _make(options: argparse.Namespace) -> int:
    from training.generator.own.build import build_engine  # needs onnx, which --help does without

    started_s = time.monotonic()
    name = "" if options.cached else check_name(options.name)
    pictures = find_own_pictures(options.pictures, options.ratings)
    out = options.out or (cache_folder() if options.cached else models_folder())
    if options.cached:
        name = compute_name(pictures)
        if path := find_cached(name, out):
            say(f"{options.pictures} has not changed; its engine is there: {path}")
            return _print(options, {"name": name, "engine": str(path), "reused": True}, "")
        out = out / name
    (out.parent if options.cached else out).mkdir(parents=True, exist_ok=True)
    with _show_progress(options.quiet) as progress:
        report = build_engine(pictures, name, out, progress)
    if options.cached:
        forget_oldest(out.parent)
        say(f"made an engine of {len(report.used)} pictures, rated: {describe_ratings(report.used)}")
    tell_report(report)
    elapsed_s = round(time.monotonic() - started_s, 1)
    models = "" if options.out is None or out == models_folder() else str(out.resolve())
    return _print(options, report_to_json(report, name, elapsed_s), format_summary(report, name, models, elapsed_s))


def _print(options: argparse.Namespace, answer: dict[str, object], text: str) -> int:
    sys.stdout.write(json.dumps(answer) + "\n" if options.json else text)
    return 0


@contextmanager
def _show_progress(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar with the time that remains on a terminal, elsewhere a line every LINE_EVERY_S."""
    console = Console(stderr=True)
    started_s = said_s = time.monotonic()

    def say_place(done: int, total: int) -> None:
        nonlocal said_s
        now_s = time.monotonic()
        if now_s - said_s >= LINE_EVERY_S and done < total:
            said_s = now_s
            say(f"picture {done} of {total}, about {(now_s - started_s) / done * (total - done):.0f} s left")

    if quiet:
        yield lambda done, total: None
    elif not console.is_terminal:
        yield say_place
    else:
        columns = (TextColumn("reading the pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bar(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _end_by_signals() -> Iterator[None]:
    """Lets SIGTERM and a closed terminal end the work as Ctrl-C does, with temporary files removed."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(INTERRUPTED + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    raise SystemExit(main())
