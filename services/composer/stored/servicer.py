"""The RPCs of stored stories, which are made in the background."""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from deepsing.access.accounts import caller_account, caller_name
from deepsing.v1 import composer_pb2 as pb
from services.composer.backends.client import Backends
from services.composer.metrics import count_demand
from services.composer.session.config import FILE_KINDS, parse_config
from services.composer.session.receive import receive_next, receive_song, require_config
from services.composer.settings import ComposerSettings
from services.composer.stored.creation import ClaimedKey, create_or_get, parse_key
from services.composer.stored.errors import page_invalid_error, store_errors, stories_off_error, story_not_found_error
from services.composer.stored.folder import FolderStore
from services.composer.stored.identity import compute_content_digest, compute_pcm_digest, normalize_config
from services.composer.stored.queue import QueueError, open_queue
from services.composer.stored.record import Record, owner_tag
from services.composer.stored.store import AsyncStore, NotFound, Store, UnreadableRecord, VersionConflict
from services.composer.stored.upkeep import end_story
from services.composer.stored.worker import Worker
from services.composer.upload.resources import Resources

__all__ = ["StoriesServicer"]

STORY_ID = re.compile(r"[0-9a-f]{32}")
PAGE, LARGEST_PAGE = 50, 100  # stories per page of ListStories
_STATES = dict(pb.StoryState.items())
WATCH_EVERY_S, WATCH_HEARTBEAT_S = 1.0, 10.0
logger = logging.getLogger(__name__)


class StoriesServicer:
    """Implements the RPCs of stored stories. Create it in a running event loop: its worker begins at once.

    Args:
        resources: hold uploads and other temporary files.

    Attributes:
        store: as configured; None if there is none, and every RPC is refused with STORIES_OFF.

    Raises:
        StoreError, QueueError, SettingsError: the configured store or queue cannot be used.
    """

    def __init__(self, settings: ComposerSettings, backends: Backends, resources: Resources) -> None:
        self._settings, self._backends, self._resources = settings, backends, resources
        self.store: AsyncStore | None = None
        if settings.store:
            self.queue = open_queue(settings)
            store = _open_store(settings)
            self.store, self._work_store = AsyncStore(store), AsyncStore(store)  # callers do not hold up the work
            self.worker = Worker(settings, backends, self._work_store, self.queue, resources.scratch.path)

    async def close(self) -> None:
        """Stops making stories; other composers take them over."""
        if self.store is not None:
            await self.worker.close()
            self.store.close()
            self._work_store.close()
            await self.queue.close()

    async def CreateStory(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.CreateStoryRequest], context: grpc.aio.ServicerContext
    ) -> pb.CreateStoryResponse:
        """See the contract."""
        store, owner = self._require_store(), _caller_tag()
        incoming = aiter(request_iterator)
        first = await receive_next(incoming, self._settings.upload_stall_s) or pb.CreateStoryRequest()
        config, key = normalize_config(require_config(first)), parse_key(first.idempotency_key)
        plan = parse_config(config)
        with count_demand(), self._resources.open_song() as song_file, store_errors():
            await receive_song(incoming, song_file, self._settings.upload_stall_s)
            request = hashlib.sha256(
                config.SerializeToString(deterministic=True) + song_file.digest.encode()
            ).hexdigest()
            claimed = ClaimedKey(store, owner, key, request)
            if story_id := await claimed.story_id():
                with suppress(NotFound, UnreadableRecord):  # its composer died before it stored the story
                    record, _ = await store.read_record(f"records/{owner}/{story_id}")
                    return pb.CreateStoryResponse(story=await self._build_linked_story(record), existed=True)
            pcm = await self._resources.decode(lambda pause: compute_pcm_digest(song_file.path, plan, pause))
            story_id = (await compute_content_digest(config, plan, pcm, self._backends))[:32]
            now = time.time()
            song = f"stories/{owner}/{story_id}/song-{song_file.digest}"
            wanted = Record(
                story_id, owner, "QUEUED", config.SerializeToString(), song, now, now + self._settings.story_ttl_s
            )
            await claimed.claim(story_id, self.queue, self._settings.story_ttl_s)
            record, existed = await create_or_get(
                store, self.queue, wanted, song_file.path, self._settings.stories_waiting
            )
            if not existed:
                self.worker.accounts[wanted.name] = caller_account.get()
        self.worker.wake()
        return pb.CreateStoryResponse(story=await self._build_linked_story(record), existed=existed)

    async def GetStory(  # noqa: N802 - the contract's name
        self, request: pb.GetStoryRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetStoryResponse:
        """See the contract."""
        with store_errors():
            return pb.GetStoryResponse(
                story=await self._build_linked_story((await self._read_record(request.story_id))[0])
            )

    async def ListStories(  # noqa: N802 - the contract's name
        self, request: pb.ListStoriesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListStoriesResponse:
        """See the contract."""
        store, prefix = self._require_store(), f"records/{_caller_tag()}/"
        size, token = request.page_size or PAGE, request.page_token
        if size > LARGEST_PAGE:
            raise page_invalid_error(f"page_size is {size}; choose 1 to {LARGEST_PAGE}", "page_size", size)
        if token and not STORY_ID.fullmatch(token):
            raise page_invalid_error("page_token is invalid; send the last next_page_token", "page_token", token)
        answer = pb.ListStoriesResponse()
        with store_errors():
            names = await store.list_names(prefix, prefix + token if token else "", size + 1)
            for name in names[:size]:
                try:
                    record, _ = await store.read_record(name)
                except NotFound:  # deleted meanwhile
                    continue
                except UnreadableRecord as error:
                    logger.error("left out of a list: %s", error)
                    continue
                answer.stories.append(_build_story(record))
        if len(names) > size:
            answer.next_page_token = names[size - 1].removeprefix(prefix)
        return answer

    async def CancelStory(  # noqa: N802 - the contract's name
        self, request: pb.CancelStoryRequest, context: grpc.aio.ServicerContext
    ) -> pb.CancelStoryResponse:
        """See the contract."""
        store = self._require_store()
        with store_errors():
            while True:
                record, version = await self._read_record(request.story_id)
                if record.ended:
                    return pb.CancelStoryResponse(story=await self._build_linked_story(record))
                now = time.time()
                ended = {"ended_s": now, "expires_s": now + self._settings.story_ttl_s}
                try:
                    record = await store.replace_record(record, version, state="CANCELLED", **ended)
                except (VersionConflict, NotFound):  # its composer has just written: read the record again
                    continue
                self.worker.stop(record.name)
                with suppress(QueueError):  # whoever takes the story next finds that it has ended
                    await end_story(store, self.queue, record.name, self._settings.story_ttl_s)
                return pb.CancelStoryResponse(story=_build_story(record))

    async def WatchStory(  # noqa: N802 - the contract's name
        self, request: pb.WatchStoryRequest, context: grpc.aio.ServicerContext
    ) -> AsyncGenerator[pb.WatchStoryResponse]:
        """See the contract."""
        said, said_at = None, 0.0
        while True:
            with store_errors():
                record, _ = await self._read_record(request.story_id)
                story = await self._build_linked_story(record)
            news = (record.state, record.frames_done, record.frames_total, record.epoch)
            if news != said or time.monotonic() - said_at > WATCH_HEARTBEAT_S:
                said, said_at = news, time.monotonic()
                yield pb.WatchStoryResponse(story=story)
            if record.ended:
                return
            await asyncio.sleep(WATCH_EVERY_S)

    def _require_store(self) -> AsyncStore:
        if self.store is None:
            raise stories_off_error()
        return self.store

    async def _read_record(self, story_id: str) -> tuple[Record, str]:
        """The record of one of the caller's stories, and its version. Raises STORY_NOT_FOUND."""
        store = self._require_store()
        if not STORY_ID.fullmatch(story_id):
            raise story_not_found_error(story_id)
        try:
            return await store.read_record(f"records/{_caller_tag()}/{story_id}")
        except UnreadableRecord as error:
            logger.error("not shown: %s", error)
            raise story_not_found_error(story_id) from None
        except NotFound:
            raise story_not_found_error(story_id) from None

    async def _build_linked_story(self, record: Record) -> pb.Story:
        """A story with its files and a link to each. Raises StoreError."""
        store, link_s = self._require_store(), self._settings.link_s
        story = _build_story(record)
        for file in record.files:
            kind = pb.StoryFileKind.ValueType(file.kind)
            if kind not in FILE_KINDS:  # one of a later version
                continue
            until_us = round((time.time() + link_s) * 1e6)
            url = await store.call(store.blocking.link, file.name, FILE_KINDS[kind], link_s)
            story.files.add(
                kind=kind,
                byte_count=file.byte_count,
                digest=file.digest,
                url=url,
                expire_time_us=0 if url.startswith("file:") else until_us,
            )
        return story


def _caller_tag() -> str:
    return owner_tag(caller_name())


def _open_store(settings: ComposerSettings) -> Store:
    """Opens the store that the settings name. Raises StoreError."""
    if not settings.store.startswith("s3://"):
        return FolderStore(Path(settings.store))
    from services.composer.stored.s3_store import S3Store  # imports boto3, which is slow and only needed here

    parts = urlsplit(settings.store)
    prefix = parts.path.strip("/")
    return S3Store(parts.netloc, f"{prefix}/" if prefix else "", settings.store_endpoint)


def _build_story(record: Record) -> pb.Story:
    """The message of a story, without its files."""
    left = record.frames_total - record.frames_done
    known = record.state == "RUNNING" and record.frames_total and record.frames_per_s
    story = pb.Story(
        story_id=record.story_id,
        state=_STATES.get(f"STORY_STATE_{record.state}", pb.STORY_STATE_UNSPECIFIED),  # one of a later version
        frames_done=record.frames_done,
        frames_total=record.frames_total,
        remaining_us=round(left / record.frames_per_s * 1e6) if known else -1,
        create_time_us=round(record.created_s * 1e6),
        end_time_us=round(record.ended_s * 1e6),
        expire_time_us=round(record.expires_s * 1e6),
        title=pb.StoryConfig.FromString(record.config).title,
        attempt=record.epoch,
    )
    if record.error:
        story.error.code, story.error.reason, story.error.message = record.error
    return story
