import errno
import hashlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deepsing.audio import AudioError, GrowingFile, SongFacts, decode_blocks
from tests.songs import make_song


class Reader:
    """Decodes a growing file in its own thread; `first_block` is set with the first block."""

    def __init__(self, file: GrowingFile) -> None:
        self.blocks: list[np.ndarray] = []
        self.facts: SongFacts | None = None
        self.error: Exception | None = None
        self.first_block = threading.Event()
        self._file = file
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            with decode_blocks(self._file) as decoding:
                for block in decoding:
                    self.blocks.append(block)
                    self.first_block.set()
                self.facts = decoding.facts
        except Exception as error:
            self.error = error

    def join(self) -> np.ndarray:
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        return np.concatenate(self.blocks)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("kind", ["cbr_mp3", "opus", "flac", "adts", "s24_wav", "chained_ogg", "large_tag"])
def test_a_song_that_arrives_bit_by_bit_sounds_like_the_whole_file(kind: str, live: bool, tmp_path: Path) -> None:
    path = make_song(tmp_path, kind)
    with GrowingFile(live=live) as file:
        reader = Reader(file)
        for piece in pieces(path.read_bytes(), 7001):
            file.append(piece)
        file.finish()
        assert np.array_equal(reader.join(), np.concatenate(list(decode_blocks(path))))


def test_an_m4a_with_its_index_at_the_end_waits_for_it(tmp_path: Path) -> None:
    song = make_song(tmp_path, "m4a").read_bytes()
    assert song.index(b"moov") > song.index(b"mdat")
    with GrowingFile() as file:
        reader = Reader(file)
        for piece in pieces(song, 1000):
            file.append(piece)
        file.finish()
        assert len(reader.join()) == 88_200


def test_an_m4a_with_its_index_at_the_end_cannot_be_played_live(tmp_path: Path) -> None:
    with GrowingFile(live=True) as file:
        file.append(make_song(tmp_path, "m4a").read_bytes())
        file.finish()
        with pytest.raises(AudioError) as caught:
            list(decode_blocks(file))
    assert caught.value.kind == "unreadable"


def test_a_live_mp3_is_heard_before_half_a_second_of_it_has_come(tmp_path: Path) -> None:
    song = make_song(tmp_path, "cbr_mp3").read_bytes()
    with GrowingFile(live=True) as file:
        reader = Reader(file)
        file.append(song[: len(song) // 4])
        assert reader.first_block.wait(30)
        file.append(song[len(song) // 4 :])
        file.finish()
        assert len(reader.join()) == 88_200


def test_abort_wakes_the_reader_with_the_error() -> None:
    with GrowingFile() as file:
        reader = Reader(file)
        file.append(b"RIFF")
        file.abort(ConnectionResetError("the client is gone"))
        with pytest.raises(ConnectionResetError, match="the client is gone"):
            reader.join()
        with pytest.raises(ConnectionResetError):
            file.append(b"more")


def test_close_wakes_the_reader() -> None:
    file = GrowingFile(live=True)
    reader = Reader(file)
    file.close()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        reader.join()


def test_too_many_bytes_are_refused_to_both_sides() -> None:
    with GrowingFile(limit_bytes=10) as file:
        file.append(b"0123456789")
        with pytest.raises(AudioError) as caught:
            file.append(b"x")
        assert (caught.value.kind, caught.value.value) == ("too_large", 11)
        with pytest.raises(AudioError, match="more than 10 bytes"):
            file.read(1)


def test_digest_and_length_are_those_of_all_bytes_also_on_disk() -> None:
    data = np.random.default_rng(0).bytes(3 << 20)
    with GrowingFile() as file:
        for piece in pieces(data, 65_536):
            file.append(piece)
        file.finish()
        assert file.length == len(data)
        assert file.digest() == hashlib.sha256(data).hexdigest()
        assert file.read() == data


def test_the_song_can_be_read_again_even_after_the_first_reader_closed() -> None:
    file = GrowingFile(live=True)
    file.append(b"abcdef")
    with pytest.raises(ValueError, match="still growing"):
        file.open_again()
    file.finish()
    again = file.open_again()
    assert file.read(3) == b"abc"
    file.close()
    assert again.read() == b"abcdef"
    assert again.seek(-2, io.SEEK_END) == 4
    assert again.read() == b"ef"
    again.close()
    with pytest.raises(ValueError, match="closed"):
        again.read()


def test_nothing_is_added_after_the_end() -> None:
    with GrowingFile() as file:
        file.finish()
        file.finish()
        assert file.read(5) == b""
        with pytest.raises(ValueError, match="finished"):
            file.append(b"x")


def test_a_live_song_is_read_forward_only() -> None:
    with GrowingFile(live=True) as file, pytest.raises(io.UnsupportedOperation):
        file.seek(0)


def test_seeking_before_the_start_is_an_error() -> None:
    with GrowingFile() as file, pytest.raises(OSError, match="before the start"):
        file.seek(-1)


def test_a_growing_file_that_stays_empty_is_empty() -> None:
    with GrowingFile() as file:
        file.finish()
        with pytest.raises(AudioError) as caught:
            list(decode_blocks(file))
    assert caught.value.kind == "empty"


def fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_bytes_that_cannot_be_written_end_writer_and_reader_and_the_file_still_closes() -> None:
    with GrowingFile() as file:
        reader = Reader(file)
        file.append(b"RIFF")
        shared, close = file._shared.file, file._shared.file.close

        def close_and_fail() -> None:
            close()
            fail()

        shared.write, shared.close = fail, close_and_fail  # type: ignore[method-assign]
        with pytest.raises(OSError, match="No space left"):
            file.append(b"more")
        assert file.length == 4
        with pytest.raises(OSError, match="No space left"):
            reader.join()


def test_bytes_that_are_gone_from_the_disk_are_an_error_and_no_end() -> None:
    with GrowingFile() as file:
        file.append(bytes(100))
        file._shared.file.truncate(10)
        assert len(file.read(100)) == 10
        with pytest.raises(OSError, match="shorter on the disk"):
            file.read(90)
