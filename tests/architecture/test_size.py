"""The size guide: a file of a few screens, a function of one, one broad except, no loose ends."""

import ast
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from tests.architecture.tree import list_hand_written, relative

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 45
MIN_DOCUMENTED = 0.95
BROAD = {"Exception", "BaseException"}
SHAPELESS_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "data", "misc"}
LOOSE_END = re.compile(r"#.*\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
PRODUCT = ("deepsing", "services", "training")
Function = ast.FunctionDef | ast.AsyncFunctionDef
Found = TypeVar("Found")


@functools.cache
def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(read_text(path), filename=str(path))


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(parse(path)) if isinstance(node, Function))


def line_count(path: Path) -> int:
    return len(read_text(path).splitlines())


def offenders(look: Callable[[Path], Found], *folders: str) -> dict[str, Found]:
    """What `look` finds in each file, where it finds anything."""
    seen = {relative(path): look(path) for path in list_hand_written(*folders)}
    return {name: found for name, found in seen.items() if found}


def test_a_file_fits_on_a_few_screens() -> None:
    assert offenders(lambda path: max(0, line_count(path) - MAX_FILE_LINES)) == {}


def test_a_function_fits_on_one_screen() -> None:
    def long(path: Path) -> dict[str, int]:
        lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions(path)}
        return {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES}

    assert offenders(long) == {}


def test_a_module_is_named_after_what_it_holds() -> None:
    assert offenders(lambda path: SHAPELESS_NAMES & {path.stem, *Path(relative(path)).parts}) == {}


def test_a_module_says_first_what_it_offers() -> None:
    def fault(path: Path) -> str:
        if path.name in {"__init__.py", "__main__.py"} and "__all__" not in read_text(path):
            return ""
        statements = parse(path).body
        offers = [
            node for node in statements if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        if len(offers) != 1:
            return "has no __all__"
        if any(isinstance(node, Function | ast.ClassDef) and node.lineno < offers[0].lineno for node in statements):
            return "has definitions before __all__"
        return ""

    assert offenders(fault, *PRODUCT) == {}


def test_only_the_command_line_prints() -> None:
    def prints(path: Path) -> list[int]:
        calls = (node for node in ast.walk(parse(path)) if isinstance(node, ast.Call))
        return [call.lineno for call in calls if ast.unparse(call.func) in {"print", "pprint"}]

    found = offenders(prints, *PRODUCT)
    assert {name: lines for name, lines in found.items() if not name.startswith("deepsing/cli/")} == {}


def test_nothing_is_left_for_later() -> None:
    assert offenders(lambda path: [line for line in read_text(path).splitlines() if LOOSE_END.search(line)]) == {}


def swallows_everything(node: ast.AST) -> bool:
    """Whether a handler catches all and keeps it (one that raises again only tidies up)."""
    if isinstance(node, ast.Call):
        return re.search(r"\bsuppress\(.*\b(Base)?Exception\b", ast.unparse(node)) is not None
    if not isinstance(node, ast.ExceptHandler) or isinstance(node.body[-1], ast.Raise):
        return False
    kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(kind is None or ast.unparse(kind) in BROAD for kind in kinds)


def test_exactly_one_place_catches_everything_the_outermost_interceptor() -> None:
    def broad(path: Path) -> list[int]:
        return [getattr(node, "lineno", 0) for node in ast.walk(parse(path)) if swallows_everything(node)]

    found = offenders(broad, *PRODUCT)
    assert sum(map(len, found.values())) == 1, found
    assert next(iter(found)).startswith("deepsing/runtime/")


def test_public_things_are_documented() -> None:
    documented = {
        f"{relative(path)}::{node.name}": ast.get_docstring(node) is not None
        for path in list_hand_written(*PRODUCT)
        for node in ast.walk(parse(path))
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")
    }
    share = sum(documented.values()) / len(documented)
    assert share >= MIN_DOCUMENTED, sorted(name for name, said in documented.items() if not said)
