"""The limits that the contract states, read from the comments of its .proto files: `python -m tests.limits.stated`."""

__all__ = ["Limit", "comments", "list_limits", "parse_rules", "reasons", "request_types", "table"]

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
REASON = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")
NAMED = re.compile(r"(?:(?:message|service|enum|oneof|rpc) |(?:(?:repeated|optional) )?[\w.]+ )?(\w+)(?: =|\(| \{)")
CODES = re.compile(rf"\b({'|'.join(code.name for code in grpc.StatusCode)})\b")
LEAD = re.compile(r"^Limits( \(each\s*\))?:")
DEMAND = re.compile(r",?\s*\belse\W*$")
PUNCTUATION = " ,;:()."
HERE = "tests/limits/test_limits.py"
HEAD = """# Limits

Every limit that the contract states, the error that breaking it causes, and the test that breaks it. A rule says what
is allowed, or after "refused:" what is not. A sample of the message that comes with each reason is [below](#reasons).

Generated from the comments in `protos/` by `python -m tests.limits.stated > docs/limits.md`. A limit without a test
fails the build.
"""


@dataclass(frozen=True)
class Limit:
    """One limit of the contract: a clause of a comment that names the reason of a refusal."""

    where: str  # "StoryConfig.title", "ComposerService.Compose"
    rule: str  # what is allowed, or what is refused
    code: str
    reason: str

    @property
    def key(self) -> str:
        """What CROSSINGS and ELSEWHERE call it."""
        return f"{self.where} {self.reason}"


def list_limits() -> list[Limit]:
    """All limits, in the order of the files; messages that are only answered may name reasons, but limit no caller."""
    found: list[Limit] = []
    codes = {reason: code for reason, (code, _) in reasons().items()}
    asked = request_types() | {method.service.rpartition(".")[2] for method in methods()}
    for where, comment in comments():
        if where.split(".")[0] not in asked:
            continue
        for rule, reason in parse_rules(comment, set(codes)):
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
    """docs/limits.md: a table for each service and message, and one of all reasons."""
    owners: dict[str, list[Limit]] = {}
    for limit in list_limits():
        owners.setdefault(limit.where.split(".")[0], []).append(limit)
    parts = [HEAD, *(_format_owner(owner, limits) for owner, limits in owners.items()), _format_reasons()]
    return "\n".join(parts)


def reasons() -> dict[str, tuple[str, str]]:
    """The status code and the sample message of each reason, from error_reason.proto."""
    text = (PROTOS / "error_reason.proto").read_text(encoding="utf-8")
    found = re.findall(r'  // ([A-Z_]+)(?:, with [^:"]+)?: "([^"]+)"\.\n  ERROR_REASON_(\w+) = \d+;', text)
    assert len(found) == len(error_reason_pb2.ErrorReason.keys()) - 1
    return {reason: (code, sample) for code, sample, reason in found}


def _format_owner(owner: str, limits: list[Limit]) -> str:
    kind = "call" if owner.endswith("Service") else "field"
    rows = [f"## {owner}\n", f"| {kind} | rule | code | reason | test |", "|---|---|---|---|---|"]
    for limit in limits:
        name = limit.where.partition(".")[2] or owner
        test = ELSEWHERE.get(limit.key, HERE)
        rows.append(f"| `{name}` | {limit.rule} | {limit.code} | {limit.reason} | `{test}` |")
    return "\n".join(rows) + "\n"


def _format_reasons() -> str:
    rows = ["## Reasons\n", "| reason | code | message, for example |", "|---|---|---|"]
    rows += (f"| {reason} | {code} | {sample} |" for reason, (code, sample) in sorted(reasons().items()))
    return "\n".join(rows) + "\n"


def _iter_nested_types(message: Descriptor) -> Iterator[str]:
    yield message.name
    for field in message.fields:
        if field.message_type:
            yield from _iter_nested_types(field.message_type)
        elif field.enum_type:
            yield field.enum_type.name


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


def parse_rules(comment: str, known: set[str]) -> list[tuple[str, str]]:
    """The rules of a comment, each with the reason that it names."""
    found: dict[str, str] = {}
    begin, subject = 0, ""
    for word in REASON.finditer(comment):
        if word.group() in known:
            _, new_sentence, clause = comment[begin : word.start()].rpartition(". ")
            rule, subject = _phrase(CODES.sub("", clause), "" if new_sentence else subject)
            found.setdefault(word.group(), rule)
            begin = word.end()
    return [(rule, reason) for reason, rule in found.items()]


def _phrase(clause: str, subject: str) -> tuple[str, str]:
    """A rule that can be read by itself, and what it is about, for the clauses that follow it in its sentence."""
    is_demand = DEMAND.search(clause) is not None
    text = DEMAND.sub("", LEAD.sub("", clause)).strip(PUNCTUATION).removeprefix("and ")
    return _phrase_demand(text, subject) if is_demand else _phrase_offence(text, subject)


def _phrase_demand(text: str, subject: str) -> tuple[str, str]:
    """Of "…, else REASON": what is allowed."""
    about = re.split(r"[≤≥\[]", text)[0].strip(PUNCTUATION)
    if subject and (not about or about.startswith("with ")):
        return f"{subject} {text}", subject
    if subject and re.fullmatch(r"(not )?\w+", text):
        return f"{subject} that is {text}", subject
    return text, about or text


def _phrase_offence(text: str, subject: str) -> tuple[str, str]:
    """Of "…: REASON": what is refused."""
    about, _, offence = re.sub(r" \((?!\w+\))", "; ", text).rpartition("; ")
    about = about or subject
    if "refused" in offence:
        return text, about
    offence = offence if re.match(r"[A-Z]{2}", offence) else offence[:1].lower() + offence[1:]
    return (f"{about}; refused: {offence}" if about else f"refused: {offence}"), about


if __name__ == "__main__":
    sys.stdout.write(table())
