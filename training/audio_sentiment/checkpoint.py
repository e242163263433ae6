"""Reads TensorFlow-1 checkpoints (tensor bundles) without TensorFlow.

A bundle is an index, which is a LevelDB table from tensor name to shape, offset and size, and a file of raw bytes.
Only what musicnn's checkpoints use is read: uncompressed blocks, one shard, little-endian float32 and int32.
"""

__all__ = ["CheckpointError", "read_checkpoint"]


from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_FOOTER_BYTES = 48
_TABLE_MAGIC = 0xDB4775248B80FB57
_DTYPES = {1: np.dtype("<f4"), 3: np.dtype("<i4")}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf wire types


class CheckpointError(ValueError):
    """The files are no checkpoint of the kind this module reads."""


@dataclass(frozen=True)
class _Entry:
    """Where one tensor lies in the data file."""

    dtype: int = 0
    shape: tuple[int, ...] = field(default=())
    offset: int = 0
    size: int = 0


def read_checkpoint(index_path: Path, shard_path: Path) -> dict[str, NDArray[np.float32]]:
    """Reads all float32 tensors of a bundle with one shard.

    Args:
        index_path: the `.index` file.
        shard_path: the `.data-00000-of-00001` file.

    Returns:
        Tensor name → array in the bundle's own axis order.

    Raises:
        CheckpointError: a file is damaged or of another kind.
    """
    table, shard = index_path.read_bytes(), shard_path.read_bytes()
    tensors = {}
    for name, value in _table_entries(table):
        if not name:
            continue  # the bundle's header
        entry = _parse_entry(value)
        if entry.dtype != 1:
            continue  # step counters
        raw = shard[entry.offset : entry.offset + entry.size]
        dtype = _DTYPES[entry.dtype]
        if len(raw) != entry.size or entry.size != dtype.itemsize * int(np.prod(entry.shape, dtype=np.int64)):
            raise CheckpointError(f"tensor {name.decode()} does not fit its shape {entry.shape}; fetch the files again")
        tensors[name.decode()] = np.frombuffer(raw, dtype).reshape(entry.shape).astype(np.float32)
    return tensors


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Returns the value of a base-128 number and the position after it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _table_entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Walks a LevelDB table in key order."""
    footer = table[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != _TABLE_MAGIC:
        raise CheckpointError("the index is no LevelDB table; give the .index file of a TensorFlow-1 checkpoint")
    _, at = _read_varint(footer, 0)
    _, at = _read_varint(footer, at)  # handle of the meta index: offset, size
    offset, at = _read_varint(footer, at)
    size, _ = _read_varint(footer, at)
    for _, handle in _block_entries(table, offset, size):
        block_offset, at = _read_varint(handle, 0)
        block_size, _ = _read_varint(handle, at)
        yield from _block_entries(table, block_offset, block_size)


def _block_entries(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Walks one block; keys share a prefix with the key before."""
    if table[offset + size] != 0:
        raise CheckpointError("the index is compressed; only plain ones are read")
    block = table[offset : offset + size]
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")  # before the restart points and their count
    key, at = b"", 0
    while at < end:
        shared, at = _read_varint(block, at)
        fresh, at = _read_varint(block, at)
        length, at = _read_varint(block, at)
        key = key[:shared] + block[at : at + fresh]
        at += fresh
        yield key, block[at : at + length]
        at += length


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Walks the fields of a protobuf message."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _read_varint(message, at)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise CheckpointError(f"field {number} of the index has wire type {wire}; the file is damaged")
        yield number, message[at : at + length]
        at += length


def _parse_entry(message: bytes) -> _Entry:
    """Reads a BundleEntryProto: 1 dtype, 2 shape (2 dim (1 size)), 4 offset, 5 size."""
    numbers: dict[int, int] = {}
    shape: list[int] = []
    for number, value in _fields(message):
        if isinstance(value, int):
            numbers[number] = value
        elif number == 2:
            for dim in (part for _, part in _fields(value) if isinstance(part, bytes)):
                shape.append(next((size for _, size in _fields(dim) if isinstance(size, int)), 0))
    return _Entry(numbers.get(1, 0), tuple(shape), numbers.get(4, 0), numbers.get(5, 0))
