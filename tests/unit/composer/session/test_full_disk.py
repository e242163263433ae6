"""A disk that is full or broken is told as such, ends at once, and costs no place; a cut upload is no whole song."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from deepsing.v1 import composer_pb2 as pb
from services.composer.output.manifest import ManifestWriter
from services.composer.session import session
from tests.unit.composer.fakes import Stage, config, pcm, stage, upload
from tests.unit.composer.session.test_session import compose_all, expect_refusal, only

SOON_S = 10.0


def fail(number: int) -> Any:
    def raise_error(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number), "/secret")

    return raise_error


async def expect_reason(composer: Stage, reason: str, code: grpc.StatusCode, **fields: Any) -> None:
    async with asyncio.timeout(SOON_S):
        call = composer.stub.Compose(upload(config(**fields), pcm(6.3)))
        assert (await expect_refusal(call))[:2] == (code, reason)
    assert composer.servicer.sessions == 0
    assert [path.name for path in composer.servicer.resources.scratch.path.iterdir() if "held" not in path.name] == []


@pytest.mark.parametrize(
    ("place", "number", "reason", "code"),
    [
        ((os, "pwrite"), errno.ENOSPC, "DISK_FULL", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ((os, "pwrite"), errno.EDQUOT, "DISK_FULL", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ((os, "pread"), errno.EIO, "DISK_FAILED", grpc.StatusCode.UNAVAILABLE),
        ((session.tempfile, "mkdtemp"), errno.ENOSPC, "DISK_FULL", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ((session.tempfile, "mkdtemp"), errno.EMFILE, "FILES_EXHAUSTED", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ((ManifestWriter, "add"), errno.ENOSPC, "DISK_FULL", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=lambda one: getattr(one, "name", None) or str(one),
)
async def test_the_caller_learns_why_and_the_next_one_is_served(
    monkeypatch: pytest.MonkeyPatch, place: tuple[Any, str], number: int, reason: str, code: grpc.StatusCode
) -> None:
    async with stage(max_sessions=1) as composer:
        with monkeypatch.context() as broken:
            broken.setattr(*place, fail(number))
            await expect_reason(composer, reason, code, files=[pb.STORY_FILE_KIND_MANIFEST])
        assert only(await compose_all(composer.stub, config()), "session_end")[0].frame_count == 151


async def test_an_upload_that_is_broken_off_is_never_held_as_a_whole_song() -> None:
    async with stage() as composer:
        for _ in range(8):
            sent = asyncio.Event()

            async def half(sent: asyncio.Event = sent) -> AsyncIterator[pb.ComposeRequest]:
                async for request in upload(config(), pcm(6.3)):
                    if request.WhichOneof("payload") != "end_of_audio":
                        yield request
                sent.set()
                await asyncio.Event().wait()

            call = composer.stub.Compose(half())
            reading = asyncio.create_task(_read(call))
            await sent.wait()
            await asyncio.sleep(0.05)
            call.cancel()
            await asyncio.wait({reading})
        async with asyncio.timeout(SOON_S):
            await composer.servicer.idle.wait()
        assert composer.servicer.resources.song_cache.total_bytes == 0


async def _read(call: Any) -> None:
    async for _ in call:
        pass
