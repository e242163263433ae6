"""deepsing live: turns sound into pictures while it plays."""

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from contextlib import AsyncExitStack, aclosing
from typing import BinaryIO

from deepsing.cli.composer import add_arguments as add_composer_arguments
from deepsing.cli.composer import ask
from deepsing.cli.interrupts import run_to_end
from deepsing.cli.pictures import add_pictures, check_pictures, choose_engine
from deepsing.cli.progress import Report, print_news
from deepsing.cli.sound import Sound, open_file_sound, open_microphone
from deepsing.cli.story_options import add_shared_options, build_options
from deepsing.cli.values import parse_file_name
from deepsing.cli.viewer import Viewer
from deepsing.client import Client, StoryOptions
from deepsing.local.failures import USAGE, CommandError
from deepsing.v1.composer_pb2 import Frame, FramesDropped, Heartbeat, SessionEnd

__all__ = ["EXAMPLES", "LiveReport", "add_arguments", "live"]

LONGEST_S = 30 * 86400.0  # of a live story that is to end by itself
SPAN_S = 2.0  # over which frames a second are counted
FPS = "12"  # frames a second, unless asked for others
LINE_EVERY_S, TERMINAL_EVERY_S, JSON_EVERY_S = 5.0, 0.25, 1.0
MAX_LAGS = 200_000  # of the last frames, over which the summary is made

EXAMPLES = """examples:
  deepsing live --view 8000
  deepsing live song.mp3 --view 8000 --style auto
  deepsing live song.mp3 --view 8000 --theme sea,sky --mood calmer
  deepsing live song.mp3 --view 8000 --pictures holiday-photos/
  deepsing live --device hw:1 --target 127.0.0.1:50051 --view 0
  deepsing live song.mp3 --seconds 20 --json
  deepsing live song.mp3 --out - | ffplay -f mjpeg -framerate 12 -

Without FILE it records from the microphone until Ctrl-C. The lag that it prints is the time from a moment of the sound
to the arrival of its frame; frames that would be too late are dropped and counted. Without --view and --out pictures
are made and timed, but not shown.

exit status: 0 the sound has ended, 1 a service failed, 2 a mistake in the request, 130 Ctrl-C
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `live`."""
    parser.set_defaults(run=live)
    parser.add_argument(
        "file", type=parse_file_name, metavar="FILE", nargs="?", help="play this in real time (default: the microphone)"
    )
    parser.add_argument("--device", metavar="NAME", help="the microphone, as FFmpeg names it (default: default)")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after so long (default: when the sound ends)")
    parser.add_argument(
        "--view", type=int, metavar="PORT", help="show the pictures at http://127.0.0.1:PORT/; 0 takes a free one"
    )
    parser.add_argument(
        "--out", type=parse_file_name, metavar="FILE", help="write the frames as MJPEG; - is standard output"
    )
    add_shared_options(parser, FPS)
    parser.set_defaults(fps=FPS)
    parser.add_argument(
        "--mode",
        choices=("adaptive", "absolute"),
        default="adaptive",
        help="adaptive: relative to the sound so far (default); absolute: sad sound has a sad story",
    )
    add_pictures(parser)
    add_composer_arguments(parser)


def live(arguments: argparse.Namespace) -> int:
    """Makes a story while its sound plays."""
    if arguments.seconds is not None and not 0.5 <= arguments.seconds <= LONGEST_S:
        raise CommandError(f"--seconds is {arguments.seconds:g}; choose 0.5 or more, at most {LONGEST_S:.0f}", USAGE)
    if arguments.view is not None and not 0 <= arguments.view <= 65_535:
        raise CommandError(f"--view is {arguments.view}; choose a port from 0 to 65535", USAGE)
    if arguments.json and arguments.out == "-":
        raise CommandError("--json and --out - both want standard output; give --out a file", USAGE)
    if arguments.file and arguments.device:
        raise CommandError("a file and --device are two sources; choose one", USAGE)
    check_pictures(arguments)
    _build_live_options(arguments).to_config()  # a mistake is reported before anything is started
    if arguments.file:
        open_file_sound(arguments.file)  # so is a file that cannot be read
    return run_to_end(_live(arguments))


def _build_live_options(arguments: argparse.Namespace) -> StoryOptions:
    return build_options(arguments, mode=arguments.mode, audio_format=Sound.form)


def _open_sound(arguments: argparse.Namespace) -> Sound:
    if arguments.file:
        return open_file_sound(arguments.file, arguments.seconds)
    return open_microphone(arguments.device or "default", arguments.seconds)


async def _live(arguments: argparse.Namespace) -> int:
    report: Report = (lambda news: None) if arguments.json else print_news
    await choose_engine(arguments)  # before a microphone is opened, which would wait meanwhile
    options, sound = _build_live_options(arguments), _open_sound(arguments)
    async with AsyncExitStack() as open_things:
        viewer, out = None, None
        if arguments.view is not None:
            viewer = await open_things.enter_async_context(Viewer(arguments.view))
            print(f"deepsing: watch at {viewer.address}", file=sys.stderr, flush=True)
        if arguments.out:
            out = sys.stdout.buffer if arguments.out == "-" else open_things.enter_context(_open_output(arguments.out))

        async def forward(client: Client) -> None:
            report("playing the file and painting" if arguments.file else "recording and painting")
            await _forward_events(client, options, sound, LiveReport(as_json=arguments.json), viewer, out)

        await ask(forward, arguments=arguments, report=report)
    return 0


def _open_output(path: str) -> BinaryIO:
    return open(path, "wb")


async def _forward_events(
    client: Client,
    options: StoryOptions,
    sound: Sound,
    report: "LiveReport",
    viewer: Viewer | None,
    out: BinaryIO | None,
) -> None:
    """Passes frames on as they come; where writing is slow, the composer drops frames and says so."""
    async with aclosing(client.live(sound.pieces(), options)) as events:
        async for event in events:
            report.take(event, sound.began_s)
            if isinstance(event, Frame):
                if viewer is not None:
                    viewer.show(event.image)
                if out is not None:
                    await asyncio.to_thread(_write, out, event.image)
            elif isinstance(event, SessionEnd):
                report.finish(event)


def _write(out: BinaryIO, image: bytes) -> None:
    out.write(image)
    out.flush()


class LiveReport:
    """Counts the events of a live story and prints the counts now and then.

    Args:
        as_json: JSON lines on standard output; else a line on standard error.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._terminal = sys.stderr.isatty() and not as_json
        self._every_s = JSON_EVERY_S if as_json else TERMINAL_EVERY_S if self._terminal else LINE_EVERY_S
        self._next_s = time.monotonic() + self._every_s
        self._arrivals_s: deque[float] = deque()
        self._lags_s: deque[float] = deque(maxlen=MAX_LAGS)
        self._time_s = self._composer_lag_s = 0.0
        self._frames = self._dropped = 0

    def take(self, event: object, began_s: float) -> None:
        """Counts an event of the story; `began_s` is when the sound began, on the monotonic clock."""
        now_s = time.monotonic()
        match event:
            case Frame():
                self._time_s, self._frames = event.pts_us / 1e6, self._frames + 1
                self._lags_s.append(max(0.0, now_s - began_s - self._time_s))
                self._arrivals_s.append(now_s)
            case FramesDropped():
                self._dropped += event.frame_count
            case Heartbeat():
                self._composer_lag_s = event.lag_us / 1e6
        while self._arrivals_s and self._arrivals_s[0] < now_s - SPAN_S:
            self._arrivals_s.popleft()
        if now_s >= self._next_s and self._lags_s:
            self._next_s = now_s + self._every_s
            self._print_line()

    def _print_line(self) -> None:
        facts = {
            "time_s": round(self._time_s, 3),
            "frames": self._frames,
            "frames_per_second": round(len(self._arrivals_s) / SPAN_S, 2),
            "lag_s": round(self._lags_s[-1], 3),
            "composer_lag_s": round(self._composer_lag_s, 3),
            "dropped": self._dropped,
        }
        if self._as_json:
            print(json.dumps(facts), flush=True)
            return
        clock = f"{int(self._time_s) // 60}:{int(self._time_s) % 60:02d}"
        line = (
            f"{clock}  {facts['frames_per_second']:.1f} frames/s  lag {facts['lag_s']:.2f} s  {self._dropped} dropped"
        )
        print(
            f"\r{line}   " if self._terminal else line, end="" if self._terminal else "\n", file=sys.stderr, flush=True
        )

    def finish(self, end: SessionEnd) -> None:
        """Prints the summary of the story."""
        lags = sorted(self._lags_s) or [0.0]
        middle_s, high_s = (lags[min(len(lags) - 1, round(share * len(lags)))] for share in (0.5, 0.99))
        facts = {
            "end": True,
            "duration_s": end.duration_us / 1e6,
            "frames": self._frames,
            "dropped": self._dropped,
            "lag_p50_s": round(middle_s, 3),
            "lag_p99_s": round(high_s, 3),
            "lag_longest_s": round(lags[-1], 3),
            "lags": len(self._lags_s),
            "warnings": list(end.warnings),
        }
        if self._as_json:
            print(json.dumps(facts), flush=True)
            return
        start = "\r" if self._terminal else ""
        print(
            f"{start}{facts['duration_s']:.1f} s of live story: {self._frames} frames, {self._dropped} dropped; "
            f"lag {middle_s:.2f} s (median), {high_s:.2f} s (99 %), {lags[-1]:.2f} s (longest)",
            file=sys.stderr,
            flush=True,
        )
        for warning in end.warnings:
            print(f"note: {warning}", file=sys.stderr, flush=True)
