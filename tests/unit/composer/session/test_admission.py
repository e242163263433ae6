"""A session that cannot start is not counted as open."""

import errno

import grpc
import pytest

from services.composer.upload.song_file import SongFile
from tests.unit.composer.fakes import config, stage
from tests.unit.composer.session.test_session import compose_all, only


async def test_sessions_that_fail_for_want_of_disk_are_not_counted_as_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with stage(max_sessions=1) as composer:
        with monkeypatch.context() as full_disk:
            full_disk.setattr(SongFile, "__init__", fail)
            for _ in range(2):
                with pytest.raises(grpc.aio.AioRpcError):
                    await compose_all(composer.stub, config())
        assert (composer.servicer.sessions, composer.servicer.idle.is_set()) == (0, True)
        assert list(composer.servicer.resources.scratch.path.iterdir()) == []
        assert only(await compose_all(composer.stub, config()), "session_end")[0].frame_count == 151
