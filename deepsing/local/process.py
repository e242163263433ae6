"""One service as a child process: started, heard out, stopped."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from deepsing.local.source import python_command, python_environment, service_root

__all__ = ["ServiceProcess", "SERVICE_HINT"]

SERVICE_HINT = "give --target HOST:PORT of a running one, or work in a clone of the repository (see its README)"
LAST_BYTES = 2**16  # of a log that are looked at; a line with a traceback is long
COMPLAINT_CHARACTERS = 300  # characters of a last line that are shown


class ServiceProcess:
    """A running service; `start` makes one.

    Args:
        name: of the service, for example "composer".
        log: file that takes what it prints.
        process: the process.
    """

    def __init__(self, name: str, log: Path, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.pid = process.pid
        self.ended = asyncio.create_task(process.wait())
        self._log = log
        self._process = process

    @classmethod
    async def start(cls, name: str, log: Path, settings: Mapping[str, str | None]) -> Self:
        """Starts `services.<name>`.

        Args:
            name: of the service.
            log: file that takes what it prints.
            settings: environment variables; None takes one out.

        Raises:
            CommandError: the service is not installed here.
        """
        root = service_root(f"services.{name}.__main__", SERVICE_HINT)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *python_command("-m", "deepsing.local.child", str(os.getpid()), f"services.{name}"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env=python_environment(root, **settings),
                start_new_session=True,  # Ctrl-C in the terminal is for the command, which stops services in order
            )
        return cls(name, log, process)

    async def stop(self, grace_s: float) -> None:
        """Asks the process to finish, and ends it where that takes longer than `grace_s`."""
        self._signal(signal.SIGTERM)
        await asyncio.wait([self.ended], timeout=grace_s)
        self._signal(signal.SIGKILL)
        await asyncio.wait([self.ended])

    def exit_message(self) -> str:
        """Says how the process ended, and the last that it complained of."""
        code = self.ended.result()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if code == -signal.SIGKILL:
            how += ", by hand or by a system short of memory"
        words = self._last_complaint()
        return f"{self.name} {how}" + (f"; its last words: {words}" if words else "; it left no word")

    def _signal(self, number: signal.Signals) -> None:
        if not self.ended.done():
            try:
                self._process.send_signal(number)
            except ProcessLookupError:  # it has just ended
                return

    def _last_complaint(self) -> str:
        with self._log.open("rb") as log:
            if (begin := self._log.stat().st_size - LAST_BYTES) > 0:
                log.seek(begin - 1)
                log.readline()  # the end of a line that begins earlier
            lines = log.read().decode(errors="replace").splitlines()
        return next(filter(None, map(_parse_complaint, reversed(lines))), "")[:COMPLAINT_CHARACTERS]


def _parse_complaint(line: str) -> str:
    """What a log line complains of, as far as it is printable: nothing where it tells of work done."""
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if isinstance(entry, dict):
        line = "" if entry.get("level") in ("DEBUG", "INFO") else str(entry.get("message", line))
    return re.sub(r"[^\x20-\x7e\u00a0-\U0010ffff]", " ", line).strip()
