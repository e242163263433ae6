"""Songs that the product must survive, each with its right answer; made on the spot, importable by every tier."""

__all__ = ["SONGS", "Song", "make_song"]

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.encoding import encode, id3, tone, wav

CD_HZ = 44_100
OPUS_HZ = 48_000
INTEGER, FLOAT, A_LAW = 1, 3, 6  # format tags of wav
FASTSTART = {"movflags": "+faststart"}


@dataclass(frozen=True)
class Song:
    """How to make a song, and what must come of it.

    Attributes:
        make: gives the file's bytes.
        file_name: what the file is called.
        duration_s: length of what can be heard; 0 where the song is refused.
        tolerance_s: how far from that the decoded length may be.
        warnings: kinds of warnings, exactly these.
        error: AudioError.kind, "" where the song is playable.
        channel_count: what a playable song has.
    """

    make: Callable[[], bytes]
    file_name: str
    duration_s: float = 2.0
    tolerance_s: float = 1e-4
    warnings: frozenset[str] = frozenset()
    error: str = ""
    channel_count: int = 2


def make_song(folder: Path, kind: str) -> Path:
    """Writes SONGS[kind] into the folder, under its own name, and gives its path."""
    path = folder / SONGS[kind].file_name
    path.write_bytes(_make_bytes(kind))
    return path


@cache
def _make_bytes(kind: str) -> bytes:
    return SONGS[kind].make()


@cache
def _mp3() -> bytes:
    return encode(tone(2.0), CD_HZ, "mp3", "libmp3lame")


@cache
def _junk(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


def _samples(dtype: str, level: float = 0.3) -> npt.NDArray[Any]:
    sound = tone(2.0, level=level)
    if dtype == "u1":
        return (sound * 127 + 128).astype("u1")
    return (sound * 32767).astype("<i2") if dtype == "<i2" else sound.astype(dtype)


def _with_values(*values: float) -> bytes:
    sound = tone(2.0)
    sound[0, 1000 : 1000 + len(values)] = values
    return wav(sound, CD_HZ, tag=FLOAT)


def _damage(data: bytes, at: int, size: int = 200) -> bytes:
    return data[:at] + _junk(size) + data[at + size :]


def _without_channels(samples: npt.NDArray[Any], tag: int) -> bytes:
    song = wav(samples, CD_HZ, tag=tag)
    return song[:22] + bytes(2) + song[24:]  # the header's number of channels


def _tag_mp3(picture: bool = False) -> bytes:
    title = id3(b"TIT2", b"\xe9\xff\xfe\x80caf\xe9" + b"x" * 100_000 * picture)
    return title + _mp3()


def _song_to_refuse(error: str, file_name: str, make: Callable[[], bytes]) -> Song:
    return Song(make, file_name, 0.0, error=error)


def _song_with_warnings(*warnings: str, file_name: str, make: Callable[[], bytes], **answers: float) -> Song:
    return Song(make, file_name, warnings=frozenset(warnings), **answers)  # type: ignore[arg-type]


HEALTHY = {
    "mono": Song(lambda: encode(tone(2.0, channels=1), CD_HZ, "wav", "pcm_s16le"), "mono.wav", channel_count=1),
    "stereo": Song(lambda: wav(_samples("<i2"), CD_HZ, tag=INTEGER), "stereo.wav"),
    "cbr_mp3": Song(_mp3, "cbr.mp3"),
    "vbr_mp3": Song(lambda: encode(tone(2.0), CD_HZ, "mp3", "libmp3lame", quality=4), "vbr.mp3"),
    "a_law_8k": Song(lambda: encode(tone(2.0, 8000, 1), 8000, "wav", "pcm_alaw"), "phone.wav", channel_count=1),
    "s24_wav": Song(lambda: encode(tone(2.0), CD_HZ, "wav", "pcm_s24le"), "24 bit.wav"),
    "s32_wav": Song(lambda: encode(tone(2.0), CD_HZ, "wav", "pcm_s32le"), "32 bit.wav"),
    "f32_wav": Song(lambda: wav(_samples("<f4"), CD_HZ, tag=FLOAT), "float.wav"),
    "f64_wav": Song(lambda: wav(_samples("<f8"), CD_HZ, tag=FLOAT), "double.wav"),
    "u8_wav": Song(lambda: wav(_samples("u1"), CD_HZ, tag=INTEGER), "u8.wav"),
    "surround": Song(lambda: encode(tone(2.0, channels=6), CD_HZ, "flac", "flac"), "5.1.flac", channel_count=6),
    "flac": Song(lambda: encode(tone(2.0), CD_HZ, "flac", "flac"), "song.flac"),
    "opus": Song(lambda: encode(tone(2.0, OPUS_HZ), OPUS_HZ, "ogg", "libopus"), "song.opus"),
    "vorbis": Song(lambda: encode(tone(2.0), CD_HZ, "ogg", "vorbis"), "song.ogg", tolerance_s=0.01),
    "m4a": Song(lambda: encode(tone(2.0), CD_HZ, "ipod", "aac"), "song.m4a"),
    "alac": Song(lambda: encode(tone(2.0), CD_HZ, "ipod", "alac"), "lossless.m4a"),
    "adts": Song(lambda: encode(tone(2.0), CD_HZ, "adts", "aac"), "song.aac", tolerance_s=0.07),  # no length inside
    "wma": Song(lambda: encode(tone(2.0), CD_HZ, "asf", "wmav2", bit_rate=128_000), "song.wma", tolerance_s=0.05),
    "one_window": Song(lambda: wav(tone(0.5), CD_HZ, tag=FLOAT), "window.wav", 0.5),
    "one_sample_more": Song(lambda: wav(tone(22_051 / CD_HZ), CD_HZ, tag=FLOAT), "more.wav", 22_051 / CD_HZ),
    "film": Song(lambda: encode(tone(2.0), CD_HZ, "mp4", "aac", video=True), "film.mp4"),
    "cover_mp3": Song(lambda: encode(tone(2.0), CD_HZ, "mp3", "libmp3lame", picture=True), "cover.mp3"),
    "cover_m4a": Song(lambda: encode(tone(2.0), CD_HZ, "mp4", "aac", picture=True), "cover.m4a"),
    "webm_no_duration": Song(
        lambda: encode(tone(2.0, OPUS_HZ), OPUS_HZ, "webm", "libopus", pipe=True), "recorded.webm"
    ),
    "wav_4_gib": Song(lambda: wav(_samples("<i2"), CD_HZ, tag=INTEGER, data_size=0xFFFFFFFF), "4 GiB.wav"),
    "wav_0_bytes": Song(lambda: wav(_samples("<i2"), CD_HZ, tag=INTEGER, data_size=0), "0 bytes.wav"),
    "mp3_named_wav": Song(_mp3, "really an mp3.wav"),
    "non_utf8_tags": Song(_tag_mp3, "tags.mp3"),
    "large_tag": Song(lambda: _tag_mp3(picture=True), "large tag.mp3"),
    "spaces_and_quotes": Song(_mp3, 'it\'s a "song" ; $(x) %d.mp3'),
    "emoji": Song(_mp3, "🎵 песня.mp3"),
    "leading_dash": Song(_mp3, "-i.mp3"),
    "protocol_name": Song(_mp3, "http:127.0.0.1|concat:a.mp3"),
}

PECULIAR = {
    "hot_float": _song_with_warnings(
        "CLIPPED", file_name="hot.wav", make=lambda: wav(tone(2.0, level=4.0), CD_HZ, tag=FLOAT)
    ),
    "clipped": _song_with_warnings(
        "CLIPPED",
        file_name="clipped.wav",
        make=lambda: wav((np.clip(tone(2.0, level=2.0), -1, 1) * 32767).astype("<i2"), CD_HZ, tag=INTEGER),
    ),
    "anti_phase": _song_with_warnings(
        "ANTI_PHASE", file_name="anti.wav", make=lambda: wav(tone(2.0)[[0, 0]] * [[1], [-1]], CD_HZ, tag=FLOAT)
    ),
    "silence": _song_with_warnings(
        "SILENT", file_name="silence.wav", make=lambda: wav(_samples("<f4", 0.0), CD_HZ, tag=FLOAT)
    ),
    "nan_and_inf": _song_with_warnings(
        "NOT_FINITE", file_name="nan.wav", make=lambda: _with_values(np.nan, np.inf, -np.inf, 1e30)
    ),
    "truncated_mp3": _song_with_warnings(
        "TRUNCATED", file_name="cut.mp3", make=lambda: _mp3()[: len(_mp3()) // 2], duration_s=1.0, tolerance_s=0.05
    ),
    "truncated_wav": _song_with_warnings(
        "TRUNCATED",
        file_name="cut.wav",
        make=lambda: wav(_samples("<i2"), CD_HZ, tag=INTEGER)[: 44 + CD_HZ * 4],
        duration_s=1.0,
    ),
    "truncated_ogg": _song_with_warnings(
        "TRUNCATED",
        "DAMAGED",
        file_name="cut.opus",
        make=lambda: _make_bytes("opus")[:-2000],
        duration_s=1.0,
        tolerance_s=0.1,
    ),
    "garbage_tail": _song_with_warnings("DAMAGED", file_name="tail.mp3", make=lambda: _mp3() + _junk(20_000)),
    "junk_between_frames": _song_with_warnings(
        "DAMAGED",
        file_name="junk.mp3",
        make=lambda: _mp3()[:8000] + _junk(5000) + _mp3()[8000:20_000] + _junk(700) + _mp3()[20_000:],
        tolerance_s=0.2,
    ),
    "damaged_flac": _song_with_warnings(
        "DAMAGED", file_name="hole.flac", make=lambda: _damage(_make_bytes("flac"), 30_000), tolerance_s=0.25
    ),
    "damaged_opus": _song_with_warnings(
        "DAMAGED", file_name="hole.opus", make=lambda: _damage(_make_bytes("opus"), 16_000), tolerance_s=1.1
    ),
    "damaged_m4a": _song_with_warnings(
        "DAMAGED", file_name="hole.m4a", make=lambda: _damage(_make_bytes("m4a"), 15_000), tolerance_s=0.15
    ),
    "chained_ogg": _song_with_warnings(
        "FORMAT_CHANGES",
        file_name="chained.ogg",
        make=lambda: _make_bytes("vorbis") + encode(tone(1.0, 22_050), 22_050, "ogg", "vorbis"),
        duration_s=3.0,
        tolerance_s=0.02,
    ),
    "joined_aac": _song_with_warnings(
        "FORMAT_CHANGES",
        file_name="joined.aac",
        make=lambda: _make_bytes("adts") + encode(tone(1.0, 48_000, 1), 48_000, "adts", "aac"),
        duration_s=3.0,
        tolerance_s=0.15,
    ),
}

REFUSED = {
    "short": _song_to_refuse("too_short", "short.wav", lambda: wav(tone(0.2), CD_HZ, tag=FLOAT)),
    "one_sample_less": _song_to_refuse("too_short", "less.wav", lambda: wav(tone(22_049 / CD_HZ), CD_HZ, tag=FLOAT)),
    "header_only": _song_to_refuse("too_short", "header.wav", lambda: wav(_samples("<i2"), CD_HZ, tag=INTEGER)[:44]),
    "silent_film": _song_to_refuse(
        "no_audio", "film.mp4", lambda: encode(tone(2.0), CD_HZ, "mp4", "", video=True, sound=False)
    ),
    "empty": _song_to_refuse("empty", "empty.mp3", lambda: b""),
    "random": _song_to_refuse("unreadable", "random.mp3", lambda: _junk(60_000)),
    "text": _song_to_refuse("unreadable", "words.mp3", lambda: b"this is no song\n" * 1000),
    "m4a_without_index": _song_to_refuse("unreadable", "cut.m4a", lambda: _make_bytes("m4a")[:20_000]),
    "playlist": _song_to_refuse("unreadable", "list.m3u8", lambda: b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n"),
    "65_channels": _song_to_refuse(
        "unreadable", "many.wav", lambda: wav(np.zeros((65, 1000), "<i2"), CD_HZ, tag=INTEGER)
    ),
    "1_hz": _song_to_refuse("unreadable", "slow.wav", lambda: wav(_samples("<i2"), 1, tag=INTEGER)),
    "no_channels": _song_to_refuse("unreadable", "none.wav", lambda: _without_channels(_samples("<i2"), INTEGER)),
    "no_codec": _song_to_refuse("unreadable", "what.wav", lambda: _without_channels(_samples("<i2"), 0)),
    "1_ghz": _song_to_refuse("unreadable", "fast.wav", lambda: wav(_samples("<i2"), 10**9, tag=INTEGER)),
}

SONGS: dict[str, Song] = {**HEALTHY, **PECULIAR, **REFUSED}
