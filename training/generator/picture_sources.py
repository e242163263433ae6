"""Where the chosen pictures come from: the table picture_sources.csv, and the part of NOTICE that is made of it.

`python -m training.generator.picture_sources collect --pictures DIR` writes the table from DIR/pictures.csv;
`python -m training.generator.picture_sources notice` prints the part of NOTICE, with `--write` puts it there, and with
`--check` ends with 1 where NOTICE says something else.
"""

import argparse
import csv
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import groupby
from pathlib import Path

from training.generator.pictures import load_pictures

__all__ = ["Source", "load_sources", "collect_sources", "format_notice", "replace_notice", "SOURCES", "NOTICE", "main"]

SOURCES = Path(__file__).parent / "picture_sources.csv"
NOTICE = Path(__file__).parents[2] / "NOTICE"
WIDTH = 120  # columns of NOTICE
BEGIN = "THE CHOSEN PICTURES (made by python -m training.generator.picture_sources notice --write)"
END = "END OF THE CHOSEN PICTURES"
OASIS = "oasis"  # folder of the rated photos
INTRODUCTION = (
    "The embedded engine's pictures are chosen in training/generator/pictures.csv, some of them as details of a larger "
    "work. Weights trained on them can show them again; the files themselves are not distributed. Where people rated a "
    "picture in OASIS, its sentiment is the mean of their ratings; all other sentiments are readings of a model, "
    "services/translator/weights/labeller.npz. Titles, makers, years and rights are as the sources give them."
)


@dataclass(frozen=True)
class Source:
    """Where one file comes from."""

    file: str  # as in pictures.csv
    title: str
    maker: str  # "" where the source names none
    year: str
    page: str  # address of the source's page
    repository: str  # on GitHub, through which the copy came
    rights: str

    @property
    def folder(self) -> str:
        """Folder of the file."""
        return self.file.split("/")[0]


COLUMNS = tuple(field.name for field in fields(Source))


def load_sources(table: Path = SOURCES) -> list[Source]:
    """Reads the table, one row for each file.

    Raises:
        ValueError: a row lacks its title, page or rights, or a file has two rows.
    """
    with table.open(newline="", encoding="utf-8") as lines:
        sources = [Source(**{name: row[name] for name in COLUMNS}) for row in csv.DictReader(lines)]
    for source in sources:
        if not (source.title and source.page and source.rights):
            raise ValueError(f"{source.file} lacks its title, page or rights in {table.name}; fill in all three")
    files = [source.file for source in sources]
    twice = [file for file in files if files.count(file) > 1]
    if twice:
        raise ValueError(f"{twice[0]} has two rows in {table.name}; keep one")
    return sources


def collect_sources(files: Iterable[str], table: Path) -> list[Source]:
    """Takes the sources of files from the table of the folder of pictures, in the order of the files.

    Raises:
        KeyError: the table has no row of a file.
    """
    with table.open(newline="", encoding="utf-8") as lines:
        rows = {f"{row['folder']}/{row['file']}": row for row in csv.DictReader(lines)}
    names = [name for name in COLUMNS if name != "file"]
    return [Source(file, *(rows[file][name].strip() for name in names)) for file in dict.fromkeys(files)]


def write_sources(sources: Sequence[Source], table: Path) -> None:
    """Writes the table."""
    with table.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(source) for source in sources)


def format_notice(sources: Sequence[Source]) -> str:
    """The part of NOTICE between its marks, the marks included."""
    parts = [BEGIN, "", textwrap.fill(INTRODUCTION, WIDTH)]
    for (folder, repository, rights), group in groupby(
        sources, lambda source: (source.folder, source.repository, source.rights)
    ):
        chosen = list(group)
        count = f"{len(chosen)} {'file' if len(chosen) == 1 else 'files'}"
        parts += ["", textwrap.fill(f"{folder}/: {count} by way of github.com/{repository}; {rights}:", WIDTH)]
        parts += _list_titles(chosen) if folder == OASIS else _list_works(chosen)
    return "\n".join([*parts, "", END])


def replace_notice(text: str, part: str) -> str:
    """Puts a part between its marks in the text of NOTICE.

    Raises:
        ValueError: a mark is missing.
    """
    for mark in (BEGIN, END):
        if f"\n{mark}\n" not in text:
            raise ValueError(f"NOTICE has no line {mark!r}; add it where the list of pictures belongs")
    before, rest = text.split(f"{BEGIN}\n", 1)
    after = rest.split(f"{END}\n", 1)[1]
    return f"{before}{part}\n{after}"


def _list_titles(sources: Sequence[Source]) -> list[str]:
    pages = "; ".join(dict.fromkeys(source.page for source in sources))
    titles = ", ".join(source.title for source in sources)
    whole = f"{pages}, by their OASIS titles: {titles}."
    return [textwrap.fill(whole, WIDTH, initial_indent="  ", subsequent_indent="  ")]


def _list_works(sources: Sequence[Source]) -> list[str]:
    lines = []
    for source in sources:
        known = ", ".join(word for word in (source.title, source.maker, source.year) if word)
        lines.append(
            textwrap.fill(
                f"{known}: {source.page}",
                WIDTH,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Command line; 1 where NOTICE differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    collect = commands.add_parser("collect", help="write the table of sources")
    collect.add_argument("--pictures", type=Path, required=True, help="folder of the pictures, with its pictures.csv")
    notice = commands.add_parser("notice", help="the part of NOTICE that lists the pictures")
    notice.add_argument("--write", action="store_true", help="put it into NOTICE")
    notice.add_argument("--check", action="store_true", help="compare it with NOTICE")
    options = parser.parse_args(arguments)
    if options.command == "collect":
        files = [picture.file for picture in load_pictures()]
        write_sources(collect_sources(files, options.pictures / "pictures.csv"), SOURCES)
        return 0
    part, text = format_notice(load_sources()), NOTICE.read_text(encoding="utf-8")
    if options.write:
        NOTICE.write_text(replace_notice(text, part), encoding="utf-8")
    elif options.check:
        return 0 if f"{part}\n" in text else 1
    else:
        sys.stdout.write(f"{part}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
