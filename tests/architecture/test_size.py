"""The size guide: small files, short functions, few public names, one broad except, no loose ends."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.architecture.tree import hand_written, relative

MAX_FILE_LINES = 250
MAX_MEDIAN_FILE_LINES = 100
MAX_FUNCTION_LINES = 45
MAX_PUBLIC_NAMES = 5
MAX_RUNTIME_LINES = 1000  # that are not blank
MIN_DOCUMENTED = 0.95
BROAD = {"Exception", "BaseException"}
SHAPELESS_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "data", "misc"}
Function = ast.FunctionDef | ast.AsyncFunctionDef

product = pytest.mark.parametrize("path", hand_written("deepsing", "services"), ids=relative)
whole_tree = pytest.mark.parametrize("path", hand_written(), ids=relative)


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@whole_tree
def test_a_file_fits_on_a_few_screens(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


def test_most_files_fit_on_one_or_two_screens() -> None:
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in hand_written()]
    assert median(lengths) <= MAX_MEDIAN_FILE_LINES


@whole_tree
def test_a_function_fits_on_one_screen(path: Path) -> None:
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions(parsed(path))}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


@whole_tree
def test_a_module_is_named_after_what_it_holds(path: Path) -> None:
    assert SHAPELESS_NAMES.isdisjoint({path.stem, *(part.lower() for part in Path(relative(path)).parts)})


@product
def test_a_module_says_first_what_it_offers_and_offers_little(path: Path) -> None:
    if path.name in {"__init__.py", "__main__.py"} and "__all__" not in path.read_text(encoding="utf-8"):
        return
    statements = parsed(path).body
    definitions = [node.lineno for node in statements if isinstance(node, Function | ast.ClassDef)]
    offers = [
        node
        for node in statements
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]
    ]
    assert len(offers) == 1, "one __all__ a module"
    assert len(ast.literal_eval(offers[0].value)) <= MAX_PUBLIC_NAMES
    assert all(offers[0].lineno < line for line in definitions)


@product
def test_only_the_command_line_prints(path: Path) -> None:
    if relative(path).startswith("deepsing/cli/"):
        return
    calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
    assert [call.lineno for call in calls if ast.unparse(call.func) in {"print", "pprint"}] == []


@whole_tree
def test_nothing_is_left_for_later(path: Path) -> None:
    marks = re.compile(r"#.*\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
    assert [line for line in path.read_text(encoding="utf-8").splitlines() if marks.search(line)] == []


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches everything and keeps it (one that raises again only tidies up)."""
    caught = BROAD if handler.type is None else {ast.unparse(node) for node in _types(handler.type)}
    return not caught.isdisjoint(BROAD) and not isinstance(handler.body[-1], ast.Raise)


def _types(expression: ast.expr) -> list[ast.expr]:
    return expression.elts if isinstance(expression, ast.Tuple) else [expression]


def test_exactly_one_place_catches_everything_the_outermost_interceptor() -> None:
    broad = [
        relative(path)
        for path in hand_written("deepsing", "services")
        for node in ast.walk(parsed(path))
        if (isinstance(node, ast.ExceptHandler) and swallows(node))
        or (isinstance(node, ast.Call) and re.search(r"suppress\(.*\b(Base)?Exception\b", ast.unparse(node)))
    ]
    assert len(broad) == 1, broad
    assert broad[0].startswith("deepsing/runtime/")


def test_public_things_are_documented() -> None:
    documented = {
        f"{relative(path)}::{node.name}": ast.get_docstring(node) is not None
        for path in hand_written("deepsing", "services")
        for node in ast.walk(parsed(path))
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")
    }
    share = sum(documented.values()) / max(1, len(documented))
    assert share >= MIN_DOCUMENTED, sorted(name for name, said in documented.items() if not said)


def test_the_runtime_stays_small() -> None:
    texts = [path.read_text(encoding="utf-8") for path in hand_written("deepsing/runtime")]
    assert sum(bool(line.strip()) for text in texts for line in text.splitlines()) <= MAX_RUNTIME_LINES
