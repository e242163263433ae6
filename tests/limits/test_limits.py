"""Every limit of the contract is broken over the wire; the error must have the stated code and reason."""

import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from deepsing.rpc.errors import parse_error_info
from deepsing.rpc.workarounds import keep_status
from deepsing.runtime.server import GrpcServer, Service
from deepsing.runtime.settings import ServerSettings
from deepsing.v1 import audio_sentiment_pb2_grpc, generator_pb2_grpc, translator_pb2_grpc
from services.audio_sentiment import rpc as audio_sentiment
from services.generator import rpc as generator
from services.generator.settings import Settings
from services.translator import rpc as translator
from tests.architecture.tree import ROOT
from tests.limits.crossings import CROSSINGS, ELSEWHERE
from tests.limits.stated import Limit, comments, list_limits, parse_rules, reasons, request_types, table
from tests.unit.composer.fakes import stage
from tests.unit.generator.opened import WEIGHTS

LIMITS = {limit.key: limit for limit in list_limits()}
BOUND = re.compile(r"[≤≥] ?\d|at most \d|\[-?\d+, -?\d+\]")
Stubs = dict[str, Any]


async def _small_generator() -> generator.GeneratorServicer:
    return generator.open_generator(Settings(engines=("tiny",), weights=(str(WEIGHTS),)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stubs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stubs]:
    small = Service(generator.SERVICE.name, generator.SERVICE.grpc_name, generator.SERVICE.register, _small_generator)
    services = (audio_sentiment.SERVICE, small, translator.SERVICE)
    servers = [GrpcServer(service, ServerSettings(port=0)) for service in services]
    targets = [f"127.0.0.1:{await server.start()}" for server in servers]
    store = str(tmp_path_factory.mktemp("store"))
    async with (
        stage(audio_sentiment_target=targets[0], store=store, stories_running=0) as composer,
        grpc.aio.insecure_channel(targets[0]) as heard,
        grpc.aio.insecure_channel(targets[1]) as painted,
        grpc.aio.insecure_channel(targets[2]) as translated,
    ):
        owners = (
            composer.stub,
            audio_sentiment_pb2_grpc.AudioSentimentServiceStub(heard),
            generator_pb2_grpc.GeneratorServiceStub(painted),
            translator_pb2_grpc.TranslatorServiceStub(translated),
        )
        yield {name: method for owner in owners for name, method in vars(owner).items()}
    for server in servers:
        await server.drain(0)


@pytest.mark.parametrize("key", CROSSINGS)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_limit_is_answered_as_the_contract_says(key: str, stubs: Stubs) -> None:
    limit, crossing = LIMITS[key], CROSSINGS[key]
    method = stubs[crossing.method]
    streams_up = isinstance(method, grpc.aio.StreamUnaryMultiCallable | grpc.aio.StreamStreamMultiCallable)
    call = method(iter(crossing.requests) if streams_up else crossing.requests[0], timeout=60)
    if streams_up:
        keep_status(call)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _read_to_end(call)
    assert (caught.value.code().name, parse_error_info(caught.value)[0]) == (limit.code, limit.reason)


async def _read_to_end(call: Any) -> None:
    if not hasattr(call, "read"):
        await call
        return
    while await call.read() is not grpc.aio.EOF:
        pass


def test_every_limit_is_broken_by_a_request_or_by_a_test_that_is_named() -> None:
    assert set(CROSSINGS) | set(ELSEWHERE) == set(LIMITS)
    assert not set(CROSSINGS) & set(ELSEWHERE)


def test_a_bound_on_what_is_sent_threatens_with_a_reason() -> None:
    asked = request_types()
    bounds = {where for where, comment in comments() if where.split(".")[0] in asked and BOUND.search(comment)}
    assert len(bounds) >= 25
    assert bounds - {limit.where for limit in LIMITS.values()} == set()


def test_what_is_only_answered_limits_nobody() -> None:
    named = {where for where, comment in comments() if "SONG_TOO_SHORT" in comment}
    limited = {limit.where for limit in LIMITS.values() if limit.reason == "SONG_TOO_SHORT"}
    assert named - limited == {"StoryError.reason"}
    assert {"Sentiment", "SentimentMode", "Picture"} <= request_types()  # the first is answered too
    assert request_types() & {"Story", "StoryError", "SessionStarted", "Phase"} == set()


@pytest.mark.parametrize("key", ELSEWHERE)
def test_a_test_that_is_named_is_there_and_sees_the_reason(key: str) -> None:
    file, _, name = ELSEWHERE[key].partition("::")
    tests = re.split(r"^(?=async def |def |@pytest)", (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
    body = next(text for text in tests if re.match(rf"(async )?def {name}\(", text))
    assert LIMITS[key].reason in body


def test_the_table_of_limits_is_the_contracts() -> None:
    assert (ROOT / "docs/limits.md").read_text(encoding="utf-8") == table()


def test_a_rule_says_something() -> None:
    assert [limit.key for limit in LIMITS.values() if len(limit.rule) < 4] == []
    assert LIMITS["StoryConfig.title TITLE_TOO_LONG"] == Limit(
        "StoryConfig.title",
        "Shown in the manifest and the file's tags; ≤ 200 characters",
        "INVALID_ARGUMENT",
        "TITLE_TOO_LONG",
    )


def test_a_rule_can_be_read_by_itself() -> None:
    known = {"CHUNK_TOO_LARGE", "SONG_TOO_LARGE", "SONG_TOO_LONG", "SONG_EMPTY", "UPLOAD_STALLED"}
    comment = (
        "Analyses a song. Limits (each INVALID_ARGUMENT): a chunk ≤ 64 KiB, else CHUNK_TOO_LARGE; a song ≤ 512 MiB, "
        "else SONG_TOO_LARGE, and ≤ 4 hours, else SONG_TOO_LONG; not empty, else SONG_EMPTY. "
        "Upload silent for 60 s: DEADLINE_EXCEEDED UPLOAD_STALLED."
    )
    assert parse_rules(comment, known) == [
        ("a chunk ≤ 64 KiB", "CHUNK_TOO_LARGE"),
        ("a song ≤ 512 MiB", "SONG_TOO_LARGE"),
        ("a song ≤ 4 hours", "SONG_TOO_LONG"),
        ("a song that is not empty", "SONG_EMPTY"),
        ("refused: upload silent for 60 s", "UPLOAD_STALLED"),
    ]


def test_a_rule_says_what_is_refused() -> None:
    known = {"BATCH_EMPTY", "BATCH_TOO_LARGE", "SONG_UNREADABLE"}
    assert parse_rules("Pictures, [1, 16]; 0: INVALID_ARGUMENT BATCH_EMPTY; more: BATCH_TOO_LARGE.", known) == [
        ("Pictures, [1, 16]; refused: 0", "BATCH_EMPTY"),
        ("Pictures, [1, 16]; refused: more", "BATCH_TOO_LARGE"),
    ]
    assert parse_rules("True where it is live (an m4a may fail: INVALID_ARGUMENT SONG_UNREADABLE).", known) == [
        ("True where it is live; refused: an m4a may fail", "SONG_UNREADABLE")
    ]


def test_every_reason_is_in_the_table_with_a_sample() -> None:
    assert reasons()["SIZE_OUT_OF_RANGE"] == (
        "INVALID_ARGUMENT",
        "size is 255x256; choose even sides from 64 to 1920",
    )
    assert all(f"| {reason} | {code} | {sample} |" in table() for reason, (code, sample) in reasons().items())
