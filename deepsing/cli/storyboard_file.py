"""The file of a storyboard, in TOML: written by `deepsing storyboard`, changed by people, read by `--storyboard`."""

import argparse
import difflib
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepsing.client.errors import Refused
from deepsing.client.storyboard import StoryboardKey
from deepsing.local.failures import USAGE, CommandError

__all__ = ["StoryboardFile", "follow_storyboard", "format_storyboard", "locate_faults", "read_storyboard"]

LARGEST_BYTES = 4 * 2**20
MARK_DIGITS = 6  # hex digits that stand for a key as it was planned
CHOICES = ("theme", "only", "without", "mood")  # lists of names
# What decides a plan, with the defaults of the command line. Another value than the file's plans keys again.
PLANNED_BY: Mapping[str, Any] = {
    "seed": 0,
    "engine": "",
    "translator": "",
    "mode": "absolute",
    "style": "none",
    "motion": None,
    **{name: [] for name in CHOICES},
}
OPTIONS = (*PLANNED_BY, "style_strength")  # taken from the file where the command line does not give them
FIELDS = ("time", "concept", "style", "motion", "locked")
HEADER = """\
# Storyboard of {song}. Change it, then: deepsing render SONG story.mp4 --storyboard THIS_FILE
#
# Each [[key]] is a picture: at `time`, in seconds of the song, the story has changed to it; it stays until the next.
#   concept  a name that `deepsing concepts` lists, or two with shares: concept = {{ "old oak" = 0.6, "sea" = 0.4 }}
#   style    a name that `deepsing styles` lists, or "none"
#   motion   of the camera from here on, 0 (still) to 1 (lively)
#   locked   true keeps the key when the story is planned again
# Rendered with the options below, every key is shown as it stands here. With another --seed, --style, --motion, --mode,
# --mood, --theme, --only, --without, --engine or --translator the story chooses again what to show, at the same times:
# only keys that are locked, or that you have changed, stay as they are. Keys may be moved, added and taken out; keep
# them in the order of time.
"""


@dataclass(frozen=True)
class StoryboardFile:
    """A storyboard that was read.

    Attributes:
        options: of the command line, that it was planned with; OPTIONS, as far as they are in the file.
        keys: in the order of the file; locked as in the file.
        planned: marks of the keys as they were planned.
        lines: of the file.
    """

    path: Path
    options: dict[str, Any]
    keys: tuple[StoryboardKey, ...]
    planned: frozenset[str]
    lines: tuple[str, ...]

    def find_line(self, place: int, name: str = "") -> int:
        """Number of the line, from 1, of a key's field, or of the key itself; 0 if it cannot be found."""
        heads = [number for number, line in enumerate(self.lines) if re.match(r"\s*\[\[\s*key\s*\]\]", line)]
        if len(heads) != len(self.keys) or place >= len(heads):
            return 0
        end = heads[place + 1] if place + 1 < len(heads) else len(self.lines)
        for number in range(heads[place], end):
            if name and re.match(rf"\s*\"?{re.escape(name)}\"?\s*=", self.lines[number]):
                return number + 1
        return heads[place] + 1

    def list_changed(self) -> list[StoryboardKey]:
        """The keys that are not as they were planned."""
        return [key for key in self.keys if _mark(key) not in self.planned]


def follow_storyboard(arguments: argparse.Namespace) -> tuple[StoryboardKey, ...]:
    """The keys to send for `arguments.storyboard`; options that the arguments do not give are taken from its file.

    Raises:
        CommandError: the file is no storyboard; it says the line.
        OSError: it cannot be read.
    """
    if arguments.storyboard is None:
        return ()
    board = read_storyboard(arguments.storyboard)
    for name in OPTIONS:
        if getattr(arguments, name) in (None, "", []):
            setattr(arguments, name, board.options.get(name, PLANNED_BY.get(name)))
    planned = {name: board.options.get(name, default) for name, default in PLANNED_BY.items()}
    if all(getattr(arguments, name) == value for name, value in planned.items()):
        return tuple(replace(key, locked=True) for key in board.keys)
    kept = {key.time_s for key in board.list_changed()}
    return tuple(
        replace(key, locked=True) if key.locked or key.time_s in kept else StoryboardKey(key.time_s, locked=False)
        for key in board.keys
    )


@contextmanager
def locate_faults(path: Path | None) -> Iterator[None]:
    """Adds the file and the line to a composer's refusal of a key."""
    try:
        yield
    except Refused as error:
        found = re.match(r"storyboard\[(\d+)\](?:\.(\w+))?", error.metadata.get("field", ""))
        if path is None or found is None:
            raise
        name = {"time_us": "time", "concepts": "concept"}.get(found[2], found[2] or "")
        line = read_storyboard(path).find_line(int(found[1]), name)
        where = f"{path}, line {line}" if line else f"{path}"
        raise Refused(
            f"{where}: {error.message}", code=error.code, reason=error.reason, metadata=error.metadata
        ) from None


def read_storyboard(path: Path) -> StoryboardFile:
    """Reads a file; raises CommandError with the line, or OSError."""
    with path.open("rb") as file:
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise CommandError(f"{path} has more than {LARGEST_BYTES} bytes; give a storyboard", USAGE)
    try:
        text = content.decode("utf-8")
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path} is not TOML: {error}; mend it, or make it again", USAGE) from None
    keys = table.get("key")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise CommandError(f"{path} has no [[key]]; give what deepsing storyboard wrote", USAGE)
    options = table.get("options", {})
    options = options if isinstance(options, dict) else {}
    planned = frozenset(str(options.get("planned", "")).split())
    board = StoryboardFile(path, _read_options(path, options), (StoryboardKey(0.0),) * len(keys), planned, ())
    board = replace(board, lines=tuple(text.splitlines()))
    return replace(board, keys=tuple(_read_key(board, place, key) for place, key in enumerate(keys)))


def _read_options(path: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in options.items() if name != "planned"}
    for name, value in known.items():
        if name in CHOICES and isinstance(value, list) and all(isinstance(one, str) for one in value):
            continue
        numeric = name in ("seed", "style_strength", "motion")
        right = (
            isinstance(value, int | float) and not isinstance(value, bool)
            if numeric and not (name == "motion" and isinstance(value, str))
            else isinstance(value, str) and name not in CHOICES
        )
        if name not in OPTIONS or not right:
            message = f"{path}: the option {name} = {value!r} is none of a storyboard; it has {', '.join(OPTIONS)}"
            raise CommandError(message, USAGE)
    return known


def _read_key(board: StoryboardFile, place: int, key: Mapping[str, Any]) -> StoryboardKey:
    for name in key:
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, 1)
            offer = f"did you mean {near[0]}?" if near else f"a key has {', '.join(FIELDS)}"
            raise _refuse(board, place, name, f"a key has no {name!r}; {offer}")
    time_s, style, motion, locked = (key.get(name) for name in ("time", "style", "motion", "locked"))
    if time_s is None or not _is_number(time_s):
        raise _refuse(board, place, "time", f"time is {time_s!r}; give seconds of the song, such as 12.5")
    if style is not None and not isinstance(style, str):
        raise _refuse(board, place, "style", f'style is {style!r}; give a name, or "none"')
    if motion is not None and not _is_number(motion):
        raise _refuse(board, place, "motion", f"motion is {motion!r}; give a number from 0 to 1")
    if locked is not None and not isinstance(locked, bool):
        raise _refuse(board, place, "locked", f"locked is {locked!r}; give true or false")
    concepts = _read_concepts(board, place, key.get("concept"))
    return StoryboardKey(float(time_s), concepts, style or "", None if motion is None else float(motion), bool(locked))


def _read_concepts(board: StoryboardFile, place: int, concept: object) -> dict[str, float]:
    if isinstance(concept, str) and concept:
        return {concept: 1.0}
    if isinstance(concept, dict) and concept and all(_is_number(share) for share in concept.values()):
        return {name: float(share) for name, share in concept.items()}
    way_out = 'give a name, or { "one name" = 0.6, "another" = 0.4 }'
    raise _refuse(board, place, "concept", f"concept is {concept!r}; {way_out}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refuse(board: StoryboardFile, place: int, name: str, fault: str) -> CommandError:
    line = board.find_line(place, name)
    where = f"line {line}" if line else f"key {place + 1}"
    return CommandError(f"{board.path}, {where}: {fault}", USAGE)


def format_storyboard(
    song: str, options: Mapping[str, Any], keys: Sequence[StoryboardKey], notes: Sequence[str]
) -> str:
    """The text of a file.

    Args:
        song: name of the song.
        options: see StoryboardFile.options; None and empty ones are left out.
        keys: in order of time.
        notes: a few words on each key.
    """
    lines = [HEADER.format(song=" ".join(song.split())), "[options]"]
    lines += [f"{name} = {_quote(options[name])}" for name in OPTIONS if options.get(name) not in (None, "", [])]
    lines += ["# Marks of the keys as they were planned, by which it is noticed which ones you have changed."]
    lines += [f"planned = {_quote(' '.join(map(_mark, keys)))}", ""]
    for key, note in zip(keys, notes, strict=True):
        lines += [f"[[key]]  # {note}", f"time = {key.time_s:.3f}", f"concept = {_format_concepts(key.concepts)}"]
        lines += [f"style = {_quote(key.style)}"] if key.style else []
        lines += [] if key.motion is None else [f"motion = {key.motion:.7g}"]
        lines += [f"locked = {_quote(key.locked)}", ""]
    return "\n".join(lines)


def _format_concepts(concepts: Mapping[str, float]) -> str:
    if len(concepts) == 1:
        return _quote(next(iter(concepts)))
    return "{ " + ", ".join(f"{_quote(name)} = {share:.4f}" for name, share in concepts.items()) + " }"


def _quote(value: object) -> str:
    """A value of TOML, whose strings, numbers and truth values are written as in JSON."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _mark(key: StoryboardKey) -> str:
    shares = " ".join(f"{name} {share:.4f}" for name, share in sorted(key.concepts.items()))
    motion = "" if key.motion is None else f"{key.motion:.7g}"
    text = f"{key.time_s:.3f} {shares} {key.style} {motion}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:MARK_DIGITS]
