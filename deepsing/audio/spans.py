"""Finds by its headers where in a file the sound is to begin and to end, whatever codec it has.

Source: the descriptions of RIFF and RF64 (EBU Tech 3306), Wave64, AU, CAF, AIFF, AVI, ASF, FLV, Matroska (RFC 9559)
and of the Xing and VBRI tags.
"""

import struct
from collections.abc import Callable, Iterator, Mapping

from deepsing.audio.view import FileView

__all__ = ["MIXED", "Span", "find_span"]

MIXED = frozenset({"avi", "asf", "flv", "matroska,webm"})  # sound lies between pictures and other things there
PLACEHOLDER_BYTES = 0x7FFFF000  # writers that cannot seek back leave this or more (or 0) as a size of 32 bits
LARGEST_BYTES = 1 << 40
CHUNKS_MAX = 1000
FIRST_FRAME_BYTES = 4096
WHOLE_SIZES = {b"RF64", b"BW64"}  # wav with sizes of 64 bits in a chunk of their own
W64_HEAD, W64_CHUNK = 40, 24  # bytes: riff, size and wave; then each chunk's id and size
CAF_HEAD, CAF_CHUNK, CAF_EDITS = 8, 12, 4
ASF_HEAD, ASF_OBJECT, ASF_FILE_ID = 30, 24, 16
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
MATROSKA_SEGMENT = b"\x18\x53\x80\x67"

Span = tuple[int, int]
"""Bytes of the file, from and to."""

ReadAt = Callable[[int, int], bytes]


def find_span(container_name: str, view: FileView) -> Span | None:
    """Finds where the sound of a song lies by what its header says; of MIXED containers, where all lies.

    Args:
        container_name: FFmpeg's.
        view: the file, whose position moves; where it cannot seek, its beginning must be enough.

    Returns:
        From and to, the latter possibly beyond the end of the file; None where the header does not say.
    """
    find = FINDERS.get(container_name)
    if find is None:
        return None
    try:
        span = find(view.read_at, view.head_start)
    except struct.error:  # the file ends within its header
        return None
    return span if span is not None and span[0] < span[1] <= LARGEST_BYTES else None


def _find_in_wav(read_at: ReadAt, start: int) -> Span | None:
    head = read_at(start, 12)
    order = ">" if head[:4] == b"RIFX" else "<"
    data_bytes = 0
    for name, at, size in _walk_chunks(read_at, start + 12, f"{order}4sI"):
        if name == b"ds64" and head[:4] in WHOLE_SIZES:
            _, data_bytes = struct.unpack("<QQ", read_at(at, 16))
        elif name == b"data":
            size = data_bytes if size == 0xFFFFFFFF and data_bytes else _check_size(size)
            return at, at + size
    return None


def _find_in_aiff(read_at: ReadAt, start: int) -> Span | None:
    chunks = _walk_chunks(read_at, start + 12, ">4sI")
    return next(((at, at + _check_size(size)) for name, at, size in chunks if name == b"SSND"), None)


def _find_in_avi(read_at: ReadAt, start: int) -> Span | None:
    (size,) = struct.unpack("<I", read_at(start + 4, 4))
    return start + 8, start + 8 + _check_size(size)


def _walk_chunks(read_at: ReadAt, at: int, form: str) -> Iterator[tuple[bytes, int, int]]:
    """Yields each chunk's name, where its content begins, and its size; struct.error at the end of the file."""
    for _ in range(CHUNKS_MAX):
        name, size = struct.unpack(form, read_at(at, 8))
        yield name, at + 8, size
        at += 8 + size + size % 2


def _check_size(size: int) -> int:
    """The size of a chunk, 0 for a placeholder."""
    return size if size < PLACEHOLDER_BYTES else 0


def _find_in_w64(read_at: ReadAt, start: int) -> Span | None:
    at = start + W64_HEAD
    for _ in range(CHUNKS_MAX):
        name, size = struct.unpack("<16sQ", read_at(at, W64_CHUNK))
        if name[:4] == b"data":
            return at + W64_CHUNK, at + size
        at += max(-(-size // 8) * 8, W64_CHUNK)
    return None


def _find_in_au(read_at: ReadAt, start: int) -> Span | None:
    begin, size = struct.unpack(">II", read_at(start + 4, 8))
    return start + begin, start + begin + _check_size(size)


def _find_in_caf(read_at: ReadAt, start: int) -> Span | None:
    at = start + CAF_HEAD
    for _ in range(CHUNKS_MAX):
        name, size = struct.unpack(">4sq", read_at(at, CAF_CHUNK))
        at += CAF_CHUNK
        if name == b"data":
            return at + CAF_EDITS, at + size  # -1: unknown
        at += max(size, 0)
    return None


def _find_in_asf(read_at: ReadAt, start: int) -> Span | None:
    at = start + ASF_HEAD
    for _ in range(CHUNKS_MAX):
        name, size = struct.unpack("<16sQ", read_at(at, ASF_OBJECT))
        if name == ASF_PROPERTIES:
            (file_bytes,) = struct.unpack("<Q", read_at(at + ASF_OBJECT + ASF_FILE_ID, 8))
            return start, start + file_bytes
        at += max(size, ASF_OBJECT)
    return None


def _find_in_flv(read_at: ReadAt, start: int) -> Span | None:
    """Its script tag may say the size of the file, as a double."""
    head, name = read_at(start, FIRST_FRAME_BYTES), b"\0\x08filesize\0"
    at = head.find(name)
    if at < 0:
        return None
    (size,) = struct.unpack_from(">d", head, at + len(name))
    return start, start + int(size) if 0 < size < LARGEST_BYTES else start


def _find_in_matroska(read_at: ReadAt, start: int) -> Span | None:
    """The file is a header and a segment, each with its size behind its id of four bytes."""
    size, size_bytes = _read_vint(read_at(start + 4, 8))
    segment = start + 4 + size_bytes + size
    if read_at(segment, 4) != MATROSKA_SEGMENT:
        return None
    size, size_bytes = _read_vint(read_at(segment + 4, 8))
    begin = segment + 4 + size_bytes
    is_unknown = size == (1 << 7 * size_bytes) - 1
    return begin, begin if is_unknown else begin + size


def _read_vint(start: bytes) -> tuple[int, int]:
    """A number of Matroska's and how many bytes it takes, [1, 8]: as many zero bits go before its first one."""
    if not start or not start[0]:
        raise struct.error
    size = 9 - start[0].bit_length()
    return int.from_bytes(start[:size], "big") & ((1 << 7 * size) - 1), size


def _find_in_mp3(read_at: ReadAt, start: int) -> Span | None:
    """The tag of the first frame may say the bytes from there on."""
    head = read_at(start, FIRST_FRAME_BYTES)
    at = head.find(b"VBRI")
    if at >= 0:
        (size,) = struct.unpack_from(">I", head, at + 10)
        return start, start + _check_size(size)
    at = max(head.find(b"Xing"), head.find(b"Info"))
    if at < 0:
        return None
    flags, size = struct.unpack_from(">I4xI", head, at + 4)
    return start, start + (_check_size(size) if flags & 3 == 3 else 0)


FINDERS: Mapping[str, Callable[[ReadAt, int], Span | None]] = {
    "aiff": _find_in_aiff,
    "asf": _find_in_asf,
    "au": _find_in_au,
    "avi": _find_in_avi,
    "caf": _find_in_caf,
    "flv": _find_in_flv,
    "matroska,webm": _find_in_matroska,
    "mp3": _find_in_mp3,
    "w64": _find_in_w64,
    "wav": _find_in_wav,
}
