"""Splits a chained ogg file (RFC 3533: the pages of several songs one after the other) into its links.

FFmpeg goes on with the first link's decoder, which fails where a later link has another rate or channel count.
"""

import zlib
from collections.abc import Iterator

from deepsing.audio.view import FileView, Readable

__all__ = ["OggChain", "is_ogg", "checksum"]

MAGIC = b"OggS"
HEADER_BYTES = 27  # up to and including the number of segments
FLAGS_AT, SERIAL, NUMBER, CHECKSUM, SEGMENTS_AT = 5, slice(14, 18), slice(18, 22), slice(22, 26), 26
BEGINS, ENDS = 0x02, 0x04  # flags of a stream's first and last page
PAGE_BYTES_MAX = HEADER_BYTES + 255 + 255 * 255
BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
LINKS_MAX = 1000  # opening a link takes about a millisecond; forged files could hold millions


def is_ogg(view: FileView) -> bool:
    """Whether a song begins like an ogg file."""
    return view.peek(len(MAGIC)) == MAGIC


class OggChain:
    """The links of an ogg file, to be read in order and to the end.

    Attributes:
        broken_off: whether the file ended without the last page of a stream.
    """

    def __init__(self, view: FileView) -> None:
        self.broken_off = False
        self._damage = 0
        self._view = view
        self._open_streams: set[bytes] = set()
        self._next_numbers: dict[bytes, int] = {}
        self._data_seen = False  # whether this link is past its first pages

    def links(self) -> Iterator[Readable]:
        """Yields each link as a file that can be read forward only, as if it stood alone."""
        for _ in range(LINKS_MAX):
            self._data_seen = False
            self._open_streams.clear()
            self._next_numbers.clear()
            link = _Link(self)
            yield link
            while link.read(PAGE_BYTES_MAX):  # what a failed decoder left
                pass
            if not self._view.peek(1):
                break
        self.broken_off = bool(self._open_streams)

    def take_damage(self) -> int:
        """Returns how many pages were missing or damaged since the last call (FFmpeg drops them silently)."""
        damage, self._damage = self._damage, 0
        return damage

    def next_page(self) -> bytes:
        """Returns the link's next page, or the junk before it; b"" at the end of the link."""
        header = self._view.peek(HEADER_BYTES)
        if header[: len(MAGIC)] != MAGIC or len(header) < HEADER_BYTES:
            return self._take_junk()
        flags, serial = header[FLAGS_AT], header[SERIAL]
        if flags & BEGINS and self._data_seen:
            return b""
        if flags & BEGINS:
            self._open_streams.add(serial)
        else:
            self._data_seen = True
        if flags & ENDS:
            self._open_streams.discard(serial)
        segments = self._view.peek(HEADER_BYTES + header[SEGMENTS_AT])[HEADER_BYTES:]
        page = self._take(HEADER_BYTES + header[SEGMENTS_AT] + sum(segments))
        self._count_damage(page, serial)
        return page

    def _count_damage(self, page: bytes, serial: bytes) -> None:
        number = int.from_bytes(page[NUMBER], "little")
        missing = number != self._next_numbers.get(serial, number)
        self._next_numbers[serial] = number + 1
        broken = checksum(page) != int.from_bytes(page[CHECKSUM], "little")
        self._damage += missing + broken

    def _take_junk(self) -> bytes:
        window = self._view.peek(PAGE_BYTES_MAX)
        at = window.find(MAGIC, 1)
        return self._take(at if at > 0 else max(len(window) - len(MAGIC) + 1, 1))

    def _take(self, size: int) -> bytes:
        self._view.peek(size)
        return self._view.read(size)


class _Link:
    def __init__(self, chain: OggChain) -> None:
        self._chain = chain
        self._page = b""
        self._ended = False

    def read(self, size: int) -> bytes:
        if not self._page and not self._ended:
            self._page = self._chain.next_page()
            self._ended = not self._page
        piece, self._page = self._page[:size], self._page[size:]
        return piece


def checksum(page: bytes) -> int:
    """Computes a page's CRC-32: polynomial 0x04C11DB7, high bit first, from 0, its own field taken as 0.

    zlib has the same polynomial low bit first, from all ones and inverted: so bits are reversed before and after.
    """
    blank = page[: CHECKSUM.start] + bytes(4) + page[CHECKSUM.stop :]
    low_first = zlib.crc32(blank.translate(BITS_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{low_first:032b}"[::-1], 2)
