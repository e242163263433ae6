"""Typical load on a composer, valid and invalid; each kind is one call or a few."""

__all__ = ["KINDS", "Caller"]

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc

from bench.songs import RATE_HZ, chords
from deepsing.client import Client, StoryOptions
from deepsing.rpc.errors import parse_error_info
from deepsing.rpc.workarounds import keep_status
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import sentiment_pb2
from deepsing.v1.composer_pb2_grpc import ComposerServiceStub
from tests.songs import SONGS, make_song

RAW = sentiment_pb2.AudioFormat(
    sample_format=sentiment_pb2.SAMPLE_FORMAT_S16LE, sample_rate_hz=RATE_HZ, channel_count=1
)
SIZE = sentiment_pb2.Size(width_px=128, height_px=128)
SHARE_S = 0.25  # of live audio in a chunk
CHUNK = int(RATE_HZ * SHARE_S) * 2
PLAYABLE = sorted(kind for kind, song in SONGS.items() if not song.error and song.duration_s >= 1)
REFUSED = sorted(kind for kind, song in SONGS.items() if song.error)
BAD_CONFIGS = (
    {"style": "no such style"},
    {"frame_rate": sentiment_pb2.FrameRate(numerator=240, denominator=1)},
    {"sentiment_mode": 99},
    {"title": "x" * 201},
    {"resume": pb.ResumePoint(story_digest="00", next_seq=3)},
)


class Caller:
    """A caller of the composer.

    Args:
        target: of the composer.
        folder: for songs and stories.
        seed: decides songs and options.
    """

    def __init__(self, target: str, folder: Path, seed: int) -> None:
        self.choose = random.Random(seed)
        self.folder = folder
        self.client = Client(target, retries=0)
        self.channel = grpc.aio.insecure_channel(target)
        self.stub = ComposerServiceStub(self.channel)
        self.sound = chords(4.0)[0].tobytes()

    async def close(self) -> None:
        """Closes its connection."""
        await self.channel.close()

    def _song(self, kinds: list[str]) -> Path:
        folder = self.folder / str(self.choose.randrange(10**9))
        folder.mkdir()
        return make_song(folder, self.choose.choice(kinds))

    async def render(self) -> None:
        """A story with all its files."""
        options = StoryOptions(
            fps=self.choose.choice([6, 12]),
            size=(128, 128),
            seed=self.choose.randrange(100),
            style=self.choose.choice(["none", "none", "none", "auto"]),
            mode=self.choose.choice(["absolute", "relative", "adaptive"]),
        )
        async with self.client as client:
            await client.render(self._song(PLAYABLE), self.folder / f"{self.choose.randrange(10**9)}.mp4", options)

    async def render_in_one(self) -> None:
        """A story by Render, the song in one message."""
        song = (await asyncio.to_thread(self._song(PLAYABLE).read_bytes))[:3_000_000]
        config = pb.StoryConfig(frame_rate=sentiment_pb2.FrameRate(numerator=6, denominator=1), size=SIZE)
        async for _ in self.stub.Render(pb.RenderRequest(config=config, song=song), timeout=120):
            pass

    async def probe(self) -> None:
        """A song by Probe."""
        async with self.client as client:
            await client.probe(self._song(PLAYABLE))

    async def send_bad_song(self) -> None:
        """An invalid song, by Probe and by Compose."""
        song = await asyncio.to_thread(self._song(REFUSED).read_bytes)
        probe = self.stub.Probe(_iter_probe_requests(song), timeout=60)
        await _expect_refusal(probe)
        await _expect_refusal(_read_all(self._compose(self._config(), [song])))

    async def send_bad_config(self) -> None:
        """A config that breaks a rule."""
        config = self._config(**self.choose.choice(BAD_CONFIGS))
        await _expect_refusal(_read_all(self._compose(config, [self.sound[:100_000]])))

    async def compose_live(self) -> None:
        """Two to four seconds of live audio; its responses are read at once."""
        await _read_all(self._compose(self._config(live=True, initial_credit=10_000), self._microphone()))

    async def compose_slow_live(self) -> None:
        """The same with credit for four frames: most frames are dropped."""
        await _read_all(self._compose(self._config(live=True, initial_credit=4), self._microphone()))

    async def read_slowly(self) -> None:
        """A whole song, read slowly."""
        async for _ in self._compose(self._config(initial_credit=10_000), [self.sound]):
            await asyncio.sleep(0.05)

    async def cancel_midway(self) -> None:
        """A session cancelled halfway."""
        call = self._compose(self._config(initial_credit=10_000), [self.sound])
        most = self.choose.randrange(1, 30)
        async for _ in call:
            most -= 1
            if most == 0:
                call.cancel()
                return

    async def drop_sessions(self) -> None:
        """Ten sessions opened at once and dropped."""
        calls = [self._compose(self._config(), []) for _ in range(10)]
        await asyncio.gather(*(call.read() for call in calls))
        for call in calls:
            call.cancel()

    async def close_early(self) -> None:
        """An upload that half-closes without credit, so that no frame can ever be sent."""
        await _expect_refusal(_read_all(self._compose(self._config(initial_credit=1), [self.sound])))

    def _config(self, *, live: bool = False, **fields: object) -> pb.StoryConfig:
        usual: dict[str, object] = {
            "audio_format": RAW,
            "size": SIZE,
            "frame_rate": sentiment_pb2.FrameRate(numerator=6, denominator=1),
            "seed": self.choose.randrange(100),
            "pacing": pb.PACING_LIVE if live else pb.PACING_OFFLINE,
        }
        return pb.StoryConfig(**{**usual, **fields})  # type: ignore[arg-type]

    async def _microphone(self) -> AsyncIterator[bytes]:
        for first in range(0, self.choose.randrange(8, 17) * CHUNK, CHUNK):
            yield self.sound[first : first + CHUNK]
            await asyncio.sleep(SHARE_S)

    def _compose(self, config: pb.StoryConfig, sound: list[bytes] | AsyncIterator[bytes]):  # type: ignore[no-untyped-def]
        call = self.stub.Compose(_iter_compose_requests(config, sound), timeout=120)
        keep_status(call)
        return call


async def _iter_compose_requests(
    config: pb.StoryConfig, sound: list[bytes] | AsyncIterator[bytes]
) -> AsyncIterator[pb.ComposeRequest]:
    yield pb.ComposeRequest(config=config)
    pieces = _iter_pieces(sound) if isinstance(sound, list) else sound
    async for piece in pieces:
        for first in range(0, len(piece), 65_536):
            yield pb.ComposeRequest(audio_chunk=piece[first : first + 65_536])
    if sound == []:
        await asyncio.sleep(60)  # held open until it is dropped
    yield pb.ComposeRequest(end_of_audio=pb.EndOfAudio())


async def _iter_pieces(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _iter_probe_requests(song: bytes) -> AsyncIterator[pb.ProbeRequest]:
    yield pb.ProbeRequest(config=pb.StoryConfig())
    for first in range(0, len(song), 65_536):
        yield pb.ProbeRequest(audio_chunk=song[first : first + 65_536])


async def _read_all(call: AsyncIterator[pb.ComposeResponse]) -> None:
    async for _ in call:
        pass


async def _expect_refusal(call: Awaitable[object]) -> None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if not parse_error_info(error)[0]:
            raise
    else:
        raise AssertionError("what had to be refused was answered")


KINDS: dict[str, tuple[int, Callable[[Caller], Awaitable[None]]]] = {  # how often, what
    "render": (3, Caller.render),
    "render in one": (2, Caller.render_in_one),
    "live": (3, Caller.compose_live),
    "slow live": (2, Caller.compose_slow_live),
    "slow reader": (2, Caller.read_slowly),
    "probe": (4, Caller.probe),
    "refused song": (3, Caller.send_bad_song),
    "refused config": (3, Caller.send_bad_config),
    "cancelled": (4, Caller.cancel_midway),
    "dropped": (3, Caller.drop_sessions),
    "half-closed": (1, Caller.close_early),
}
