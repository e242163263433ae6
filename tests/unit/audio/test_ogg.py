import io
from pathlib import Path

import pytest

from deepsing.audio.ogg import OggChain, checksum, is_ogg
from deepsing.audio.view import FileView
from tests.songs import make_song


def read_chain(data: bytes) -> tuple[OggChain, list[bytes]]:
    chain = OggChain(FileView(io.BytesIO(data)))
    links = []
    for link in chain.links():
        pages = []
        while piece := link.read(1000):
            assert len(piece) <= 1000
            pages.append(piece)
        links.append(b"".join(pages))
    return chain, links


@pytest.fixture
def song(tmp_path: Path) -> bytes:
    return make_song(tmp_path, "opus").read_bytes()


def test_a_chain_is_taken_apart_where_a_new_song_begins(song: bytes) -> None:
    chain, links = read_chain(song * 3)
    assert links == [song] * 3
    assert not chain.broken_off
    assert chain.take_damage() == 0


def test_a_file_without_its_last_page_is_broken_off(song: bytes) -> None:
    chain, links = read_chain(song[:-100])
    assert links == [song[:-100]]
    assert chain.broken_off or chain.take_damage()


def test_a_changed_byte_is_one_damaged_page(song: bytes) -> None:
    chain, _ = read_chain(song[:5000] + bytes([song[5000] ^ 1]) + song[5001:])
    assert chain.take_damage() == 1
    assert chain.take_damage() == 0


def test_a_missing_page_is_noticed_by_its_number(song: bytes) -> None:
    starts = [at for at in range(len(song)) if song.startswith(b"OggS", at)]
    chain, _ = read_chain(song[: starts[2]] + song[starts[3] :])
    assert chain.take_damage() == 1


def test_junk_between_pages_is_passed_on_and_ends_no_link(song: bytes) -> None:
    at = song.index(b"OggS", 4)
    data = song[:at] + b"junk, and more junk" + song[at:]
    assert read_chain(data)[1] == [data]


def test_the_checksum_is_that_of_real_pages(song: bytes) -> None:
    page = song[: song.index(b"OggS", 4)]
    assert checksum(page) == int.from_bytes(page[22:26], "little")


def test_only_ogg_is_ogg(song: bytes) -> None:
    assert is_ogg(FileView(io.BytesIO(song)))
    assert not is_ogg(FileView(io.BytesIO(b"RIFF")))
