"""The pictures of a folder: found, named, and given the feelings and themes that their subfolders say."""

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deepsing.local.failures import USAGE, CommandError
from training.generator.own.feelings import find_feeling

__all__ = ["MAX_PICTURES", "FoundPicture", "LeftOut", "choose_pictures", "clean_name", "find_pictures", "name_pictures"]

MAX_PICTURES = 1000  # of an engine: 69 kB each, so a file of 70 MB
MAX_ENTRIES = 20_000  # of a folder and its subfolders: more is no folder of pictures
MAX_DEPTH = 4  # of subfolders
MAX_NAME = 60  # characters of a concept's name
SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
UNREADABLE = {  # pictures that a person would expect to be taken
    *(".heic", ".heif", ".jxl", ".jp2", ".psd", ".xcf", ".svg", ".eps", ".pdf"),
    *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
}
SEPARATORS = str.maketrans("_-.+,", "     ")
KIND_SHARE = 0.25  # of all pictures: a word that more of them share before their numbers says nothing (img 1, img 2)
KIND_LEAST = 8  # pictures of a word, up to which it always says something


@dataclass(frozen=True)
class FoundPicture:
    """A file that may be a picture."""

    path: Path
    file: str  # below the folder, with "/"
    name: str = ""  # unique among all
    kind: str = ""  # what it shows; pictures of a kind are not shown soon after each other
    themes: tuple[str, ...] = ()  # names of its subfolders that are no feelings, outermost first
    feeling: tuple[float, float] | None = None  # arousal, valence that its innermost subfolder of a feeling stands for


@dataclass(frozen=True)
class LeftOut:
    """A file that is not used, and why."""

    file: str
    why: str  # what it is and the way out, to be read after the file's name


def find_pictures(folder: Path) -> tuple[list[FoundPicture], list[LeftOut]]:
    """Lists the pictures of a folder and its subfolders, by name; hidden files and those of other kinds do not count.

    Raises:
        CommandError: it is no folder, or holds more than MAX_ENTRIES files.
    """
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder; give one with pictures", USAGE)
    found: list[FoundPicture] = []
    left_out: list[LeftOut] = []
    for count, (path, file, fault) in enumerate(_walk(folder, 0)):
        if count >= MAX_ENTRIES:
            raise CommandError(f"{folder} holds more than {MAX_ENTRIES} files; give a folder of pictures alone", USAGE)
        if fault:
            left_out.append(LeftOut(file, fault))
        elif path.suffix.lower() in SUFFIXES:
            found.append(_place_picture(path, file))
        elif path.suffix.lower() in UNREADABLE:
            left_out.append(
                LeftOut(file, f"is {path.suffix[1:].upper()}, which cannot be read here; save it as JPEG or PNG")
            )
    return found, left_out


def choose_pictures(found: Sequence[FoundPicture]) -> list[FoundPicture]:
    """MAX_PICTURES of the pictures at the most, evenly from the whole list, so that every subfolder has its share."""
    if len(found) <= MAX_PICTURES:
        return list(found)
    return [found[place * len(found) // MAX_PICTURES] for place in range(MAX_PICTURES)]


def name_pictures(pictures: Sequence[FoundPicture]) -> list[FoundPicture]:
    """Gives each picture without a name one from its file's name, makes all unique, and finds their kinds."""
    taken: set[str] = set()
    named = []
    for picture in pictures:
        wanted = picture.name or _read_name(picture)
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted} {number}"
        taken.add(name)
        named.append(replace(picture, name=name))
    stems = [picture.name.rstrip("0123456789 ") or picture.name for picture in named]
    counts, most = Counter(stems), max(KIND_LEAST, int(KIND_SHARE * len(named)))
    return [
        replace(picture, kind=stem if counts[stem] <= most else picture.name)
        for picture, stem in zip(named, stems, strict=True)
    ]


def clean_name(text: str) -> str:
    """A name as people read it: composed characters, no control signs, single spaces, at most MAX_NAME characters."""
    readable = "".join(
        sign if not unicodedata.category(sign).startswith(("C", "Z")) else " "
        for sign in unicodedata.normalize("NFC", text)
    )
    return " ".join(readable.split())[:MAX_NAME].rstrip()


def _walk(folder: Path, depth: int, above: str = "") -> Iterator[tuple[Path, str, str]]:
    """(path, its name below the first folder, "") of every file; in place of "" why it cannot be read."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield folder, above or str(folder), f"cannot be opened ({error.strerror})"
        return
    for entry in entries:
        file, path = f"{above}/{entry.name}" if above else entry.name, Path(entry.path)
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth < MAX_DEPTH:
                yield from _walk(path, depth + 1, file)
            else:
                yield path, file, f"lies deeper than {MAX_DEPTH} subfolders; move it up"
        else:
            yield path, file, _find_fault(path)


def _find_fault(path: Path) -> str:
    """Why a file cannot be a picture, before it is opened: opening a pipe would wait for ever."""
    try:
        kind = path.stat().st_mode
    except OSError as error:
        return "is a link to nothing" if path.is_symlink() else f"cannot be read ({error.strerror})"
    if stat.S_ISDIR(kind):
        return "is a link to a folder, which is not followed; put the folder itself there"
    if not stat.S_ISREG(kind) and path.suffix.lower() in SUFFIXES:
        return "is no file of pictures but a pipe or a device"
    return ""


def _place_picture(path: Path, file: str) -> FoundPicture:
    above = [clean_name(part.translate(SEPARATORS)).lower() for part in file.split("/")[:-1]]
    felt = [feeling for word in above if (feeling := find_feeling(word))]
    themes = tuple(dict.fromkeys(word for word in above if word and not find_feeling(word)))
    return FoundPicture(path, file, themes=themes, feeling=felt[-1] if felt else None)


def _read_name(picture: FoundPicture) -> str:
    """The name of a picture by its file, or by its folder where the file's has no letter."""
    *above, stem = (
        clean_name(part.translate(SEPARATORS)).lower() for part in str(Path(picture.file).with_suffix("")).split("/")
    )
    if any(sign.isalpha() for sign in stem):
        return stem
    return clean_name(f"{above[-1] if above and above[-1] else 'picture'} {stem}")
