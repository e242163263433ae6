"""A queue in a file of SQLite, for any number of composers on one machine. The machine has one clock: SQLite's."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from services.composer.stored.queue import Queue, QueueError

__all__ = ["LocalQueue"]

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
FIND = "SELECT token FROM entries WHERE name = :name AND ended = 0"
FREE = "UPDATE entries SET due = :now WHERE name = :name AND token = '' AND :s = 0"
COUNT_OWN = "SELECT count(*) FROM entries WHERE owner = :owner AND ended = 0"
# An entry is hidden until `due`, at most for `span` seconds: a clock that was set back hides nothing for longer.
TAKE = """
UPDATE entries SET token = :token, due = :now + :s, span = :s WHERE seq = (
  SELECT seq FROM entries WHERE ended = 0 AND (due <= :now OR due > :now + span + 1) ORDER BY turn, seq LIMIT 1)
RETURNING name, turn"""
SET_TURN = "INSERT INTO facts VALUES ('turn', ?) ON CONFLICT DO UPDATE SET number = max(number, excluded.number)"
PLAIN = {
    "hide": """
UPDATE entries SET due = :now + :s, span = :s, token = :new WHERE name = :name AND token = :token AND ended = 0
RETURNING name""",
    "end": "INSERT OR REPLACE INTO entries(name, ended, due, span, token) VALUES (:name, 1, :now + :s, :s, '')",
    "take_due": """
UPDATE entries SET due = :now + :s, span = :s WHERE seq IN (
  SELECT seq FROM entries WHERE ended = 1 AND (due <= :now OR due > :now + span + 1) ORDER BY due LIMIT :most)
RETURNING name""",
    "remove": "DELETE FROM entries WHERE name = :name",
    "count": "SELECT count(*) FROM entries WHERE ended = 0",
    "is_filled": "SELECT name FROM facts WHERE name = 'filled'",
    "set_filled": "INSERT OR REPLACE INTO facts VALUES ('filled', 1)",
}


class LocalQueue(Queue):
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

    async def _do(self, command: str, **values: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, command, values)
        except (sqlite3.Error, RuntimeError) as error:  # RuntimeError: it is closed
            raise self._explain(error) from error

    def _transact(self, command: str, values: dict[str, Any]) -> Any:
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            values["now"] = self._db.execute(NOW).fetchone()[0]
            if command == "add":
                return self._add(values)
            if command == "take":
                return self._take(values)
            rows = [row for (row,) in self._db.execute(PLAIN[command], values)]
            return rows[0] if command == "count" else rows

    def _add(self, values: dict[str, Any]) -> int:
        if self._db.execute(FIND, values).fetchone():
            self._db.execute(FREE, values)
            return -1
        count = int(self._db.execute(COUNT_OWN, values).fetchone()[0])
        if count >= values["most"]:
            return count
        self._db.execute(ADD, values)
        return -1

    def _take(self, values: dict[str, Any]) -> str | None:
        taken = self._db.execute(TAKE, values).fetchone()
        if taken is None:
            return None
        self._db.execute(SET_TURN, taken[1:])
        return str(taken[0])

    async def close(self) -> None:
        """See Queue."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()
