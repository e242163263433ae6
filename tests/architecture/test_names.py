"""A function that does something is named by a verb: `create_or_get`, not `written`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.tree import list_hand_written, relative

MOST = 0.01  # of all functions
IRREGULAR = re.compile(
    "begun|bound|brought|built|caught|chosen|done|drawn|driven|fed|felt|found|given|gone|grown|heard|held|hidden|kept|"
    "known|laid|led|left|lost|made|met|paid|said|seen|sent|shown|spoken|taken|taught|thought|thrown|told|torn|woven|written"
)
# Participles of functions that only compute, as `sorted` is: where no verb or noun says it better.
PURE: frozenset[str] = frozenset()


def is_participle(name: str) -> bool:
    """Whether a name is a bare participle, or begins with one and a noun (`opened_painter`)."""
    first = name.strip("_").split("_")[0]
    regular = first.endswith("ed") and not first.endswith(("eed", "bed")) and len(first) > 4
    return regular or IRREGULAR.fullmatch(first) is not None


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions of a file but properties: those describe a state (`finished`, `blocked`)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not any(
            "property" in ast.unparse(decorator) for decorator in node.decorator_list
        ):
            yield node


@pytest.mark.parametrize("name", ["written", "_opened", "told", "opened_painter", "changed_keys", "_left_s"])
def test_the_rule_sees_a_participle(name: str) -> None:
    assert is_participle(name)


@pytest.mark.parametrize("name", ["open_store", "_read", "feed", "embed", "create_or_get", "need_key", "speed"])
def test_the_rule_lets_verbs_pass(name: str) -> None:
    assert not is_participle(name)


def test_functions_are_named_by_verbs() -> None:
    names = [(f"{relative(path)}:{node.lineno}", node.name) for path in list_hand_written() for node in functions(path)]
    found = [(where, name) for where, name in names if is_participle(name) and not name.startswith("test_")]
    outside = [(where, name) for where, name in found if name not in PURE]
    assert outside == []
    assert len(found) <= MOST * len(names)
