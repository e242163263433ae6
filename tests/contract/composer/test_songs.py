"""Every test song through the composer: probed, and rendered from start to end."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from deepsing.rpc.errors import parse_error_info
from deepsing.rpc.workarounds import keep_status
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import sentiment_pb2
from tests.songs import SONGS, make_song
from tests.unit.composer.fakes import Stage, stage

PLAYABLE = [kind for kind, song in SONGS.items() if not song.error]
REFUSED = [kind for kind, song in SONGS.items() if song.error]
FPS = 6
SMALL = pb.StoryConfig(
    frame_rate=sentiment_pb2.FrameRate(numerator=FPS, denominator=1),
    size=sentiment_pb2.Size(width_px=64, height_px=64),
    initial_credit=1000,
    image_format=sentiment_pb2.IMAGE_FORMAT_NONE,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def composer() -> AsyncIterator[Stage]:
    async with stage() as running:
        yield running


def pieces(path: Path) -> list[bytes]:
    song = path.read_bytes()
    return [song[first : first + 65_536] for first in range(0, len(song), 65_536)]


async def probe(composer: Stage, path: Path) -> pb.ProbeResponse:
    requests = [pb.ProbeRequest(config=SMALL), *(pb.ProbeRequest(audio_chunk=piece) for piece in pieces(path))]
    call = composer.stub.Probe(iter(requests))
    keep_status(call)
    answer: pb.ProbeResponse = await call
    return answer


@pytest.mark.parametrize("kind", PLAYABLE)
@pytest.mark.asyncio(loop_scope="module")
async def test_probe_says_how_long_a_song_is_and_what_is_odd_about_it(
    kind: str, composer: Stage, tmp_path: Path
) -> None:
    song = SONGS[kind]
    answer = await probe(composer, make_song(tmp_path, kind))
    assert answer.song.duration_us == pytest.approx(song.duration_s * 1e6, abs=song.tolerance_s * 1e6)
    prefix = "SONG_WARNING_KIND_"
    found = {sentiment_pb2.SongWarningKind.Name(warning.kind).removeprefix(prefix) for warning in answer.song.warnings}
    assert found == song.warnings
    assert answer.frame_count == pytest.approx(answer.song.duration_us * FPS / 1e6, abs=0.5001)


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.asyncio(loop_scope="module")
async def test_probe_refuses_a_song_with_the_reason_of_its_fault(kind: str, composer: Stage, tmp_path: Path) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await probe(composer, make_song(tmp_path, kind))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert parse_error_info(caught.value)[0] == f"SONG_{SONGS[kind].error.upper()}"


@pytest.mark.parametrize("kind", PLAYABLE)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_story_ends_with_its_song_within_half_a_frame(kind: str, composer: Stage, tmp_path: Path) -> None:
    path = make_song(tmp_path, kind)
    sound = [pb.ComposeRequest(audio_chunk=piece) for piece in pieces(path)]
    end = pb.ComposeRequest(end_of_audio=pb.EndOfAudio())
    call = composer.stub.Compose(iter([pb.ComposeRequest(config=SMALL), *sound, end]))
    *_, last = [response async for response in call]
    length_us = (await probe(composer, path)).song.duration_us
    assert last.session_end.frame_count / FPS == pytest.approx(length_us / 1e6, abs=0.5001 / FPS)
