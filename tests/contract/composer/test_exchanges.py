"""Client and servicer keep to the same files; DEEPSING_REGENERATE=1 writes the composer's present messages to them."""

import os

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from deepsing.client import Client, DeepsingError, StoryOptions
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1.composer_pb2_grpc import add_ComposerServiceServicer_to_server
from tests.contract.composer.exchange import Exchange, Replayer, exchanges, play_to, rewrite
from tests.unit.composer.fakes import stage

EXCHANGES = exchanges()
each = pytest.mark.parametrize("exchange", EXCHANGES, ids=[exchange.name for exchange in EXCHANGES])
VARYING = {"session_id", "story_digest", "digests"}  # by the run, or by the models that stand behind


@each
async def test_the_client_keeps_to_the_file(exchange: Exchange) -> None:
    replayer, server = Replayer(exchange), grpc.aio.server()
    add_ComposerServiceServicer_to_server(replayer, server)  # type: ignore[no-untyped-call]
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    asked = exchange.asked or {}
    events, error = [], None
    async with Client(target, retries=0, credit_window=asked.get("window", 48)) as client:
        try:
            async for event in client.compose(exchange.song, StoryOptions(**asked.get("options", {}))):
                events.append(event)
        except DeepsingError as refusal:
            error = refusal
    await server.stop(None)
    assert replayer.surprises == []
    assert events == [getattr(response, response.WhichOneof("payload") or "") for response in exchange.responses]
    if error is None:
        assert exchange.code is grpc.StatusCode.OK
    else:
        assert (error.code, error.reason, error.message) == (exchange.code, exchange.reason, exchange.message)


@each
async def test_the_composer_keeps_to_the_file(exchange: Exchange) -> None:
    async with stage() as composer:
        came, code, reason = await play_to(composer.stub, exchange)
    assert (code, reason) == (exchange.code, exchange.reason)
    if code is grpc.StatusCode.OK and os.environ.get("DEEPSING_REGENERATE"):
        rewrite(exchange, came)
    elif code is grpc.StatusCode.OK:
        assert list_story_events(came) == list_story_events(exchange.responses)


def list_story_events(responses: list[pb.ComposeResponse]) -> list[dict[str, object]]:
    """All that must be the same each time, readings of the judge after the others: they come when it has read."""
    events = [normalize_response(response) for response in responses if is_story_event(response)]
    return sorted(events, key=lambda event: "achieved_point" in event)


def is_story_event(response: pb.ComposeResponse) -> bool:
    """Heartbeats come as time passes, not as the story goes."""
    return not response.HasField("heartbeat")


def normalize_response(response: pb.ComposeResponse) -> dict[str, object]:
    """What must be the same each time, pictures as their presence (their bytes are the image library's)."""
    said = MessageToDict(response, preserving_proto_field_name=True)
    for payload in said.values():
        for name in VARYING | {"frames_digest"}:
            payload.pop(name, None)
        if "image" in payload:
            payload["image"] = "a picture"
    return said
