"""What documents say is so: the map points at things that exist, commands are understood, settings are the code's."""

import ast
import dataclasses
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from deepsing.access.outgoing import CHANNEL_PREFIX, ChannelSettings
from deepsing.access.settings import ACCESS_PREFIX, TLS_PREFIX, AccessSettings, TlsSettings
from deepsing.cli.__main__ import build_parser
from tests.architecture.tree import ROOT, SERVICES, find_settings, list_tracked, relative
from training.__main__ import PROGRAMS

MAP = ROOT / "docs/architecture.md"
README = ROOT / "README.md"
MIN_ROWS = 30
README_LINES = 80
ROW = re.compile(r"`([\w./-]+)::([\w.]+)`")


def map_rows() -> list[tuple[str, str]]:
    return ROW.findall(MAP.read_text(encoding="utf-8"))


def defines(path: Path, symbol: str) -> bool:
    """Whether a file defines a symbol: Python by its syntax tree, anything else by the word itself."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return re.search(rf"^\s*(service|message|enum|rpc)?\s*{re.escape(symbol)}\b", text, re.MULTILINE) is not None
    scope: ast.AST | None = ast.parse(text)
    for name in symbol.split("."):
        scope = (
            next((node for node in ast.iter_child_nodes(scope) if name in list_definitions(node)), None)
            if scope
            else None
        )
    return scope is not None


def list_definitions(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [ast.unparse(target) for target in targets]


def test_there_is_a_map() -> None:
    assert "Where is" in MAP.read_text(encoding="utf-8")
    assert len(map_rows()) >= MIN_ROWS


def test_the_readme_stays_short_and_leads_to_the_rest() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= README_LINES
    documents = ("README", "tutorial", "glossary", "benchmarks", "architecture")
    assert {f"docs/{name}.md" for name in documents} - find_links(README) == set()


def test_the_index_of_documents_lists_them_all() -> None:
    documents = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert documents - find_links(ROOT / "docs/README.md") == set()


def test_the_index_of_decisions_lists_them_all() -> None:
    decisions = {path.name for path in (ROOT / "docs/adr").glob("0*.md")}
    assert decisions - find_links(ROOT / "docs/adr/README.md") == set()


def find_links(document: Path) -> set[str]:
    """Targets of all links of a document, without anchors."""
    return set(re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")))


@pytest.mark.parametrize(("path", "symbol"), map_rows())
def test_a_row_of_the_map_points_at_something(path: str, symbol: str) -> None:
    assert defines(ROOT / path, symbol)


def test_every_make_verb_in_the_documents_exists() -> None:
    said = {
        (verb, relative(path))
        for path in documents()
        for verb in re.findall(r"(?:^|`)make ([a-z][a-z-]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    verbs = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {(verb, path) for verb, path in said if verb not in verbs} == set()


def documents() -> list[Path]:
    return [path for path in list_tracked() if path.suffix == ".md"]


def find_commands() -> list[tuple[str, str]]:
    """(document, command) of every line of a shell block that runs `deepsing`."""
    return [
        (relative(path), line.removeprefix(".venv/bin/").removeprefix("deepsing "))
        for path in documents()
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
        for line in block.splitlines()
        if re.match(r"(\.venv/bin/)?deepsing ", line)
    ]


@pytest.mark.parametrize(("document", "command"), find_commands())
def test_a_command_that_is_shown_is_understood(document: str, command: str) -> None:
    words = shlex.split(command.partition(" > ")[0], comments=True)
    program = PROGRAMS.get((words[0], next(iter(words[1:]), "")))
    if program is not None:  # takes all further arguments itself
        program.load().build_parser().parse_args(words[2:])
    elif words[0] == "bench":
        assert find_spec("bench")
    else:
        assert callable(build_parser().parse_args(words).run)


def test_a_link_between_documents_leads_somewhere() -> None:
    broken = {
        (relative(path), link)
        for path in documents()
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
        if not (path.parent / link).exists()
    }
    assert broken == set()


def test_a_python_file_that_a_document_names_exists() -> None:
    files = [f"/{relative(path)}" for path in list_tracked() if path.suffix == ".py"]
    missing = {
        (relative(path), name)
        for path in documents()
        for name in re.findall(r"[\w./-]*\w\.py\b", path.read_text(encoding="utf-8"))
        if not any(file.endswith("/" + name.lstrip("./")) for file in files)
    }
    assert missing == set()


def test_a_module_that_a_document_runs_exists() -> None:
    missing = {
        (relative(path), module)
        for path in documents()
        for module in re.findall(r"python -m ([\w.]+)", path.read_text(encoding="utf-8"))
        if module not in ("grpc_tools.protoc", "pip", "venv") and find_spec(module) is None
    }
    assert missing == set()


def find_anchors(document: Path) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_link_into_a_document_leads_to_a_heading() -> None:
    links = [
        (path, path.parent / file if file else path, anchor)
        for path in documents()
        for file, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", path.read_text(encoding="utf-8"))
    ]
    assert len(links) >= 3
    assert {(relative(path), anchor) for path, target, anchor in links if anchor not in find_anchors(target)} == set()


def format_default(value: object) -> str:
    """A default as the settings table writes it: empty for empty or none, commas between the items of a tuple."""
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_table_of_a_service_is_the_code(service: str) -> None:
    text = (ROOT / f"services/{service}/README.md").read_text(encoding="utf-8")
    prefix = f"DEEPSING_{service.upper()}_"
    table = dict(re.findall(rf"^\| `{prefix}([A-Z0-9_]+)` \| (?:`([^`]*)`)?\s*\|", text, re.MULTILINE))
    fields = {field.name.upper(): format_default(field.default) for field in dataclasses.fields(find_settings(service))}
    assert table == fields


@pytest.mark.parametrize(
    ("prefix", "settings"),
    [(ACCESS_PREFIX, AccessSettings), (TLS_PREFIX, TlsSettings), (CHANNEL_PREFIX, ChannelSettings)],
)
def test_the_settings_tables_of_access_are_the_code(prefix: str, settings: type) -> None:
    text = (ROOT / "docs/access.md").read_text(encoding="utf-8")
    table = dict(re.findall(rf"^\| `{prefix}([A-Z_]+)` \| (?:`([^`]*)`)?\s*\|", text, re.MULTILINE))
    assert table == {field.name.upper(): format_default(field.default) for field in dataclasses.fields(settings)}
