"""Runs a command so that Ctrl-C, SIGTERM and a closed terminal let it tidy up."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from deepsing.local.failures import INTERRUPTED

__all__ = ["run_to_end"]

CANCEL_AGAIN_S = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_to_end(command: Coroutine[Any, Any, int], *, waiting: str = "") -> int:
    """Runs a command and returns its exit status; 128 + the signal's number if one cut it short.

    The first signal cancels the command, which then tidies up. A second Ctrl-C cancels the tidying up too: services
    that still drain are killed. Other signals change nothing after the first.

    Args:
        command: the command.
        waiting: what is printed after the first signal, for a command whose tidying up may take long.
    """
    return asyncio.run(_run_interruptible(command, waiting))


async def _run_interruptible(command: Coroutine[Any, Any, int], waiting: str) -> int:
    task = asyncio.ensure_future(command)
    received: list[signal.Signals] = []

    def interrupt(number: signal.Signals) -> None:
        if not received:
            if waiting:
                print(f"deepsing: {waiting}", file=sys.stderr, flush=True)
            task.cancel()
        elif number == signal.SIGINT:
            end_at_once()
        received.append(number)

    def end_at_once() -> None:
        if not task.done():
            task.cancel()
            loop.call_later(CANCEL_AGAIN_S, end_at_once)  # each step of the tidying up that waits is cut short

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt, number)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            return await task
        return INTERRUPTED + (received[0] if received else signal.SIGINT)
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
