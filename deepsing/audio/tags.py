"""Tells tags and padding between the frames of a song, which are no sound, from frames that are damaged.

Source: id3.org (ID3v1, ID3v2.4, Lyrics3 and Lyrics3 2.00), the APE tag specification of Hydrogenaudio.
"""

import struct

__all__ = ["Gap", "id3_bytes"]

PADDING = b"\0 "  # bytes with which editors of tags and recorders fill up
ERASED = b"\xff" * 16  # so does flash memory; one alone may begin a frame
PENDING_BYTES_MAX = 1 << 20  # Lyrics3 2.00 can hold a little less; its size comes at its end
ID3_HEADER_BYTES = 10
ID3V1_BYTES, ID3V1_EXTENSION_BYTES = 128, 227
APE_HEADER_BYTES = 32
APE_IS_HEADER = 1 << 29
LYRICS_ENDS = (b"LYRICS200", b"LYRICSEND")
MAGICS = (b"ID3", b"3DI", b"TAG", b"LYRICSBEGIN", b"APETAGEX")


class Gap:
    """Bytes between two decoded frames, which come in order, in pieces; only a little of them is kept."""

    def __init__(self) -> None:
        self.tag_count = 0
        self._pending = b""
        self._skip = 0  # bytes of a tag that are still to come
        self._is_junk = False

    def add(self, piece: bytes) -> None:
        """Takes the next bytes."""
        if self._is_junk:
            return
        skipped = min(self._skip, len(piece))
        self._skip -= skipped
        self._pending += piece[skipped:]
        while self._pending and not self._is_junk and self._take_one():
            pass
        if self._is_junk or len(self._pending) > PENDING_BYTES_MAX:
            self._is_junk, self._pending = True, b""

    def mark_junk(self) -> None:
        """Says that something was lost of which there are no bytes."""
        self._is_junk = True

    def is_harmless(self, *, inside: bool) -> bool:
        """Whether nothing but tags and padding was there; `inside` a song, padding alone stands where sound was."""
        return not self._is_junk and (self.tag_count > 0 or not inside)

    def _take_one(self) -> bool:
        """Takes a tag, or padding, from the front; False where more bytes are needed to go on."""
        stripped = self._pending.lstrip(PADDING)
        if stripped.startswith(ERASED):
            stripped = stripped.lstrip(ERASED)
        elif stripped and ERASED.startswith(stripped):
            return False
        if len(stripped) < len(self._pending):
            self._pending = stripped
            return True
        if not any(magic.startswith(stripped[: len(magic)]) for magic in MAGICS):
            return not self._is_frame() and self._take_by_footer()
        size = _tag_bytes(stripped)
        if not size:
            return False
        self.tag_count += 1
        self._skip = max(size - len(stripped), 0)
        self._pending = stripped[size:]
        return True

    def _is_frame(self) -> bool:
        """Whether an mpeg frame follows a tag; FFmpeg leaves the first one behind a tag in one packet with it."""
        if not self.tag_count or self._pending[0] != 0xFF or self._pending[1:2] < b"\xe0":
            return False
        self._pending = b""
        return True

    def _take_by_footer(self) -> bool:
        """Takes an APE tag without a header: its items, and behind them a footer that says how long they are."""
        at = self._pending.find(b"APETAGEX")
        if 0 <= at <= len(self._pending) - APE_HEADER_BYTES:
            (size,) = struct.unpack_from("<I", self._pending, at + 12)
            if size == at + APE_HEADER_BYTES:
                self.tag_count += 1
                self._pending = self._pending[size:]
                return True
        self._is_junk = True
        return False


def _tag_bytes(start: bytes) -> int:
    """The size of the tag that begins here, 0 where it is not known yet."""
    if start.startswith(b"LYRICSBEGIN"):
        ends = [at + len(end) for end in LYRICS_ENDS if (at := start.find(end)) >= 0]
        return min(ends, default=0)
    if start.startswith(b"TAG"):
        return ID3V1_EXTENSION_BYTES if start[3:4] == b"+" else ID3V1_BYTES
    if start.startswith(b"APETAGEX") and len(start) >= APE_HEADER_BYTES:
        size, _, flags = struct.unpack_from("<III", start, 12)
        return APE_HEADER_BYTES + (int(size) if flags & APE_IS_HEADER else 0)
    if start.startswith(b"3DI"):
        return ID3_HEADER_BYTES
    return id3_bytes(start)


def id3_bytes(start: bytes) -> int:
    """Returns the size of the ID3v2 tag that begins here, with its footer, 0 if none does."""
    if start[:3] != b"ID3" or len(start) < ID3_HEADER_BYTES:
        return 0
    has_footer = bool(start[5] & 0x10)
    size = sum((byte & 0x7F) << shift for byte, shift in zip(start[6:10], (21, 14, 7, 0), strict=True))
    return ID3_HEADER_BYTES * (1 + has_footer) + size
