"""A queue in a file of SQLite, for any number of composers on one machine. The machine has one clock: SQLite's."""

import asyncio
import secrets
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from services.composer.stored.queue import LOOK_AGAIN_S, QueueError, QueueFull, Ticket

__all__ = ["LocalQueue"]

Result = TypeVar("Result")
Do = Callable[..., sqlite3.Cursor]  # executes a statement with named values
BUSY_S = 5.0  # how long one composer waits for another's write
NOW = "SELECT (julianday('now') - 2440587.5) * 86400.0"
TABLES = """
CREATE TABLE IF NOT EXISTS entries(
  seq INTEGER PRIMARY KEY, name TEXT UNIQUE, owner TEXT, ended INTEGER, turn INTEGER, due REAL, span REAL, token TEXT);
CREATE INDEX IF NOT EXISTS turns ON entries(ended, turn, seq);
CREATE INDEX IF NOT EXISTS dues ON entries(ended, due);
CREATE INDEX IF NOT EXISTS owners ON entries(owner, ended, turn);
CREATE TABLE IF NOT EXISTS facts(name TEXT PRIMARY KEY, number INTEGER);
"""
# The story of a caller's nth turn comes after all callers' turns before n; who comes new begins at the present turn.
ADD = """
INSERT OR REPLACE INTO entries(name, owner, ended, turn, due, span, token) VALUES (:name, :owner, 0, 1 + max(
  (SELECT coalesce(max(turn), 0) FROM entries WHERE owner = :owner AND ended = 0),
  (SELECT coalesce(max(number), 0) FROM facts WHERE name = 'turn')), :now + :s, :s, '')"""
FREE_NOW = "UPDATE entries SET due = :now WHERE name = :name"
# An entry is hidden until `due`, at most for `span` seconds: a clock that was set back hides nothing for longer.
TAKE = """
UPDATE entries SET token = :token, due = :now + :s, span = :s WHERE seq = (
  SELECT seq FROM entries WHERE ended = 0 AND (due <= :now OR due > :now + span + 1) ORDER BY turn, seq LIMIT 1)
RETURNING name, turn"""
TAKE_DUE = """
UPDATE entries SET due = :now + :s, span = :s WHERE seq IN (
  SELECT seq FROM entries WHERE ended = 1 AND (due <= :now OR due > :now + span + 1) ORDER BY due LIMIT :most)
RETURNING name"""
SET_TURN = "INSERT INTO facts VALUES ('turn', :turn) ON CONFLICT DO UPDATE SET number = max(number, :turn)"
HIDE = """
UPDATE entries SET due = :now + :s, span = :s, token = :new WHERE name = :name AND token = :token AND ended = 0"""
END = "INSERT OR REPLACE INTO entries(name, ended, due, span, token) VALUES (:name, 1, :now + :s, :s, '')"


class LocalQueue:
    """See Queue.

    Args:
        path: the file; created if it is missing, as is its folder.

    Raises:
        QueueError: the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="queue")
        self._db = self._thread.submit(self._open).result()

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            db = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(TABLES)
        except (sqlite3.Error, OSError) as error:
            raise self._explain(error) from error
        return db

    def _explain(self, error: Exception) -> QueueError:
        way_out = "check access and space, or delete it: it is filled again from the records"
        return QueueError(f"the queue {self._path} cannot be used ({error}); {way_out}")

    async def _run(self, work: Callable[[Do], Result]) -> Result:
        """Does something in the thread of the connection, as one transaction; `do` executes a statement."""

        def transact() -> Result:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                now = self._db.execute(NOW).fetchone()[0]
                return work(lambda statement, **values: self._db.execute(statement, {"now": now, **values}))

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, transact)
        except (sqlite3.Error, RuntimeError) as error:  # RuntimeError: it is closed
            raise self._explain(error) from error

    async def add(self, name: str, owner: str, most: int, pause_s: float = 0.0) -> None:
        """See Queue."""

        def work(do: Do) -> None:
            there = do("SELECT token FROM entries WHERE name = :name AND ended = 0", name=name).fetchone()
            if there:
                if there == ("",) and not pause_s:
                    do(FREE_NOW, name=name)
                return
            (mine,) = do("SELECT count(*) FROM entries WHERE owner = :owner AND ended = 0", owner=owner).fetchone()
            if mine >= most:
                raise QueueFull(mine)
            do(ADD, name=name, owner=owner, s=pause_s)

        await self._run(work)

    async def take(self, lease_s: float) -> Ticket | None:
        """See Queue."""
        token = secrets.token_hex(8)

        def work(do: Do) -> Ticket | None:
            taken = do(TAKE, token=token, s=lease_s).fetchone()
            if taken is None:
                return None
            do(SET_TURN, turn=taken[1])
            return Ticket(taken[0], token)

        return await self._run(work)

    async def renew(self, ticket: Ticket, lease_s: float) -> bool:
        """See Queue."""
        return await self._hide(ticket, lease_s, ticket.token)

    async def release(self, ticket: Ticket, pause_s: float) -> None:
        """See Queue."""
        await self._hide(ticket, pause_s, "")

    async def _hide(self, ticket: Ticket, seconds: float, new: str) -> bool:
        hidden = await self._run(lambda do: do(HIDE, name=ticket.name, token=ticket.token, s=seconds, new=new).rowcount)
        return hidden == 1

    async def end(self, name: str, after_s: float) -> None:
        """See Queue."""
        await self._run(lambda do: do(END, name=name, s=after_s))

    async def take_due(self, most: int) -> list[str]:
        """See Queue."""
        return await self._run(lambda do: [name for (name,) in do(TAKE_DUE, s=LOOK_AGAIN_S, most=most)])

    async def remove(self, name: str) -> None:
        """See Queue."""
        await self._run(lambda do: do("DELETE FROM entries WHERE name = :name", name=name))

    async def count(self) -> int:
        """See Queue."""
        return int(await self._run(lambda do: do("SELECT count(*) FROM entries WHERE ended = 0").fetchone()[0]))

    async def is_filled(self) -> bool:
        """See Queue."""
        return await self._run(lambda do: do("SELECT 1 FROM facts WHERE name = 'filled'").fetchone() is not None)

    async def set_filled(self) -> None:
        """See Queue."""
        await self._run(lambda do: do("INSERT OR REPLACE INTO facts VALUES ('filled', 1)"))

    async def close(self) -> None:
        """See Queue."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()
