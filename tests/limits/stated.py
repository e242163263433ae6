"""The limits that the contract states, read from the comments of its .proto files: `python -m tests.limits.stated`."""

__all__ = ["Limit", "comments", "request_types", "list_limits", "table"]

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.protobuf.descriptor import Descriptor

from deepsing.v1 import error_reason_pb2
from tests.fuzz.messages import methods
from tests.limits.crossings import ELSEWHERE

PROTOS = Path(__file__).resolve().parents[2] / "protos" / "deepsing" / "v1"
HERE = "tests/limits/test_limits.py"
REASON = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")
NAMED = re.compile(r"(?:(?:message|service|enum|oneof|rpc) |(?:repeated )?[\w.]+ )?(\w+)(?: =|\(| \{)")
CODES = re.compile(rf"\b({'|'.join(code.name for code in grpc.StatusCode)})\b")
HEAD = """# Limits

Every limit that the contract states, what breaking it is answered with, and the test that breaks it. Made by
`python -m tests.limits.stated > docs/limits.md` from the comments in `protos/`; a limit without a test fails the build.

| where | limit | code | reason | broken by |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Limit:
    """One sentence of the contract that threatens with a reason."""

    where: str  # "StoryConfig.title", "ComposerService.Compose"
    rule: str  # as the comment says it
    code: str
    reason: str

    @property
    def key(self) -> str:
        """What CROSSINGS and ELSEWHERE call it."""
        return f"{self.where} {self.reason}"


def list_limits() -> list[Limit]:
    """All limits, in the order of the files; what is only answered may name a reason, and limits nobody."""
    found: list[Limit] = []
    codes = _codes()
    asked = request_types() | {method.service.rpartition(".")[2] for method in methods()}
    for where, comment in comments():
        if where.split(".")[0] not in asked:
            continue
        for rule, reason in _find_threats(comment, set(codes)):
            found.append(Limit(where, rule, codes[reason], reason))
    return found


def request_types() -> set[str]:
    """Names of the messages and enums that a request is made of, at any depth."""
    return {name for method in methods() for name in _iter_nested_types(method.request)}


def comments() -> list[tuple[str, str]]:
    """Every comment of the contract, but those on reasons, and what it stands before."""
    paths = [path for path in sorted(PROTOS.glob("*.proto")) if path.name != "error_reason.proto"]
    return [one for path in paths for one in _comments(path.read_text(encoding="utf-8"))]


def table() -> str:
    """docs/limits.md."""
    rows = (
        f"| `{one.where}` | {one.rule} | {one.code} | {one.reason} | `{ELSEWHERE.get(one.key, HERE)}` |"
        for one in list_limits()
    )
    return HEAD + "\n".join(rows) + "\n"


def _iter_nested_types(message: Descriptor) -> Iterator[str]:
    yield message.name
    for field in message.fields:
        if field.message_type:
            yield from _iter_nested_types(field.message_type)
        elif field.enum_type:
            yield field.enum_type.name


def _codes() -> dict[str, str]:
    """The code of each reason, by its sample in error_reason.proto."""
    text = (PROTOS / "error_reason.proto").read_text(encoding="utf-8")
    found = re.findall(r'  // ([A-Z_]+)(?:, with [^:"]+)?: "[^"]+"\.\n  ERROR_REASON_(\w+) = \d+;', text)
    assert len(found) == len(error_reason_pb2.ErrorReason.keys()) - 1
    return {reason: code for code, reason in found}


def _comments(text: str) -> list[tuple[str, str]]:
    """What each comment stands before, and the comment; oneofs are not part of a name."""
    found, scope, comment = [], list[str](), list[str]()
    for line in map(str.strip, text.splitlines()):
        if line.startswith("//"):
            comment.append(line.removeprefix("//").strip())
            continue
        named = NAMED.match(line)
        name = named.group(1) if named else ""
        if name and comment:
            found.append((".".join([*filter(None, scope), name]), " ".join(comment)))
        comment = []
        if line.endswith("{"):
            scope.append("" if line.startswith("oneof") else name)
        elif line.startswith("}"):
            scope.pop()
    return found


def _find_threats(comment: str, reasons: set[str]) -> list[tuple[str, str]]:
    """The reasons in a comment, each with what was said since the one before it, or since its sentence began."""
    found: dict[str, str] = {}
    begin = 0
    for word in REASON.finditer(comment):
        if word.group() in reasons:
            said = comment[begin : word.start()].rpartition(". ")[2]
            rule = re.sub(r"\b(else|and)\s*$", "", CODES.sub("", said).strip(" ,;:()")).strip(" ,;:()")
            found.setdefault(word.group(), rule.removeprefix("and ").removesuffix(", else").strip(" ,;:(."))
            begin = word.end()
    return [(rule, reason) for reason, rule in found.items()]


if __name__ == "__main__":
    sys.stdout.write(table())
