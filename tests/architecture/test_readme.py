"""What the README says is so: its map points at things that exist, its commands run, its settings are the code's."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, SERVICES, relative, settings_of, tracked

README = ROOT / "README.md"
MIN_ROWS = 10
ROW = re.compile(r"`([\w./-]+)::([\w.]+)`")


def map_rows() -> list[tuple[str, str]]:
    return ROW.findall(README.read_text(encoding="utf-8"))


def defines(path: Path, symbol: str) -> bool:
    """Whether a file defines a symbol: Python by its syntax tree, anything else by the word itself."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return re.search(rf"^\s*(service|message|enum|rpc)?\s*{re.escape(symbol)}\b", text, re.MULTILINE) is not None
    scope: ast.AST | None = ast.parse(text)
    for name in symbol.split("."):
        scope = next((node for node in ast.iter_child_nodes(scope) if name in names_of(node)), None) if scope else None
    return scope is not None


def names_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [ast.unparse(target) for target in targets]


def test_the_readme_has_a_map() -> None:
    assert "Where is" in README.read_text(encoding="utf-8")
    assert len(map_rows()) >= MIN_ROWS


@pytest.mark.parametrize(("path", "symbol"), map_rows())
def test_a_row_of_the_map_points_at_something(path: str, symbol: str) -> None:
    assert defines(ROOT / path, symbol)


def test_every_make_verb_in_the_documents_exists() -> None:
    documents = [path for path in tracked() if path.suffix == ".md"]
    said = {
        (verb, relative(path))
        for path in documents
        for verb in re.findall(r"(?:^|`)make ([a-z][a-z-]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    verbs = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {(verb, path) for verb, path in said if verb not in verbs} == set()


def as_written(value: object) -> str:
    """A default as the settings table writes it: empty for empty, commas between the items of a tuple."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_table_of_a_service_is_the_code(service: str) -> None:
    text = (ROOT / f"services/{service}/README.md").read_text(encoding="utf-8")
    prefix = f"DEEPSING_{service.upper()}_"
    table = dict(re.findall(rf"^\| `{prefix}([A-Z0-9_]+)` \| (?:`([^`]*)`)?\s*\|", text, re.MULTILINE))
    fields = {field.name.upper(): as_written(field.default) for field in dataclasses.fields(settings_of(service))}
    assert table == fields
