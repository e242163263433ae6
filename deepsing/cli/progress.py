"""Progress of a story on standard error: a bar on a terminal, elsewhere a line every few seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from deepsing.v1.composer_pb2 import (
    PHASE_FINISHING,
    PHASE_LISTENING,
    PHASE_PAINTING,
    PHASE_WAITING_FOR_CREDIT,
    PHASE_WARMING,
    Heartbeat,
)

__all__ = ["Report", "print_news", "show_progress"]

Report = Callable[[object], None]
"""Takes a sentence for a new stage, or an event of a story; only heartbeats move the bar."""

PHASES = {
    PHASE_WARMING: "warming up",
    PHASE_LISTENING: "analysing the song",
    PHASE_WAITING_FOR_CREDIT: "waiting for the reader",
    PHASE_PAINTING: "painting",
    PHASE_FINISHING: "writing the files",
}
LINE_EVERY_S = 10.0


def print_news(news: object) -> None:
    """Prints a sentence on standard error, as one line; leaves events aside."""
    if isinstance(news, str):
        print(f"deepsing: {news}", file=sys.stderr, flush=True)


@contextmanager
def show_progress(*, quiet: bool) -> Iterator[Report]:
    """Shows progress until the context is left; a bar is removed then.

    Args:
        quiet: show nothing.
    """
    console = Console(stderr=True)
    if quiet:
        yield lambda _: None
    elif not console.is_terminal:
        yield _LineReport()
    else:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("frames"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("starting", total=None)

            def report(news: object) -> None:
                if isinstance(news, str):
                    bar.update(task, description=news)
                elif isinstance(news, Heartbeat):
                    total = news.frames_total or None
                    bar.update(task, description=_phase_name(news), completed=news.frames_done, total=total)

            yield report


class _LineReport:
    """Progress for a log file: each stage once, and within a stage a line every LINE_EVERY_S."""

    def __init__(self) -> None:
        self._stage = ""
        self._next_line_s = 0.0

    def __call__(self, news: object) -> None:
        if isinstance(news, Heartbeat):
            stage, detail = _phase_name(news), _format_count(news)
        elif isinstance(news, str):
            stage, detail = news, ""
        else:
            return
        now_s = time.monotonic()
        if stage != self._stage or now_s >= self._next_line_s:
            self._stage, self._next_line_s = stage, now_s + LINE_EVERY_S
            print(f"deepsing: {stage}{detail}", file=sys.stderr, flush=True)


def _phase_name(heartbeat: Heartbeat) -> str:
    return PHASES.get(heartbeat.phase, "working")


def _format_count(heartbeat: Heartbeat) -> str:
    return f", frame {heartbeat.frames_done} of {heartbeat.frames_total}" if heartbeat.frames_total else ""
