"""The file of API keys: read strictly, and replaced as a whole."""

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepsing.access.keys import KEY_ID, ApiKey

__all__ = ["read_keys", "edit_keys", "parse_time"]

KNOWN = {field.name for field in fields(ApiKey)}
NEEDED = {"id", "salt", "sha256", "created"}


def read_keys(path: Path) -> dict[str, ApiKey]:
    """Reads the keys of a file, by id.

    An unknown field is an error: with "expire" instead of "expires" a key would be valid for ever.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a file of keys; none of its keys are used.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or set(content) != {"keys"} or not isinstance(content["keys"], list):
        raise ValueError('it is not a JSON object {"keys": […]}; make it with deepsing keys add')
    keys: dict[str, ApiKey] = {}
    for number, entry in enumerate(content["keys"], 1):
        try:
            key = _parse_key(entry)
        except (TypeError, ValueError) as error:
            raise ValueError(f"key {number} of {len(content['keys'])}: {error}") from None
        if key.id in keys:
            raise ValueError(f"two keys have the id {key.id}")
        keys[key.id] = key
    return keys


@contextmanager
def edit_keys(path: Path) -> Iterator[dict[str, ApiKey]]:
    """Yields the keys of a file, or none, to be changed, and writes them back at the end, with mode 600.

    Other editors of the file wait meanwhile; readers see the old keys or the new ones.

    Raises:
        OSError: it cannot be read or written.
        ValueError: it is not a file of keys.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        keys = read_keys(path) if path.exists() else {}
        yield keys
        _write_keys(path, keys)
        os.fsync(folder)
    finally:
        os.close(folder)


def parse_time(text: str) -> datetime:
    """Reads a date (its midnight) or a time in ISO 8601; without a zone it is UTC. Raises ValueError."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _parse_key(entry: Any) -> ApiKey:
    if not isinstance(entry, dict):
        raise ValueError("it is no object")
    if wrong := (set(entry) - KNOWN) | (NEEDED - set(entry)):
        raise ValueError(f"these fields are unknown or missing: {', '.join(sorted(wrong))}")
    for name, fits in RULES.items():
        if entry.get(name) is not None and not fits(entry[name]):
            raise ValueError(
                f"{name} is nothing that deepsing keys add would write"
            )  # without the value: it may be secret
    expires = entry.get("expires")
    return replace(
        ApiKey(**entry),
        created=parse_time(entry["created"]),
        expires=None if expires is None else parse_time(expires),
        services=tuple(entry.get("services") or ()),
    )


def _is_hex(digits: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and len(value) == digits and set(value) <= set("0123456789abcdef")


def _is_amount(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < float("inf")


RULES: Mapping[str, Callable[[Any], bool]] = {
    "id": lambda value: isinstance(value, str) and KEY_ID.fullmatch(value) is not None,
    "salt": _is_hex(32),
    "sha256": _is_hex(64),
    "services": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "streams": lambda value: type(value) is int and value >= 0,
    "requests_per_minute": lambda value: type(value) is int and value >= 0,
    "work_s_per_day": _is_amount,
}


def _write_keys(path: Path, keys: Mapping[str, ApiKey]) -> None:
    entries = [{name: value for name, value in asdict(key).items() if value not in (None, ())} for key in keys.values()]
    text = json.dumps({"keys": entries}, indent=1, default=lambda time: time.isoformat())
    descriptor, part = tempfile.mkstemp(prefix=".keys-", dir=path.parent)  # mode 600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
