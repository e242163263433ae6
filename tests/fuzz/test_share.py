"""A few of the fuzz's songs and calls, and that the fuzz sees what it looks for; all of them: `make fuzz`."""

from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest

from tests.fuzz.calls import _judge_error
from tests.fuzz.decoding import _find_fault
from tests.fuzz.examples import EXAMPLES
from tests.fuzz.messages import make_requests, methods
from tests.fuzz.mutations import bases, make_mutant, with_checksums
from tests.fuzz.wire import make_all_calls
from tests.fuzz.workers import decode_mutants


def test_mutated_songs_are_decoded_or_refused() -> None:
    outcomes = list(decode_mutants(1, range(150)))
    assert sorted(outcome.number for outcome in outcomes) == list(range(150))
    assert [outcome for outcome in outcomes if outcome.fault] == []
    assert {"decoded", "decoded with warnings", "refused: unreadable"} <= {outcome.what for outcome in outcomes}


async def test_malformed_calls_are_answered_by_the_contract() -> None:
    wire = await make_all_calls(1, range(6), range(2))
    assert [one for one in wire.findings if one.answer.fault] == []
    assert (len(wire.counts), wire.left) == (len(methods()), [])


def test_a_mutant_and_a_request_are_made_again_by_their_numbers() -> None:
    assert make_mutant(3, 14) == make_mutant(3, 14)
    assert len({make_mutant(3, number).data for number in range(50)}) > 45
    for method in methods():
        assert make_requests(method, 3, 14) == make_requests(method, 3, 14)


def test_examples_belong_to_methods_that_exist() -> None:
    assert set(EXAMPLES) <= {f"{method.service}.{method.name}" for method in methods()}


def test_checksums_of_an_ogg_file_are_ffmpegs() -> None:
    song = bases()["vorbis"]
    assert with_checksums(song) == song
    assert with_checksums(song[:22] + b"????" + song[26:]) == song


@pytest.mark.parametrize(
    ("code", "details", "fault"),
    [
        ("UNKNOWN", "", "UNKNOWN: "),
        ("INTERNAL", "internal error; quote request 1", "INTERNAL: internal error; quote request 1"),
        ("INVALID_ARGUMENT", "no", "INVALID_ARGUMENT has the reason '': no"),
        ("DEADLINE_EXCEEDED", "in rpc.py", "DEADLINE_EXCEEDED shows the inside: in rpc.py"),
        ("DEADLINE_EXCEEDED", "no credit came for 1 s", ""),
    ],
)
def test_an_answer_that_breaks_a_promise_is_a_fault(code: str, details: str, fault: str) -> None:
    error = grpc.aio.AioRpcError(grpc.StatusCode[code], grpc.aio.Metadata(), grpc.aio.Metadata(), details)
    assert _judge_error(error, 0)[1] == fault


class Decoded:
    sample_rate_hz = 8000
    facts = SimpleNamespace(sample_count=8000, sample_rate_hz=8000, duration_s=1.0)

    def __init__(self, *blocks: Any) -> None:
        self.blocks = blocks

    def __iter__(self) -> Any:
        return iter(self.blocks)


SECOND = np.zeros(8000, np.float32)


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ([SECOND, SECOND], "16000 samples came, the facts say 8000"),
        ([SECOND * np.float32("nan")], "not finite"),
        ([np.zeros(8001, np.float32)], "more than a second"),
    ],
)
def test_a_decode_that_breaks_a_promise_is_a_fault(blocks: list[Any], words: str) -> None:
    assert words in _find_fault(Decoded(*blocks))  # type: ignore[arg-type]
