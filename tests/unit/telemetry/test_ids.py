import contextvars
from collections.abc import Callable

import pytest

from deepsing.telemetry.ids import log_ids, outgoing_metadata, take_ids

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def ids_of_call() -> Callable[..., dict[str, str]]:
    """Takes ids of metadata in a context of its own; returns what its log lines would have."""

    def collect_ids(*metadata: tuple[str, str | bytes]) -> dict[str, str]:
        def look() -> dict[str, str]:
            take_ids(metadata)
            assert {value for _, value in outgoing_metadata()} >= set(log_ids().values()) - {TRACE}
            return log_ids()

        return contextvars.Context().run(look)

    return collect_ids


def test_nothing_is_carried_or_logged_outside_a_call() -> None:
    assert contextvars.Context().run(lambda: (outgoing_metadata(), log_ids())) == ((), {})


def test_a_fit_request_id_is_taken_and_an_unfit_one_made_anew(ids_of_call: Callable[..., dict[str, str]]) -> None:
    assert ids_of_call(("other", "x"), ("x-request-id", "a.B-9_")) == {"request_id": "a.B-9_"}
    unfit = [(), (("x-request-id", "a b"),), (("x-request-id", b"a"),), (("x-request-id", "deepsing_key_secret"),)]
    made = {ids_of_call(*metadata)["request_id"] for metadata in unfit}
    assert len(made) == 4
    assert all(len(number) == 32 for number in made)


def test_a_session_id_is_taken_if_it_is_fit(ids_of_call: Callable[..., dict[str, str]]) -> None:
    assert ids_of_call(("x-session-id", "s1"))["session_id"] == "s1"
    assert "session_id" not in ids_of_call(("x-session-id", "s" * 65))


@pytest.mark.parametrize(
    "unfit", ["", "00-", PARENT[:-1], PARENT + "0", PARENT.upper(), PARENT.replace(TRACE, "0" * 32), "01" + PARENT[2:]]
)
def test_a_traceparent_is_taken_as_w3c_writes_it_and_not_otherwise(
    ids_of_call: Callable[..., dict[str, str]], unfit: str
) -> None:
    assert ids_of_call(("traceparent", PARENT))["trace_id"] == TRACE
    assert "trace_id" not in ids_of_call(("traceparent", unfit))


def test_the_ids_of_one_call_do_not_stay_for_the_next(ids_of_call: Callable[..., dict[str, str]]) -> None:
    def both() -> dict[str, str]:
        take_ids([("x-session-id", "s1"), ("traceparent", PARENT), ("x-request-id", "r1")])
        take_ids([("x-request-id", "r2")])
        return log_ids()

    assert contextvars.Context().run(both) == {"request_id": "r2"}
