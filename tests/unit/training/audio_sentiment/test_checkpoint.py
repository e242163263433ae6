"""The checkpoint reader, on a bundle written here byte by byte after the public formats."""

import struct
from pathlib import Path

import numpy as np
import pytest

from training.audio_sentiment.checkpoint import CheckpointError, read_checkpoint


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def entry(dtype: int, shape: tuple[int, ...], offset: int, size: int) -> bytes:
    dims = b"".join(b"\x12" + varint(1 + len(varint(n))) + b"\x08" + varint(n) for n in shape)
    message = b"\x08" + varint(dtype) + b"\x12" + varint(len(dims)) + dims
    return message + b"\x20" + varint(offset) + b"\x28" + varint(size) + b"\x35" + struct.pack("<I", 7)


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Keys share the prefix they have in common with the key before."""
    out, last = b"", b""
    for key, value in entries:
        shared = next((i for i, (a, b) in enumerate(zip(key, last, strict=False)) if a != b), min(len(key), len(last)))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return out + struct.pack("<II", 0, 1)


def table(entries: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    body = block(entries)
    content = body + bytes([compression]) + b"\0" * 4
    index = block([(entries[-1][0], varint(0) + varint(len(body)))])
    at = len(content)
    content += index + b"\0" * 5
    handles = varint(0) + varint(0) + varint(at) + varint(len(index))
    return content + handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[Path, Path]:
    kernel = np.arange(600, dtype="<f4").reshape(200, 3)
    shard = tmp_path / "data"
    shard.write_bytes(kernel.tobytes() + struct.pack("<i", 42) + struct.pack("<f", 0.5))
    index = tmp_path / "index"
    index.write_bytes(
        table(
            [
                (b"", b"\x08\x01"),
                (b"conv2d/kernel", entry(1, (200, 3), 0, 2400)),
                (b"conv2d/step", entry(3, (), 2400, 4)),
                (b"power", entry(1, (), 2404, 4)),
            ]
        )
    )
    return index, shard


def test_float_tensors_come_back_with_their_names_and_shapes(bundle: tuple[Path, Path]) -> None:
    tensors = read_checkpoint(*bundle)
    assert list(tensors) == ["conv2d/kernel", "power"]
    np.testing.assert_array_equal(tensors["conv2d/kernel"], np.arange(600).reshape(200, 3))
    assert tensors["power"] == 0.5


def test_a_cut_data_file_is_told(bundle: tuple[Path, Path]) -> None:
    index, shard = bundle
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="conv2d/kernel does not fit its shape"):
        read_checkpoint(index, shard)


def test_another_file_is_no_index(bundle: tuple[Path, Path]) -> None:
    index, shard = bundle
    index.write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match="no LevelDB table"):
        read_checkpoint(index, shard)


def test_a_compressed_index_is_refused(bundle: tuple[Path, Path]) -> None:
    index, shard = bundle
    index.write_bytes(table([(b"a", entry(1, (), 0, 4))], compression=1))
    with pytest.raises(CheckpointError, match="compressed"):
        read_checkpoint(index, shard)
