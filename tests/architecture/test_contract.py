"""The contract and the code agree: reasons are used, generated code is generated; its limits: tests/limits."""

import re
from pathlib import Path

import pytest

from deepsing.v1 import audio_sentiment_pb2, composer_pb2, generator_pb2, sentiment_pb2, translator_pb2
from deepsing.v1 import error_reason_pb2 as reasons
from tests.architecture.tree import ROOT, list_hand_written, list_tracked, relative

PREFIX = "ERROR_REASON_"
# Reasons whose behaviour a later issue brings; the contract names them now so that no number changes meaning.
RESERVED: dict[str, str] = {}
GENERATED_MARK = re.compile(r"DO NOT EDIT|Do not edit manually")

ALL_REASONS = [name.removeprefix(PREFIX) for name in reasons.ErrorReason.keys()[1:]]


def read_text(*folders: str) -> str:
    own_tier = ROOT / "tests" / "architecture"
    return "\n".join(
        path.read_text(encoding="utf-8") for path in list_hand_written(*folders) if not path.is_relative_to(own_tier)
    )


def mentions(text: str, reason: str) -> bool:
    return re.search(rf"\b({PREFIX})?{reason}\b", text) is not None


@pytest.mark.parametrize("reason", ALL_REASONS)
def test_a_reason_is_given_somewhere_or_reserved_for_later(reason: str) -> None:
    used = mentions(read_text("deepsing", "services"), reason)
    assert used != (reason in RESERVED)


def test_a_reason_has_a_sample_with_its_code() -> None:
    text = (ROOT / "protos/deepsing/v1/error_reason.proto").read_text(encoding="utf-8")
    for reason in ALL_REASONS:
        assert re.search(rf'  // [A-Z_]+(, with [^:"]+)?: "[^"]+"\.\n  {PREFIX}{reason} = \d+;', text), reason


def find_generated() -> list[Path]:
    return [path for path in list_tracked() if relative(path).startswith("deepsing/v1/") and "_pb2" in path.name]


@pytest.mark.parametrize("path", find_generated(), ids=relative)
def test_generated_code_says_so(path: Path) -> None:
    assert GENERATED_MARK.search(path.read_text(encoding="utf-8")[:400])


def test_every_proto_has_its_four_generated_files_and_none_is_left_over() -> None:
    protos = {path.stem for path in (ROOT / "protos/deepsing/v1").glob("*.proto")}
    expected = {f"{stem}_pb2{end}" for stem in protos for end in (".py", ".pyi", "_grpc.py", "_grpc.pyi")}
    assert {path.name for path in (ROOT / "deepsing/v1").glob("*_pb2*")} == expected


# Fields that hold an address. None of them is a caller's (StoredFile.url is an answer): a service that fetched what
# callers name could be sent to addresses that only it can reach. Whoever adds one allow-lists hosts and refuses private
# ranges first.
ADDRESSES = {"deepsing.v1.StoredFile.url"}


def test_no_field_of_the_contract_takes_an_address_from_a_caller() -> None:
    words = re.compile(r"(^|_)(ur[il]s?|href|link|address|host|endpoint|webhook|callback|bucket|path)(_|$)")
    found = {
        field.full_name
        for contract in (audio_sentiment_pb2, composer_pb2, generator_pb2, sentiment_pb2, translator_pb2)
        for message in contract.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
        if words.search(field.name)
    }
    assert found == ADDRESSES
