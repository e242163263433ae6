"""Runs a command so that Ctrl-C, a kill and a closed terminal let it tidy up."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any

from deepsing.local.failures import INTERRUPTED

__all__ = ["run_to_end"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_to_end(command: Coroutine[Any, Any, int]) -> int:
    """Runs a command and returns its exit status; 128 + the signal's number if one cut it short.

    A second signal changes nothing: what tidying up may take is bounded where it is done.
    """
    return asyncio.run(_run_interruptible(command))


async def _run_interruptible(command: Coroutine[Any, Any, int]) -> int:
    task = asyncio.ensure_future(command)
    received: list[signal.Signals] = []

    def interrupt(number: signal.Signals) -> None:
        if not received:
            received.append(number)
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt, number)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            return await task
        return INTERRUPTED + received[0] if received else INTERRUPTED + signal.SIGINT
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
