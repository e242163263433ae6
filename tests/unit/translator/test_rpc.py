import asyncio
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from deepsing.rpc.errors import parse_error_info
from deepsing.runtime.server import GrpcServer
from deepsing.runtime.settings import ServerSettings, SettingsError
from deepsing.v1 import sentiment_pb2, translator_pb2, translator_pb2_grpc
from services.translator.rpc import SERVICE

Stub = translator_pb2_grpc.TranslatorServiceStub
CALM = sentiment_pb2.Sentiment(arousal=-0.4, valence=0.3)


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    server = GrpcServer(SERVICE, ServerSettings(port=0))
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Stub(channel)
    await server.drain(0)


def request(**fields: object) -> translator_pb2.TranslateRequest:
    return translator_pb2.TranslateRequest(**{"sentiments": [CALM], **fields})  # type: ignore[arg-type]


async def test_a_translation_has_the_shapes_and_sums_of_the_contract(stub: Stub) -> None:
    answer = await stub.Translate(request(sentiments=[CALM] * 3, seed=5))
    weights = np.array(answer.class_weights).reshape(3, answer.concept_count)
    assert weights.sum(1) == pytest.approx(1, abs=1e-3)
    assert len(answer.noise) == 3 * answer.noise_size == 3 * 128
    assert len(answer.expected) == 3
    assert answer.expected[0].arousal == pytest.approx(-0.4, abs=0.1)
    assert answer.expected[0].valence == pytest.approx(0.3, abs=0.1)


async def test_translate_is_pure(stub: Stub) -> None:
    asked = request(sentiments=[CALM] * 20, seed=2**64 - 1, first_index=2**64 - 1)
    one, again = await asyncio.gather(stub.Translate(asked), stub.Translate(asked))
    assert one == again


async def test_only_allowed_concepts_are_chosen(stub: Stub) -> None:
    answer = await stub.Translate(request(sentiments=[CALM] * 9, allowed_concepts=[200, 5, 100, 5]))
    weights = np.array(answer.class_weights).reshape(9, answer.concept_count)
    assert weights.sum(0)[[5, 100, 200]].sum() == 9
    assert len(set(weights.argmax(1))) >= 2


async def test_a_request_may_hold_1024_feelings(stub: Stub) -> None:
    answer = await stub.Translate(request(sentiments=[CALM] * 1024))
    assert len(answer.expected) == 1024


async def test_the_default_is_listed_first_and_its_digest_is_in_the_answer(stub: Stub) -> None:
    listed = (await stub.ListTranslators(translator_pb2.ListTranslatorsRequest())).translators
    answer = await stub.Translate(request())
    assert listed[0].name == "dictionary"
    assert listed[0].engine == "canvas"
    assert [one.name for one in listed[1:]] == sorted(one.name for one in listed[1:])
    assert all(len(one.digest) == 64 and one.description.endswith(".") for one in listed)
    assert answer.model_digest == listed[0].digest


async def test_every_listed_translator_translates(stub: Stub) -> None:
    for one in (await stub.ListTranslators(translator_pb2.ListTranslatorsRequest())).translators:
        answer = await stub.Translate(request(translator=one.name, engine=one.engine))
        assert sum(answer.class_weights) == pytest.approx(1, abs=1e-3)
        assert max(abs(value) for value in answer.noise) <= 2


async def test_an_own_engine_is_served_beside_the_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"name": name, "theme": name, "arousal": a, "valence": 0} for name, a in (("storm", 0.6), ("pond", -0.6))]
    (tmp_path / "dreams_concepts.json").write_text(json.dumps({"engine": "dreams", "concepts": rows}))
    monkeypatch.setenv("DEEPSING_TRANSLATOR_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("DEEPSING_TRANSLATOR_JUDGE", "off")
    server = GrpcServer(SERVICE, ServerSettings(port=0))
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = Stub(channel)
        listed = (await stub.ListTranslators(translator_pb2.ListTranslatorsRequest())).translators
        calm = await stub.Translate(request(translator="dictionary", engine="dreams"))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Translate(request(translator="view-1", engine="dreams"))
    await server.drain(0)
    assert {one.engine for one in listed} == {"canvas", "dreams"}
    assert [(one.name, one.engine) for one in listed[-2:]] == [("dictionary", "dreams"), ("original", "dreams")]
    assert list(calm.class_weights) == [0, 1]
    assert "'view-1'; choose one of dreams: dictionary, original" in (refused.value.details() or "")


@pytest.mark.parametrize(("variable", "value"), [("ENGINE", "dreams"), ("DEFAULT", "guess")])
async def test_a_default_that_is_not_there_is_refused_at_start(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"DEEPSING_TRANSLATOR_{variable}", value)
    with pytest.raises(SettingsError, match=f"DEEPSING_TRANSLATOR_{variable} is '{value}'; choose one of: "):
        await SERVICE.open()


def feeling(arousal: float, valence: float = 0.0) -> sentiment_pb2.Sentiment:
    return sentiment_pb2.Sentiment(arousal=arousal, valence=valence)


REFUSALS = [
    ({"translator": "x"}, "TRANSLATOR_UNKNOWN", "translator", "translator is 'x'; choose one of canvas: dictionary"),
    ({"engine": "dalle"}, "ENGINE_UNKNOWN", "engine", "engine is 'dalle'; choose one of: canvas"),
    ({"sentiments": []}, "BATCH_EMPTY", "sentiments", "the batch is empty; send at least 1"),
    ({"sentiments": [CALM] * 1025}, "BATCH_TOO_LARGE", "sentiments", "has 1025 sentiments; send at most 1024"),
    (
        {"sentiments": [CALM, feeling(math.nan)]},
        "SENTIMENT_OUT_OF_RANGE",
        "sentiments[1].arousal",
        "is nan; send -1 to",
    ),
    (
        {"sentiments": [feeling(0, 1.5)]},
        "SENTIMENT_OUT_OF_RANGE",
        "sentiments[0].valence",
        "valence of sentiment 0 is 1.5",
    ),
    ({"sentiments": [feeling(-math.inf)]}, "SENTIMENT_OUT_OF_RANGE", "sentiments[0].arousal", "is -inf"),
    ({"recent_concepts": [3, 900]}, "CONCEPT_UNKNOWN", "recent_concepts", "concept is 900; choose 0 to 336"),
    ({"recent_concepts": [0] * 65}, "CONCEPT_UNKNOWN", "recent_concepts", "has 65 concepts; send the latest 64"),
    ({"allowed_concepts": [0, 1, 337]}, "CONCEPT_UNKNOWN", "allowed_concepts", "concept is 337; choose 0 to 336"),
    ({"allowed_concepts": [0] * 338}, "CONCEPT_UNKNOWN", "allowed_concepts", "has 338 concepts; the engine has 337"),
    (
        {"allowed_concepts": [7, 7, 8]},
        "CONCEPTS_TOO_FEW",
        "allowed_concepts",
        "has 2 different concepts; send at least 3",
    ),
]


@pytest.mark.parametrize(("fields", "reason", "field", "said"), REFUSALS)
async def test_a_broken_rule_is_refused_with_reason_rule_value_and_way_out(
    stub: Stub, fields: dict[str, object], reason: str, field: str, said: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Translate(request(**fields))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in (refused.value.details() or "")
    given_reason, metadata = parse_error_info(refused.value)
    assert given_reason == reason
    assert metadata["field"] == field
