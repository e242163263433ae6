"""Damages song files in all the ways that disks, networks and attackers do, each repeatable from its number."""

__all__ = ["MUTATIONS", "Mutant", "make_mutant"]

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from tests.encoding import encode, tone
from tests.songs import SONGS

# Marks after which formats keep sizes, rates, channels, durations and tables.
MARKS = (
    *(b"RIFF", b"fmt ", b"data", b"fact", b"FORM", b"COMM", b"SSND", b"fLaC", b"OggS", b"OpusHead", b"\x01vorbis"),
    *(b"moov", b"mvhd", b"tkhd", b"mdhd", b"stsd", b"stts", b"stsc", b"stsz", b"stco", b"elst", b"mdat", b"esds"),
    *(b"Xing", b"Info", b"LAME", b"ID3", b"\xff\xfb", b"\xff\xf1", b"\x1a\x45\xdf\xa3", b"\x16\x54\xae\x6b"),
    *(b"\x18\x53\x80\x67", b"\x30\x26\xb2\x75", b"\xa1\xdc\xab\x8c", b"\x91\x07\xdc\xb7", b"wvpk", b"TTA1"),
)
EXTREMES = (0, 1, 2, 7, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 44_100, 192_000, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
WIDE = (*EXTREMES, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
Mutation = Callable[[bytearray, Random], bytes]


@dataclass(frozen=True)
class Mutant:
    """A damaged song, and how it came about."""

    number: int
    recipe: str
    data: bytes


def make_mutant(seed: int, number: int) -> Mutant:
    """The mutant of that number: one of the songs after one to four mutations."""
    choose = Random(f"{seed}:{number}")
    name = choose.choice(sorted(bases()))
    data, steps = bases()[name], []
    for _ in range(choose.choice((1, 1, 1, 2, 2, 3, 4))):
        step = choose.choice(sorted(MUTATIONS))
        data = MUTATIONS[step](bytearray(data), choose)
        steps.append(step)
    if b"OggS" in data[:4] and choose.random() < 0.5:
        data = with_checksums(data)
        steps.append("checksums")
    return Mutant(number, f"{name}: {', '.join(steps)}", data)


@cache
def bases() -> dict[str, bytes]:
    """Songs to damage, by name: those of the tests, and containers that these leave out."""
    sound = tone(1.0, 48_000)
    more = {
        form: encode(sound, 48_000, form, codec)
        for form, codec in (
            *(("aiff", "pcm_s16be"), ("matroska", "flac"), ("wv", "wavpack"), ("tta", "tta"), ("ac3", "ac3")),
            *(("mpegts", "aac"), ("flv", "aac"), ("caf", "pcm_s16le"), ("au", "pcm_s16be"), ("nut", "aac")),
            *(("w64", "pcm_s16le"), ("avi", "mp3")),
        )
    }
    return {kind: song.make() for kind, song in SONGS.items() if kind != "empty"} | more


def _flip(data: bytearray, choose: Random) -> bytes:
    for _ in range(choose.choice((1, 2, 8, 64))):
        if data:
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
    return bytes(data)


def _flip_in_head(data: bytearray, choose: Random) -> bytes:
    for _ in range(choose.choice((1, 2, 8))):
        if data:
            data[choose.randrange(min(len(data), 512))] = choose.randrange(256)
    return bytes(data)


def _truncate(data: bytearray, choose: Random) -> bytes:
    return bytes(data[: choose.randrange(len(data) + 1)])


def _behead(data: bytearray, choose: Random) -> bytes:
    return bytes(data[choose.randrange(min(len(data), 4096) + 1) :])


def _insert(data: bytearray, choose: Random) -> bytes:
    at = choose.randrange(len(data) + 1)
    return bytes(data[:at] + choose.randbytes(choose.choice((1, 3, 100, 5000))) + data[at:])


def _delete(data: bytearray, choose: Random) -> bytes:
    at = choose.randrange(len(data) + 1)
    return bytes(data[:at] + data[at + choose.choice((1, 3, 100, 5000)) :])


def _run(data: bytearray, choose: Random) -> bytes:
    at, size = choose.randrange(len(data) + 1), choose.choice((1, 4, 64, 4096))
    data[at : at + size] = choose.choice((b"\0", b"\xff", b"\x7f")) * min(size, len(data) - at)
    return bytes(data)


def _splice(data: bytearray, choose: Random) -> bytes:
    other = bases()[choose.choice(sorted(bases()))]
    return bytes(data[: choose.randrange(len(data) + 1)]) + other[choose.randrange(len(other) + 1) :]


def _join(data: bytearray, choose: Random) -> bytes:
    return bytes(data) + bases()[choose.choice(sorted(bases()))]


def _reorder(data: bytearray, choose: Random) -> bytes:
    cuts = sorted(choose.randrange(len(data) + 1) for _ in range(choose.randrange(1, 6)))
    pieces = [data[first:last] for first, last in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    choose.shuffle(pieces)
    return b"".join(pieces)


def _repeat(data: bytearray, choose: Random) -> bytes:
    at = choose.randrange(len(data) + 1)
    piece = bytes(data[at : at + choose.choice((16, 500, 8000))])
    return bytes(data[:at]) + piece * choose.choice((2, 10, 50)) + bytes(data[at:])


def _field(data: bytearray, choose: Random) -> bytes:
    """Writes an extreme into the header: after a mark where there is one, else somewhere near the start."""
    found = [place for mark in MARKS if (place := data.find(mark)) >= 0]
    start = choose.choice(found) + 4 if found and choose.random() < 0.8 else 0
    at = start + choose.randrange(0, 48)
    form, values = choose.choice(
        (("<H", EXTREMES), (">H", EXTREMES), ("<I", EXTREMES), (">I", EXTREMES), ("<Q", WIDE), (">Q", WIDE))
    )
    size = struct.calcsize(form)
    data[at : at + size] = struct.pack(form, choose.choice(values) & (256**size - 1))
    return bytes(data)


MUTATIONS: dict[str, Mutation] = {
    "flip": _flip,
    "flip in head": _flip_in_head,
    "truncate": _truncate,
    "behead": _behead,
    "insert": _insert,
    "delete": _delete,
    "run": _run,
    "splice": _splice,
    "join": _join,
    "reorder": _reorder,
    "repeat": _repeat,
    "field": _field,
    "field again": _field,  # twice as often as the others: they reach deepest
}


def with_checksums(data: bytes) -> bytes:
    """Gives every ogg page its right checksum, so that what was changed inside is believed."""
    fixed, at = bytearray(data), 0
    while (at := fixed.find(b"OggS", at)) >= 0 and at + 27 <= len(fixed):
        head = at + 27 + fixed[at + 26]
        end = head + sum(fixed[at + 27 : head])
        fixed[at + 22 : at + 26] = bytes(4)
        fixed[at + 22 : at + 26] = struct.pack("<I", _checksum(bytes(fixed[at:end])))
        at += 4
    return bytes(fixed)


@cache
def _table() -> Sequence[int]:
    def entry(value: int) -> int:
        for _ in range(8):
            value = ((value << 1) ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        return value

    return [entry(index << 24) for index in range(256)]


def _checksum(page: bytes) -> int:
    table, total = _table(), 0
    for byte in page:
        total = ((total << 8) & 0xFFFFFFFF) ^ table[(total >> 24) ^ byte]
    return total
