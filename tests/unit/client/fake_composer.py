"""A composer that plays a script, on a port of its own."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from deepsing.rpc.errors import STATUS_DETAILS, ServiceError
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1.composer_pb2_grpc import ComposerServiceServicer, add_ComposerServiceServicer_to_server
from deepsing.v1.sentiment_pb2 import AffectPoint, FrameRate, Judge, JudgeAgreement, Size, SongFacts

CONTENTS = {
    pb.STORY_FILE_KIND_VIDEO: b"video" * 20_000,
    pb.STORY_FILE_KIND_MANIFEST: b'{"seed": 0}',
    pb.STORY_FILE_KIND_CONTACT_SHEET: b"sheet",
    pb.STORY_FILE_KIND_CURVE: b"curve",
}


@dataclass
class Call:
    """What one call brought, as it comes."""

    requests: list[pb.ComposeRequest] = field(default_factory=list)
    frames_sent: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # end_of_audio came
    closed: asyncio.Event = field(default_factory=asyncio.Event)  # the call is over, however
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def config(self) -> pb.StoryConfig:
        return self.requests[0].config

    @property
    def audio(self) -> bytes:
        return b"".join(request.audio_chunk for request in self.requests)

    @property
    def credit(self) -> int:
        return self.config.initial_credit + sum(request.credit for request in self.requests)


Step = pb.ComposeResponse | ServiceError | Callable[[Call], Any]
"""Something to send (a frame waits for credit), an end with an error, or something to await."""


class FakeComposer(ComposerServiceServicer):
    """Plays the first script to the first call, the second to the second, the last to all others."""

    def __init__(self, *scripts: list[Step]) -> None:
        self.scripts = scripts
        self.calls: list[Call] = []
        self.probe: pb.ProbeResponse | ServiceError = pb.ProbeResponse(frame_count=24)
        self.plan = pb.PlanStoryResponse()
        self.plan_config = pb.StoryConfig()
        self.probed = self.planned = b""
        self.reads_probes = True

    async def Probe(self, requests: Any, context: grpc.aio.ServicerContext) -> pb.ProbeResponse:
        if self.reads_probes:
            async for request in requests:
                self.probed += request.audio_chunk
        if isinstance(self.probe, ServiceError):
            await refuse(context, self.probe)
        return self.probe

    async def PlanStory(self, requests: Any, context: grpc.aio.ServicerContext) -> pb.PlanStoryResponse:
        self.plan_config, self.planned = (await anext(aiter(requests))).config, b""
        async for request in requests:
            self.planned += request.audio_chunk
        return self.plan

    async def Compose(self, requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[pb.ComposeResponse]:
        call = Call(requests=[await anext(aiter(requests))])
        script = self.scripts[min(len(self.calls), len(self.scripts) - 1)]
        self.calls.append(call)
        reading = asyncio.create_task(self.read(call, requests))
        try:
            for step in script:
                if isinstance(step, ServiceError):
                    await refuse(context, step)
                elif isinstance(step, pb.ComposeResponse):
                    await self.wait_for_credit(call, step)
                    yield step
                else:
                    await step(call)
        finally:
            reading.cancel()
            call.closed.set()

    @staticmethod
    async def read(call: Call, requests: Any) -> None:
        async for request in requests:
            async with call.changed:
                call.requests.append(request)
                call.changed.notify_all()
            if request.HasField("end_of_audio"):
                call.ended.set()

    @staticmethod
    async def wait_for_credit(call: Call, response: pb.ComposeResponse) -> None:
        if response.HasField("frame"):
            async with call.changed:
                await call.changed.wait_for(lambda: call.credit > call.frames_sent)
            call.frames_sent += 1


async def refuse(context: grpc.aio.ServicerContext, error: ServiceError) -> None:
    context.set_trailing_metadata(((STATUS_DETAILS, error.to_status().SerializeToString()),))
    await context.abort(error.code, str(error))


@asynccontextmanager
async def serve_composer(composer: FakeComposer, port: int = 0) -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_ComposerServiceServicer_to_server(composer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def wait_for_song_end(call: Call) -> None:
    await call.ended.wait()


async def wait_for_hangup(call: Call) -> None:
    await call.closed.wait()  # set when the caller is gone


def start_event(digest: str = "5702", *, song_held: bool = False) -> pb.ComposeResponse:
    return pb.ComposeResponse(
        session_started=pb.SessionStarted(
            session_id="s1",
            story_digest=digest,
            size=Size(width_px=256, height_px=256),
            frame_rate=FrameRate(numerator=24, denominator=1),
            song_held=song_held,
        )
    )


def frames(first: int, stop: int) -> list[Step]:
    return [
        pb.ComposeResponse(frame=pb.Frame(seq=seq, pts_us=seq * 41_667, image=bytes([seq % 256])))
        for seq in range(first, stop)
    ]


def points(count: int) -> list[Step]:
    return [pb.ComposeResponse(affect_point=AffectPoint(time_us=500_000 * k)) for k in range(count)]


def heartbeat(done: int, total: int) -> pb.ComposeResponse:
    return pb.ComposeResponse(heartbeat=pb.Heartbeat(phase=pb.PHASE_PAINTING, frames_done=done, frames_total=total))


def file_pieces(*kinds: int, spoil: int = 0) -> list[Step]:
    pieces: list[Step] = []
    for kind in kinds or tuple(CONTENTS):
        content = CONTENTS[kind]  # type: ignore[index]
        digest = hashlib.sha256(b"spoilt" if kind == spoil else content).hexdigest()
        for start in range(0, len(content), 65_536):
            last = start + 65_536 >= len(content)
            pieces.append(
                pb.ComposeResponse(
                    story_file_chunk=pb.StoryFileChunk(
                        kind=kind,  # type: ignore[arg-type]
                        data=content[start : start + 65_536],
                        last=last,
                        digest=digest if last else "",
                        offset_bytes=start,
                    )
                )
            )
    return pieces


def end_event(frame_count: int = 24) -> pb.ComposeResponse:
    return pb.ComposeResponse(
        session_end=pb.SessionEnd(
            frame_count=frame_count,
            duration_us=1_000_000,
            song=SongFacts(duration_us=1_000_000, codec="mp3"),
            frames_digest="f4a3",
            arousal=pb.Agreement(r=0.97, ccc=0.95, rmse=0.05, n=24),
            valence=pb.Agreement(r=0.96, ccc=0.94, rmse=0.06, n=24),
            achieved=pb.Achievement(
                arousal=pb.Agreement(r=0.51, ccc=0.4, rmse=0.2, n=2),
                valence=pb.Agreement(r=0.42, ccc=0.3, rmse=0.3, n=2),
                judge=Judge(digest="ee", arousal=JudgeAgreement(r=0.7, n=900), valence=JudgeAgreement(r=0.6, n=900)),
                missed_count=1,
            ),
            warnings=["1 of 3 pictures were not read: the judge is too slow"],
        )
    )


def whole_story() -> list[Step]:
    return [start_event(), wait_for_song_end, heartbeat(12, 24), *file_pieces(), end_event()]
