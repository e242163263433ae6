"""The composer's face on the wire for stories that are told while nobody waits."""

from __future__ import annotations

import asyncio
import hashlib
import re
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import grpc

from deepsing.access.accounts import caller_account
from deepsing.v1 import composer_pb2 as pb
from services.composer.peers import Peers
from services.composer.plan import plan_of
from services.composer.scratch import Scratch
from services.composer.settings import ComposerSettings
from services.composer.spool import Spool
from services.composer.stored.answers import story_message, with_links
from services.composer.stored.creation import ClaimedKey, key_of, written
from services.composer.stored.lease import Shelf
from services.composer.stored.record import Record, owner_tag
from services.composer.stored.refusals import answering, page_invalid, stories_off, story_unknown
from services.composer.stored.store import Conflict, Missing, StoreError
from services.composer.stored.stores import store_at
from services.composer.stored.twins import content_digest, pcm_digest, stored_config
from services.composer.stored.worker import Worker
from services.composer.uploading import config_in, next_of, receive_song

__all__ = ["StoriesServicer"]

STORY_ID = re.compile(r"[0-9a-f]{32}")
PAGE, LARGEST_PAGE = 50, 100
WATCH_EVERY_S, WATCH_BEAT_S = 1.0, 10.0


class StoriesServicer:
    """Implements the RPCs of stored stories; made within a running event loop.

    Raises:
        StoreError: the settings name a store that cannot be used.
    """

    settings: ComposerSettings
    peers: Peers
    scratch: Scratch

    def open_stories(self) -> None:
        """Opens the store of the settings, if they name one, and begins to tell its stories."""
        self.shelf: Shelf | None = None
        if self.settings.store:
            self.shelf = Shelf(store_at(self.settings))
            self.worker = Worker(self.settings, self.peers, self.shelf, self.scratch.path)

    async def close_stories(self) -> None:
        """Leaves the stories under way to other composers."""
        if self.shelf is not None:
            await self.worker.close()
            self.shelf.close()

    async def CreateStory(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.CreateStoryRequest], context: grpc.aio.ServicerContext
    ) -> pb.CreateStoryResponse:
        """See the contract."""
        shelf, owner = self._opened(), _owner()
        incoming = aiter(request_iterator)
        first = await next_of(incoming, self.settings.upload_stall_s) or pb.CreateStoryRequest()
        config, key = stored_config(config_in(first)), key_of(first.idempotency_key)
        plan = plan_of(config)
        with tempfile.TemporaryDirectory(dir=self.scratch.path) as folder, answering():
            spool = Spool(Path(folder) / "song", self.settings.max_song_bytes)
            try:
                await receive_song(incoming, spool, self.settings.upload_stall_s)
            finally:
                spool.close()
            request = hashlib.sha256(config.SerializeToString(deterministic=True) + spool.digest.encode()).hexdigest()
            claimed = ClaimedKey(shelf, owner, key, request)
            if story_id := await claimed.story_id():
                with suppress(Missing):  # it was claimed, and then its composer was lost
                    record, _ = await shelf.record(f"records/{owner}/{story_id}")
                    return pb.CreateStoryResponse(story=await self._story(record), existed=True)
            pcm = await asyncio.to_thread(pcm_digest, spool.path, plan)
            story_id = (await content_digest(config, plan, pcm, self.peers))[:32]
            now = time.time()
            song = f"stories/{owner}/{story_id}/song-{spool.digest}"
            wanted = Record(
                story_id, owner, "QUEUED", config.SerializeToString(), song, now, now + self.settings.story_ttl_s
            )
            await claimed.claim(story_id)
            try:
                record, existed = await written(shelf, wanted, spool.path, lambda: self.worker.admit(wanted))
            except StoreError:
                self.worker.accounts.pop(wanted.name, None)
                raise
        self.worker.wake()
        return pb.CreateStoryResponse(story=await self._story(record), existed=existed)

    async def GetStory(  # noqa: N802 - the contract's name
        self, request: pb.GetStoryRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetStoryResponse:
        """See the contract."""
        with answering():
            return pb.GetStoryResponse(story=await self._story(await self._record(request.story_id)))

    async def ListStories(  # noqa: N802 - the contract's name
        self, request: pb.ListStoriesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListStoriesResponse:
        """See the contract."""
        shelf, prefix = self._opened(), f"records/{_owner()}/"
        size, token = request.page_size or PAGE, request.page_token
        if size > LARGEST_PAGE:
            raise page_invalid(f"page_size is {size}; choose 1 to {LARGEST_PAGE}", "page_size", size)
        if token and not STORY_ID.fullmatch(token):
            raise page_invalid("page_token is none of ours; send the one of the page before", "page_token", token)
        answer = pb.ListStoriesResponse()
        with answering():
            names = [name for name, _ in await shelf.names(prefix, prefix + token if token else "")]
            for name in names[:size]:
                try:
                    record, _ = await shelf.record(name)
                except Missing:  # deleted meanwhile
                    continue
                answer.stories.append(story_message(record))
        if len(names) > size:
            answer.next_page_token = names[size - 1].removeprefix(prefix)
        return answer

    async def CancelStory(  # noqa: N802 - the contract's name
        self, request: pb.CancelStoryRequest, context: grpc.aio.ServicerContext
    ) -> pb.CancelStoryResponse:
        """See the contract."""
        shelf = self._opened()
        with answering():
            while True:
                record = await self._record(request.story_id)
                if record.ended:
                    return pb.CancelStoryResponse(story=await self._story(record))
                record, version = await shelf.record(record.name)
                now = time.time()
                try:
                    ended = {"ended_s": now, "expires_s": now + self.settings.story_ttl_s}
                    record = await shelf.change(record, version, state="CANCELLED", holder="", **ended)
                except Conflict:  # its composer has just written: look again
                    continue
                self.worker.stop(record.name)
                return pb.CancelStoryResponse(story=story_message(record))

    async def WatchStory(  # noqa: N802 - the contract's name
        self, request: pb.WatchStoryRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchStoryResponse]:
        """See the contract."""
        said, said_at = None, 0.0
        while True:
            with answering():
                record = await self._record(request.story_id)
                story = await self._story(record)
            news = (record.state, record.frames_done, record.frames_total, record.epoch)
            if news != said or time.monotonic() - said_at > WATCH_BEAT_S:
                said, said_at = news, time.monotonic()
                yield pb.WatchStoryResponse(story=story)
            if record.ended:
                return
            await asyncio.sleep(WATCH_EVERY_S)

    def _opened(self) -> Shelf:
        if self.shelf is None:
            raise stories_off()
        return self.shelf

    async def _record(self, story_id: str) -> Record:
        """A story of the caller's. Raises STORY_NOT_FOUND."""
        shelf = self._opened()
        if not STORY_ID.fullmatch(story_id):
            raise story_unknown(story_id)
        try:
            return (await shelf.record(f"records/{_owner()}/{story_id}"))[0]
        except Missing:
            raise story_unknown(story_id) from None

    async def _story(self, record: Record) -> pb.Story:
        """A story with links to its files."""
        return await with_links(record, self._opened(), self.settings.link_s)


def _owner() -> str:
    account = caller_account.get()
    return owner_tag(account.name if account else "")
