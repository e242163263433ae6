"""What may be in version control: no machine's own paths, nobody's data, nothing large."""

import re

from tests.architecture.tree import list_tracked, relative

# Written with a gap so that this file does not name what it looks for.
MACHINE_PATHS = re.compile(
    r"(?<![\w.-])/(?:wor" r"k|hom" r"e/\w+|roo" r"t|opt/py" r"pi|tm" r"p/(?!deepsing))(?:/|\b)|\.\./sha" r"red\b"
)
TEXT = {".py", ".pyi", ".md", ".toml", ".yaml", ".yml", ".txt", ".proto", ".sh", ".cfg", ".ini", ".json", ".csv", ""}
MAX_FILE_BYTES = 25_000_000


def test_no_file_names_the_machine_it_was_written_on() -> None:
    found = {
        relative(path): [line for line in path.read_text(encoding="utf-8").splitlines() if MACHINE_PATHS.search(line)]
        for path in list_tracked()
        if path.suffix in TEXT
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_no_file_is_too_large_for_a_clone() -> None:
    assert [relative(path) for path in list_tracked() if path.stat().st_size > MAX_FILE_BYTES] == []
