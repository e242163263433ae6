"""A song that was cut off is noticed by what its header promises; a whole one is never called cut."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest

from deepsing.audio import GrowingFile, SongFacts, decode_blocks
from deepsing.audio.lengths import LONGEST_S, PromisedLength
from deepsing.audio.spans import find_span
from deepsing.audio.view import FileView
from tests.encoding import encode, tone, wav

RATE_HZ = 44_100
LENGTH_S = 3.0


def facts_of(data: bytes, *, live: bool = False) -> SongFacts:
    with GrowingFile(live=live) as file:
        file.append(data)
        file.finish()
        decoding = decode_blocks(file)
        list(decoding)
        return decoding.facts


def kinds_of(facts: SongFacts) -> set[str]:
    return {warning.kind for warning in facts.warnings}


def make(container: str, codec: str, **how: object) -> Callable[[], bytes]:
    return lambda: encode(tone(LENGTH_S), RATE_HZ, container, codec, **how)  # type: ignore[arg-type]


def adpcm_with_nominal_byte_rate() -> bytes:
    data = bytearray(make("wav", "adpcm_ima_wav")())
    struct.pack_into("<I", data, data.index(b"fmt ") + 16, 16_000)
    return bytes(data)


UNIFORM = {
    "wav": make("wav", "pcm_s16le"),
    "rf64": make("wav", "pcm_s16le", options={"rf64": "always"}),
    "wav with a large LIST": make("wav", "pcm_s16le", tags={"title": "x" * 90_000}),
    "adpcm": adpcm_with_nominal_byte_rate,
    "mp3 in wav": make("wav", "libmp3lame"),
    "w64": make("w64", "pcm_s16le"),
    "adpcm w64": make("w64", "adpcm_ms"),
    "au": make("au", "pcm_s16be"),
    "mu-law au": make("au", "pcm_mulaw"),
    "caf": make("caf", "pcm_s16be"),
    "aiff": make("aiff", "pcm_s16be"),
}
MIXED = {
    "avi": make("avi", "libmp3lame", video=True),
    "mkv": make("matroska", "libmp3lame", video=True),
    "flv": make("flv", "libmp3lame"),
    "wma": make("asf", "wmav2", bit_rate=128_000),
}
CODED = {"mp3": make("mp3", "libmp3lame"), "flac": make("flac", "flac"), "tta": make("tta", "tta")}


@pytest.mark.parametrize("kind", UNIFORM | MIXED | CODED)
def test_a_whole_song_is_not_called_cut(kind: str) -> None:
    facts = facts_of((UNIFORM | MIXED | CODED)[kind]())
    assert facts.duration_s == pytest.approx(LENGTH_S, abs=0.1)
    assert facts.warnings == ()


@pytest.mark.parametrize("kind", UNIFORM)
def test_half_a_song_says_how_long_it_was_to_be(kind: str) -> None:
    data = UNIFORM[kind]()
    begin = max(data.index(b"data"), 0) if b"data" in data else 100
    facts = facts_of(data[: (begin + len(data)) // 2])
    (warning,) = [one for one in facts.warnings if one.kind == "TRUNCATED"]
    said, found = (float(word) for word in warning.message.replace("s,", "").split() if word[0].isdigit())
    assert said == pytest.approx(LENGTH_S, abs=0.15)
    assert found == pytest.approx(facts.duration_s, abs=0.06) == pytest.approx(LENGTH_S / 2, abs=0.15)


@pytest.mark.parametrize("kind", MIXED | CODED)
def test_half_a_film_and_half_a_coded_song_are_called_cut(kind: str) -> None:
    data = (MIXED | CODED)[kind]()
    assert "TRUNCATED" in kinds_of(facts_of(data[: len(data) // 2]))


@pytest.mark.parametrize("kind", ["wav", "rf64", "w64", "au", "caf", "adpcm"])
def test_a_live_song_that_cannot_be_sought_in_is_told_alike(kind: str) -> None:
    data = UNIFORM[kind]()
    assert kinds_of(facts_of(data, live=True)) == set()
    assert kinds_of(facts_of(data[: len(data) // 2], live=True)) == {"TRUNCATED"}


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_placeholder_promises_nothing(size: int) -> None:
    samples = (tone(LENGTH_S) * 32767).astype("<i2")
    assert facts_of(wav(samples, RATE_HZ, tag=1, data_size=size)).warnings == ()


def test_half_a_second_of_an_hour_is_missed_where_bytes_say_it() -> None:
    hour = PromisedLength(span=(44, 44 + 3600 * 1000))
    assert hour.find_promised_s(3599.0, 44 + 3599 * 1000) == pytest.approx(3600.0)
    assert hour.find_promised_s(3599.8, 44 + 3599_800) is None


def test_seconds_and_bytes_of_a_header_must_agree_that_something_is_missing() -> None:
    assert PromisedLength(20.0, (0, 2000)).find_promised_s(10.0, 1000) == 20.0
    assert PromisedLength(20.0, (0, 1000)).find_promised_s(10.0, 1000) is None
    assert PromisedLength(10.0, (0, 2000)).find_promised_s(10.0, 1000) is None
    assert PromisedLength(20.0).find_promised_s(10.0, 1000) == 20.0


@pytest.mark.parametrize("seconds", [LONGEST_S + 1, -1.0, float("nan"), float("inf")])
def test_seconds_out_of_reason_promise_nothing(seconds: float) -> None:
    assert PromisedLength(seconds).find_promised_s(10.0, 1000) is None


@pytest.mark.parametrize("frames", [0xFFFFFFFF, 0x7FFFFFFF, 1_000_000, 1, 0])
def test_a_count_of_frames_that_its_bytes_contradict_is_not_believed(frames: int) -> None:
    song = bytearray(CODED["mp3"]())
    tag = max(song.find(b"Xing"), song.find(b"Info"))
    struct.pack_into(">I", song, tag + 8, frames)
    facts = facts_of(bytes(song))
    assert kinds_of(facts) == set()
    assert facts.duration_s == pytest.approx(LENGTH_S, abs=0.06)


def test_a_count_of_samples_beyond_a_day_is_not_believed() -> None:
    song = bytearray(CODED["flac"]())
    song[21] |= 0x0F
    song[22:26] = b"\xff" * 4  # the 36 bits of STREAMINFO's count
    assert kinds_of(facts_of(bytes(song))) == set()


@pytest.mark.parametrize("name", ["aiff", "asf", "au", "avi", "caf", "flv", "matroska,webm", "mp3", "w64", "wav"])
@pytest.mark.parametrize("seed", range(5))
def test_any_bytes_as_a_header_are_read_in_bounded_time(name: str, seed: int) -> None:
    junk = np.random.default_rng(seed).bytes(3000)
    magic = {"wav": b"RF64\0\0\0\0WAVE", "avi": b"RIFF", "caf": b"caff", "au": b".snd"}.get(name, b"")
    for data in (junk, magic + junk, magic + bytes(3000), magic, magic + b"\xff" * 3000):
        span = find_span(name, FileView(io.BytesIO(data)))
        assert span is None or 0 <= span[0] < span[1]


def test_where_the_sound_lies_is_exact() -> None:
    whole = wav(np.zeros((1, 500), "<i2"), 8000, tag=1)
    assert find_span("wav", FileView(io.BytesIO(whole[:60]))) == (44, 1044)


def test_a_silent_stream_of_several_says_that_there_are_others() -> None:
    two = encode_two_streams()
    (warning,) = facts_of(two).warnings
    assert (warning.kind, "one of the file's 2 streams" in warning.message) == ("SILENT", True)


def encode_two_streams() -> bytes:
    """An m4a whose first stream is silent and whose second is not."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as muxer:
        streams = [muxer.add_stream("aac", rate=RATE_HZ, layout="stereo") for _ in range(2)]
        for stream, level in zip(streams, (0.0, 0.3), strict=True):
            frame = av.AudioFrame.from_ndarray(tone(LENGTH_S, level=level), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE_HZ, 0
            muxer.mux([*stream.encode(frame), *stream.encode(None)])
    return out.getvalue()
