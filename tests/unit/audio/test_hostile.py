"""Files that want FFmpeg to open other files, connect to hosts, or take time and memory without end."""

import io
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deepsing.audio import AudioError, GrowingFile, decode_blocks, decoding
from deepsing.audio.allocations import limit_allocations
from deepsing.audio.view import FileView
from tests.encoding import encode, tone, wav
from tests.songs import make_song


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXTINF:9,\n{file}\n#EXT-X-ENDLIST\n",
    "hls_key": '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-KEY:METHOD=AES-128,URI="{url}"\n#EXTINF:9,\n{file}\n',
    "concat": "ffconcat version 1.0\nfile '{file}'\nfile '{url}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="audio/mp4"><Representation id="1" bandwidth="1"><BaseURL>{url}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "asx": '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
    "plain": "{file}\n{url}\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_opens_neither_files_nor_connections(kind: str, listener: socket.socket, tmp_path: Path) -> None:
    wanted = tmp_path / "secret.wav"
    wanted.write_bytes(wav(tone(1.0), 44_100, tag=3))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/song.mp3"
    song = PLAYLISTS[kind].format(url=url, file=wanted.as_uri()).encode()
    with pytest.raises(AudioError) as caught:
        list(decode_blocks(io.BytesIO(song)))
    assert caught.value.kind == "unreadable"
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_unreadable(seed: int) -> None:
    with pytest.raises(AudioError) as caught:
        list(decode_blocks(io.BytesIO(np.random.default_rng(seed).bytes(50_000))))
    assert caught.value.kind == "unreadable"


@pytest.mark.parametrize(
    "start", [b"ID3\x04\0\0", b"OggS", b"fLaC", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x20ftypM4A ", b"\xff\xfb"]
)
def test_a_right_beginning_makes_no_song_of_random_bytes(start: bytes) -> None:
    with pytest.raises(AudioError) as caught:
        list(decode_blocks(io.BytesIO(start + np.random.default_rng(7).bytes(50_000))))
    assert caught.value.kind in {"unreadable", "too_short"}


def test_ten_thousand_empty_ogg_links_end_soon() -> None:
    page = b"OggS\0\x02" + bytes(20) + b"\x01\x01x"
    data = b"OggS\0\0" + bytes(20) + b"\x01\x01x"
    begin = time.monotonic()
    with pytest.raises(AudioError):
        list(decode_blocks(io.BytesIO((page + data) * 10_000)))
    assert time.monotonic() - begin < 30


class Tape(io.RawIOBase):
    """A wav of zeros, made up while it is read."""

    def __init__(self, seconds: int, rate_hz: int) -> None:
        self._head = wav(np.zeros((1, 0), "<i2"), rate_hz, tag=1, data_size=seconds * rate_hz * 2)
        self._left = seconds * rate_hz * 2

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
            return piece
        piece = bytes(min(size, self._left))
        self._left -= len(piece)
        return piece


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("minutes", [10, *(pytest.param(long, marks=pytest.mark.slow) for long in (60, 180))])
def test_memory_stays_flat_over_hours(minutes: int) -> None:
    decoding = decode_blocks(Tape(minutes * 60, 8000))  # type: ignore[arg-type]
    for _ in range(100):
        next(decoding)
    before = resident_bytes()
    for _ in decoding:
        pass
    assert decoding.facts.duration_s == minutes * 60
    assert resident_bytes() - before < 8 << 20


@pytest.mark.parametrize("kind", ["memory", "path", "growing"])
def test_a_place_beyond_any_file_is_just_its_end(kind: str, tmp_path: Path) -> None:
    path, song = tmp_path / "song", b"x" * 2_000_000  # more than a growing file keeps in memory
    path.write_bytes(song)
    growing = GrowingFile()
    growing.append(song)
    growing.finish()
    with path.open("rb") as opened, growing:
        view = FileView({"memory": io.BytesIO(song), "path": opened, "growing": growing}[kind])
        for place in (2**43, 2**62, 2**63 - 1):
            view.seek(place)
            assert view.read(100) == b""
        assert view.seek(-1, io.SEEK_END) == len(song) - 1
        assert (view.read(100), view.error) == (b"x", None)


def test_a_stream_that_appears_on_the_way_does_not_end_the_song() -> None:
    song = encode(tone(2.0), 44_100, "flv", "aac")
    picture = b"\x12" + bytes(20)
    tag = b"\x09" + len(picture).to_bytes(3, "big") + bytes(7) + picture + (11 + len(picture)).to_bytes(4, "big")
    with GrowingFile(live=True) as live:
        live.append(song + tag)
        live.finish()
        decoding = decode_blocks(live)
        assert sum(map(len, decoding)) == decoding.facts.sample_count
    assert decoding.facts.duration_s == pytest.approx(2.0, abs=0.1)


def test_every_packet_is_a_chance_to_end(tmp_path: Path) -> None:
    path, calls = make_song(tmp_path, "flac"), []

    def pause() -> None:
        calls.append(1)
        if len(calls) == 20:
            raise TimeoutError("the caller left")

    with pytest.raises(TimeoutError, match="the caller left"):
        list(decode_blocks(path, pause=pause))
    assert len(calls) == 20


def test_a_pause_that_raises_while_the_file_is_read_is_no_damage(tmp_path: Path) -> None:
    def pause() -> None:
        raise TimeoutError("the caller left")

    for kind in ("flac", "cbr_mp3", "opus", "adts"):
        with pytest.raises(TimeoutError, match="the caller left"):
            list(decode_blocks(make_song(tmp_path, kind), pause=pause))


def test_samples_of_all_channels_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_VALUES", 100_000)
    path = tmp_path / "wide.wav"
    path.write_bytes(wav(np.zeros((6, 20_000), "<i2"), 48_000, tag=1))
    with pytest.raises(
        AudioError, match=r"more than 100000 samples of all channels \(6 channels of 48000 Hz\)"
    ) as caught:
        list(decode_blocks(path, min_duration_s=0.1))
    assert caught.value.kind == "too_large"


@pytest.mark.parametrize("mono", [True, False])
def test_blocks_of_many_channels_and_high_rates_stay_small(tmp_path: Path, *, mono: bool) -> None:
    path = tmp_path / "wide.wav"
    path.write_bytes(wav(np.zeros((32, 768_000), "<i2"), 768_000, tag=1))
    sizes = [block.size for block in decode_blocks(path, mono=mono)]
    assert max(sizes) <= 2**20
    assert sum(sizes) == 768_000 * (1 if mono else 32)


def test_pictures_before_the_sound_are_not_read_without_end(tmp_path: Path) -> None:
    song, picture = make_song(tmp_path, "flac").read_bytes(), bytes(2**24 - 100)
    block = b"\x06" + len(picture).to_bytes(3, "big") + picture
    path = tmp_path / "pictures.flac"
    path.write_bytes(song[:4] + b"\0" + song[5:42] + block * 5 + song[42:])
    with pytest.raises(AudioError, match="more than 64 MiB come before the sound"):
        list(decode_blocks(path))
    path.write_bytes(song[:4] + b"\0" + song[5:42] + block + song[42:])
    assert sum(map(len, decode_blocks(path))) == sum(map(len, decode_blocks(make_song(tmp_path, "flac"))))


def test_a_tag_of_any_size_takes_no_memory(tmp_path: Path) -> None:
    assert limit_allocations()
    size, song = 200 * 2**20, make_song(tmp_path, "cbr_mp3").read_bytes()
    seven_bits = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    whole = bytes((size + 10) >> shift & 127 for shift in (21, 14, 7, 0))
    path = tmp_path / "picture.mp3"
    with path.open("wb") as file:
        file.write(b"ID3\4\0\0" + whole + b"APIC" + seven_bits + b"\0\0\0image/jpeg\0\3\0")
        file.seek(20 + size)
        file.write(song)
    code = (
        "import resource, sys; from deepsing.audio import AudioError, decode_blocks\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: list(decode_blocks(sys.argv[1]))\n"
        "except AudioError: pass\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 40  # MiB
