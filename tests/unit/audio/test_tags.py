"""Tags and padding are not called damage, wherever they are; junk is."""

import io
import struct

import numpy as np
import pytest

from deepsing.audio import SongFacts, decode_blocks
from deepsing.audio.tags import Gap, id3_bytes
from tests.encoding import encode, tone


def song_facts(data: bytes) -> SongFacts:
    decoding = decode_blocks(io.BytesIO(data))
    list(decoding)
    return decoding.facts


def id3v2(size: int, *, footer: bool = False) -> bytes:
    coded = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    body = (b"APIC" + bytes(range(256)) * (size // 256 + 1))[:size]
    return b"ID3\x04\0" + (b"\x10" if footer else b"\0") + coded + body + (b"3DI\x04\0\x10" + coded if footer else b"")


def ape(version: int, *, header: bool) -> bytes:
    items = struct.pack("<II", 5, 0) + b"Title\0hello"

    def edge(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII", version, len(items) + 32, 1, flags) + bytes(8)

    return (edge(0xA0000000) if header else b"") + items + edge(0x80000000 if header else 0)


LYRICS = b"LYRICSBEGININD0000200LYR00012la la la la "
ID3V1 = b"TAG" + b"Title".ljust(125, b"\0")
TAILS = {
    "id3v1": ID3V1,
    "id3v1 twice": ID3V1 * 2,
    "id3v1 extended": b"TAG+" + bytes(223) + ID3V1,
    "lyrics3v2": LYRICS + b"%06dLYRICS200" % len(LYRICS),
    "lyrics3v2 and id3v1": LYRICS + b"%06dLYRICS200" % len(LYRICS) + ID3V1,
    "lyrics3v1 and id3v1": b"LYRICSBEGINla la\r\nLYRICSEND" + ID3V1,
    "id3v2 behind": id3v2(300_000),
    "id3v2 with a footer": id3v2(30_000, footer=True),
    "ape 2": ape(2000, header=True),
    "ape 1": ape(1000, header=False),
    "all of them": ape(2000, header=True) + LYRICS + b"%06dLYRICS200" % len(LYRICS) + ID3V1,
    "zero bytes": bytes(50_000),
    "erased bytes": b"\xff" * 5000,
    "spaces and id3v1": b" " * 3000 + ID3V1,
    "half a tag": id3v2(300_000)[:1000],
}


@pytest.fixture(scope="module")
def mp3() -> bytes:
    return encode(tone(2.0), 44_100, "mp3", "libmp3lame")


@pytest.mark.parametrize("tail", TAILS)
def test_what_is_known_behind_an_mp3_is_no_damage(tail: str, mp3: bytes) -> None:
    facts = song_facts(mp3 + TAILS[tail])
    assert facts.warnings == ()
    assert facts.duration_s == pytest.approx(2.0, abs=1e-4)


@pytest.mark.parametrize(
    "tail", [b"hello world " * 2000, id3v2(50) + b"junk" * 5000, np.random.default_rng(1).bytes(20_000)]
)
def test_what_is_unknown_behind_an_mp3_is_damage(tail: bytes, mp3: bytes) -> None:
    assert {warning.kind for warning in song_facts(mp3 + tail).warnings} == {"DAMAGED"}


@pytest.mark.parametrize("between", [ID3V1 + id3v2(3000), ape(2000, header=True) + ID3V1 + id3v2(3000) + bytes(2000)])
def test_tags_between_two_songs_in_one_file_are_no_damage(between: bytes, mp3: bytes) -> None:
    facts = song_facts(mp3 + between + mp3)
    assert facts.warnings == ()
    assert facts.duration_s == pytest.approx(4.0, abs=0.1)


def test_several_tags_and_padding_before_a_song_hide_neither_its_length_nor_its_cut(mp3: bytes) -> None:
    front = id3v2(70_000) + id3v2(3000, footer=True) + bytes(3000)
    assert song_facts(front + mp3).duration_s == pytest.approx(2.0, abs=1e-4)
    (warning,) = song_facts((front + mp3)[: len(front) + len(mp3) // 2]).warnings
    assert warning.message.startswith("The header says 2.0 s")


def judge(*pieces: bytes, inside: bool = False) -> bool:
    gap = Gap()
    for piece in pieces:
        gap.add(piece)
    return gap.is_harmless(inside=inside)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_gap_is_judged_alike_however_its_bytes_come(tail: str, size: int) -> None:
    data = TAILS[tail][:6000]
    if "ape 1" not in tail:  # has no beginning that one could know
        assert judge(*(data[at : at + size] for at in range(0, len(data), size)))


def test_padding_where_sound_was_is_damage() -> None:
    assert judge(bytes(500))
    assert not judge(bytes(500), inside=True)
    assert judge(ID3V1, bytes(500), inside=True)


def test_tags_do_not_excuse_junk_around_them() -> None:
    assert not judge(b"junk", ID3V1)
    assert not judge(ID3V1, b"junk")


def test_megabytes_of_padding_are_padding_in_whatever_pieces() -> None:
    assert judge(*[bytes(100_000)] * 30)
    assert judge(ID3V1, *[b"\xff" * 100_001] * 30)


def test_a_gap_keeps_little_of_what_never_ends() -> None:
    gap = Gap()
    for _ in range(40):
        gap.add(b"LYRICSBEGIN" + bytes(1 << 16))
    assert not gap.is_harmless(inside=False)
    assert len(gap._pending) == 0


def test_the_footer_of_an_id3_tag_counts() -> None:
    assert (id3_bytes(id3v2(300)), id3_bytes(id3v2(300, footer=True)), id3_bytes(b"IDX")) == (310, 320, 0)
