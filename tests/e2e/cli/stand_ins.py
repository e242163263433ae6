"""Services that stand in for the real ones, and the command as a process of its own."""

import asyncio
import os
import select
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

NAMES = ("composer", "audio_sentiment", "translator", "generator")
MAIN = """
import sys
from tests.e2e.cli.stand_in_service import serve
serve({name!r})
"""
END_LIMIT_S = 20.0
TREE = Path(__file__).resolve().parents[3]  # the code under test, whatever else is installed


def install(folder: Path) -> Path:
    """Writes a package `services` of stand-ins into a folder, which then goes first on Python's path."""
    for name in NAMES:
        package = folder / "services" / name
        package.mkdir(parents=True)
        (package.parent / "__init__.py").touch()
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(MAIN.format(name=name))
    return folder


@dataclass
class CommandResult:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The last line of standard error: what went wrong."""
        return self.err.strip().splitlines()[-1]


@asynccontextmanager
async def command(
    *arguments: str, root: Path, cwd: Path | None = None, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs `deepsing` with stand-ins for services; ends it where the test does not."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "deepsing.cli", *arguments),
        cwd=cwd or root,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{TREE}", "TMPDIR": str(root), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def wait_for_result(process: asyncio.subprocess.Process) -> CommandResult:
    out, err = await asyncio.wait_for(process.communicate(), END_LIMIT_S)
    return CommandResult(process.returncode or 0, out.decode(), err.decode())


async def deepsing(*arguments: str, root: Path, cwd: Path | None = None, **environment: str) -> CommandResult:
    async with command(*arguments, root=root, cwd=cwd, **environment) as process:
        return await wait_for_result(process)


def wait_for_death(pid: int) -> bool:
    """Returns whether a process, not necessarily our child, is dead within END_LIMIT_S."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], END_LIMIT_S)[0])
    finally:
        os.close(handle)
