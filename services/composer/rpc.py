"""The composer's gRPC servicer: each Compose or Render call is counted, gets an id, and runs as a Session."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import grpc

from deepsing.access.server_security import security_from_environment
from deepsing.audio import AudioError, SongFacts, decode_blocks
from deepsing.rpc.errors import InvalidArgument
from deepsing.runtime.admission import Shares, find_caller
from deepsing.runtime.fair_threads import Pause
from deepsing.runtime.server import Service
from deepsing.runtime.settings import SettingsError, settings_from_environment
from deepsing.telemetry.ids import session_id
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import composer_pb2_grpc
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.backends.client import Backends, call_deadline_s
from services.composer.session.config import parse_config
from services.composer.session.counting import count_session
from services.composer.session.messages import build_song_facts, convert_audio_error
from services.composer.session.patience import Method, await_answer
from services.composer.session.planning import plan_story
from services.composer.session.receive import receive_config, receive_song
from services.composer.session.session import Session
from services.composer.settings import PREFIX, ComposerSettings
from services.composer.stored.servicer import StoriesServicer
from services.composer.stored.store import StoreError
from services.composer.story.timeline import frame_count
from services.composer.upload.resources import Resources
from services.composer.upload.song_file import CHUNK_BYTES

__all__ = ["SERVICE", "ComposerServicer"]

RENDER_SONG_BYTES = 24 * 1024 * 1024  # largest song of a Render call
RETRY_AFTER_S = 10.0  # given to callers that are refused because too many sessions are open


class ComposerServicer(composer_pb2_grpc.ComposerServiceServicer):
    """Implements deepsing.v1.ComposerService. Create it in a running event loop."""

    def __init__(self, settings: ComposerSettings) -> None:
        self.settings = settings
        self.backends = Backends(settings)
        self.resources = Resources(settings)
        most = settings.max_sessions
        each = settings.max_sessions_per_caller or (3 * most + 3) // 4
        reason = reasons.ERROR_REASON_SESSIONS_EXHAUSTED
        self._shares = Shares(most, each, "sessions", reason, RETRY_AFTER_S)
        self.idle = asyncio.Event()  # set while no session is open
        self.idle.set()
        self.stories = StoriesServicer(settings, self.backends, self.resources)

    @property
    def sessions(self) -> int:
        """Sessions that are open."""
        return self._shares.count

    async def close(self) -> None:
        """Stops making stored stories (other composers take over), closes the channels, and removes temporary files."""
        await self.stories.close()
        await self.backends.close()
        self.resources.close()

    async def Compose(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.ComposeRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.ComposeResponse]:
        """See the contract."""
        _set_call_deadline(context)
        async with aclosing(self._run_session(request_iterator, context, unlimited=False)) as responses:
            async for response in responses:
                yield response

    async def Render(  # noqa: N802 - the contract's name
        self, request: pb.RenderRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.RenderResponse]:
        """See the contract."""
        if len(request.song) > RENDER_SONG_BYTES:
            message = f"the song has {len(request.song)} bytes; Render takes 24 MiB, Compose takes more"
            raise InvalidArgument(message, reason=reasons.ERROR_REASON_SONG_TOO_LARGE, field="song")
        _set_call_deadline(context)
        config = pb.StoryConfig()
        config.CopyFrom(request.config)
        config.ClearField("resume")
        upload = _split_upload(config, [request.song])
        del request  # it has the whole song
        async with aclosing(self._run_session(upload, context, unlimited=True)) as responses:
            async for response in responses:
                yield pb.RenderResponse(response=response)

    async def _run_session(
        self, requests: AsyncIterator[pb.ComposeRequest], context: grpc.aio.ServicerContext, *, unlimited: bool
    ) -> AsyncGenerator[pb.ComposeResponse]:
        with self._admit(context):
            session_id.set(uuid.uuid4().hex)
            session = Session(self.settings, self.backends, self.resources, session_id.get(), unlimited=unlimited)
            async with aclosing(count_session(session.run, requests)) as responses:
                async for response in responses:
                    yield response

    @contextmanager
    def _admit(self, context: grpc.aio.ServicerContext) -> Iterator[None]:
        """Counts a session while it is open. Raises ResourceExhausted SESSIONS_EXHAUSTED."""
        try:
            with self._shares.hold(*find_caller(context)):
                self.idle.clear()
                yield
        finally:
            if not self.sessions:
                self.idle.set()

    async def Probe(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.ProbeRequest], context: grpc.aio.ServicerContext
    ) -> pb.ProbeResponse:
        """See the contract."""
        incoming = aiter(request_iterator)
        plan = parse_config(await receive_config(incoming, self.settings.upload_stall_s))
        with self.resources.open_song() as song_file:
            try:
                await receive_song(incoming, song_file, self.settings.upload_stall_s)
                facts = await self.resources.decode(lambda pause: _decode_song(song_file.path, pause))
            except AudioError as error:
                raise convert_audio_error(error) from error
        part_us = max(0, facts.duration_us - plan.start_us)
        part_us = min(part_us, plan.duration_us) if plan.duration_us else part_us
        frames = frame_count(part_us, 1_000_000, plan.rate)
        return pb.ProbeResponse(
            song=build_song_facts(facts),
            frame_count=frames,
            generator_time_us=round(frames * self.backends.pace.frame_us),
            song_digest=song_file.digest,
        )

    async def PlanStory(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.PlanStoryRequest], context: grpc.aio.ServicerContext
    ) -> pb.PlanStoryResponse:
        """See the contract."""
        _set_call_deadline(context)
        with self._admit(context):
            session_id.set(uuid.uuid4().hex)
            return await plan_story(request_iterator, self.settings, self.backends, self.resources, session_id.get())

    async def CreateStory(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.CreateStoryRequest], context: grpc.aio.ServicerContext
    ) -> pb.CreateStoryResponse:
        """See the contract."""
        return await self.stories.CreateStory(request_iterator, context)

    async def GetStory(  # noqa: N802 - the contract's name
        self, request: pb.GetStoryRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetStoryResponse:
        """See the contract."""
        return await self.stories.GetStory(request, context)

    async def ListStories(  # noqa: N802 - the contract's name
        self, request: pb.ListStoriesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListStoriesResponse:
        """See the contract."""
        return await self.stories.ListStories(request, context)

    async def CancelStory(  # noqa: N802 - the contract's name
        self, request: pb.CancelStoryRequest, context: grpc.aio.ServicerContext
    ) -> pb.CancelStoryResponse:
        """See the contract."""
        return await self.stories.CancelStory(request, context)

    async def WatchStory(  # noqa: N802 - the contract's name
        self, request: pb.WatchStoryRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchStoryResponse]:
        """See the contract."""
        async with aclosing(self.stories.WatchStory(request, context)) as responses:
            async for response in responses:
                yield response

    async def Await(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.AwaitRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.AwaitResponse]:
        """See the contract."""
        calls: dict[str, Method] = {
            "probe": lambda requests: self.Probe(requests, context),
            "plan_story": lambda requests: self.PlanStory(requests, context),
            "create_story": lambda requests: self.CreateStory(requests, context),
        }
        stall_s, heartbeat_s = self.settings.upload_stall_s, self.settings.heartbeat_s
        async with aclosing(await_answer(request_iterator, calls, stall_s, heartbeat_s)) as responses:
            async for response in responses:
                yield response


def _set_call_deadline(context: grpc.aio.ServicerContext) -> None:
    """Applies the caller's deadline to all calls that the composer makes for this caller."""
    remaining_s = context.time_remaining()
    if remaining_s is not None:
        call_deadline_s.set(time.monotonic() + remaining_s)


def _decode_song(song: Path, pause: Pause) -> SongFacts:
    with decode_blocks(song, pause=pause) as decoding:
        for _ in decoding:
            pass
        return decoding.facts


async def _split_upload(config: pb.StoryConfig, songs: list[bytes]) -> AsyncIterator[pb.ComposeRequest]:
    """Config and song as Compose takes them; `songs` holds one song, which is taken out of it."""
    yield pb.ComposeRequest(config=config)
    song = songs.pop()
    for first in range(0, len(song), CHUNK_BYTES):
        yield pb.ComposeRequest(audio_chunk=song[first : first + CHUNK_BYTES])
    del song
    yield pb.ComposeRequest(end_of_audio=pb.EndOfAudio())


async def _open_servicer() -> ComposerServicer:
    settings = settings_from_environment(ComposerSettings, PREFIX)
    try:
        return ComposerServicer(settings)
    except StoreError as error:
        raise SettingsError(f"{PREFIX}STORE is {settings.store!r}, which cannot be used: {error}") from None


SERVICE = Service(
    name="composer",
    grpc_name="deepsing.v1.ComposerService",
    register=composer_pb2_grpc.add_ComposerServiceServicer_to_server,
    open=_open_servicer,
    protect=security_from_environment,
    large_methods=("Render",),
    largest_request_bytes=RENDER_SONG_BYTES + 2**20,  # a song just over the limit gets SONG_TOO_LARGE
)
