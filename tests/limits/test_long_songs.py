"""Songs of four hours through Probe, which has the same limit as Compose but makes no frames."""

from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest

from deepsing.rpc.errors import parse_error_info
from deepsing.v1 import composer_pb2 as pb
from tests.encoding import wav
from tests.unit.composer.fakes import stage

RATE_HZ, CHUNK = 8000, 65_536


async def upload(seconds: int) -> AsyncIterator[pb.ProbeRequest]:
    """8-bit silence, generated while it is read."""
    yield pb.ProbeRequest(config=pb.StoryConfig())
    left = seconds * RATE_HZ
    yield pb.ProbeRequest(audio_chunk=wav(np.zeros((1, 0), "u1"), RATE_HZ, tag=1, data_size=left))
    while left:
        size = min(CHUNK, left)
        yield pb.ProbeRequest(audio_chunk=b"\x80" * size)
        left -= size


@pytest.mark.slow
async def test_four_hours_are_taken() -> None:
    async with stage() as composer:
        answer = await composer.stub.Probe(upload(4 * 3600))
        assert answer.song.duration_us == 4 * 3600 * 1_000_000


async def test_four_hours_and_a_second_are_refused() -> None:
    async with stage() as composer:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await composer.stub.Probe(upload(4 * 3600 + 1))
        assert parse_error_info(caught.value)[0] == "SONG_TOO_LONG"
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
