"""What a stand-in does: serves health on the port it is given, until SIGTERM.

STAND_IN_<NAME> changes that: "dies" ends at once, "deaf" ignores SIGTERM; on the composer "waits" never ends a story.
STAND_IN_NOTES is a folder that takes a file per service with its settings.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_health.v1.health_pb2 import HealthCheckResponse

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1.composer_pb2_grpc import add_ComposerServiceServicer_to_server
from deepsing.v1.generator_pb2 import Concept, Engine, GenerateRequest, GenerateResponse, ListConceptsResponse
from deepsing.v1.generator_pb2_grpc import GeneratorServiceServicer, add_GeneratorServiceServicer_to_server
from deepsing.v1.sentiment_pb2 import RATING_SOURCE_PEOPLE, Sentiment, Size
from tests.unit.client.fake_composer import FakeComposer, heartbeat, start_event, wait_for_hangup, whole_story


class Generator(GeneratorServiceServicer):
    async def ListConcepts(self, request: object, context: object) -> ListConceptsResponse:
        felt = Sentiment(arousal=-0.5, valence=0.75)
        lake = Concept(name="autumn lake", sentiment=felt, themes=["water", "woods"], rated_by=RATING_SOURCE_PEOPLE)
        engine = Engine(name="stand-in", native_size=Size(width_px=640, height_px=512))
        return ListConceptsResponse(engine=engine, concepts=[lake, Concept(name="[red] storm")])

    async def Generate(self, request: GenerateRequest, context: object) -> GenerateResponse:
        shades = [200 if request.class_weights[2 * row] else 100 for row in range(request.frame_count)]
        pixels = 3 * request.size.width_px * request.size.height_px
        return GenerateResponse(images=[bytes([shade]) * pixels for shade in shades])


def serve(name: str) -> None:
    mood = os.environ.get(f"STAND_IN_{name.upper()}", "")
    if notes := os.environ.get("STAND_IN_NOTES"):
        settings = {key: value for key, value in os.environ.items() if key.startswith("DEEPSING_")}
        Path(notes, f"{name}.json").write_text(json.dumps({"pid": os.getpid(), **settings}))
    if mood == "dies":
        sys.stdout.write(f"loading\n{json.dumps({'level': 'error', 'message': f'no model for {name}'})}\n")
        sys.exit(3)
    asyncio.run(_serve(name, mood))


async def _serve(name: str, mood: str) -> None:
    server = grpc.aio.server()
    answers = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(answers, server)
    if name == "composer":
        add_ComposerServiceServicer_to_server(_composer(mood), server)  # type: ignore[no-untyped-call]
    if name == "generator":
        add_GeneratorServiceServicer_to_server(Generator(), server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"127.0.0.1:{os.environ['DEEPSING_SERVER_PORT']}")
    await server.start()
    await answers.set("", HealthCheckResponse.SERVING)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set if mood != "deaf" else lambda: None)
    await stop.wait()
    await server.stop(None)


def _composer(mood: str) -> FakeComposer:
    if mood == "waits":
        return FakeComposer([start_event(), heartbeat(1, 24), wait_for_hangup])
    if mood == "refuses":
        return FakeComposer([InvalidArgument("the song is empty; send some", reason=reasons.ERROR_REASON_SONG_EMPTY)])
    return FakeComposer(whole_story())
