"""Pictures whose bytes are few and whose work is much are refused before the work is done."""

import io
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from services.translator.judge.model import SIZE_PX
from services.translator.judge.pictures import PictureError, count_chunks, count_scans, open_picture

SOON_S = 1.0  # processor time


def encode(kind: str, side_px: int = 2048, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (10, 200, 30)).save(out, kind, **options)
    return out.getvalue()


def add_scans(count: int, side_px: int = 2048) -> bytes:
    plain = encode("JPEG", side_px, progressive=True)
    return plain[:-2] + plain[plain.rindex(b"\xff\xda") : -2] * count + b"\xff\xd9"


def add_chunks(chunk: bytes, count: int) -> bytes:
    plain = encode("PNG")
    at = plain.index(b"IDAT") - 4
    return plain[:at] + chunk * count + plain[at:]


def build_chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


TEXT = build_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6)))
BOMBS: dict[str, Callable[[], bytes]] = {
    "has more than 100 scans": lambda: add_scans(50_000),
    "has 23 scans of 2048 x 2048 pixels": lambda: add_scans(13),
    "has more than 10000 chunks": lambda: add_chunks(build_chunk(b"IDAT"), 80_000),
    "Too much memory used in text": lambda: add_chunks(TEXT, 600),
    "has 60000 x 60000 pixels": lambda: add_size(60_000),
    "neither JPEG nor PNG": lambda: encode("GIF") + bytes(2**19),
}


def add_size(side_px: int) -> bytes:
    head = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + build_chunk(b"IHDR", head) + build_chunk(b"IDAT", zlib.compress(bytes(2**20)))


@pytest.mark.parametrize("fault", BOMBS)
def test_it_is_refused_soon(fault: str) -> None:
    bomb = BOMBS[fault]()
    began_s = time.process_time()
    with pytest.raises(PictureError, match="far too many pixels" if "60000" in fault else fault):
        open_picture(bomb)
    assert time.process_time() - began_s < SOON_S


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP"])
def test_other_formats_are_not_decoded(kind: str) -> None:
    with pytest.raises(PictureError, match="neither JPEG nor PNG") as caught:
        open_picture(encode(kind, 64))
    assert caught.value.kind == "unreadable"


@pytest.mark.parametrize(
    "picture",
    [
        encode("JPEG", progressive=True),
        encode("JPEG"),
        encode("JPEG", 300, progressive=True, quality=95, subsampling=0),
        encode("PNG"),
        add_scans(80, 300),
    ],
    ids=["progressive", "plain", "small", "png", "many small scans"],
)
def test_honest_pictures_are_opened(picture: bytes) -> None:
    opened = open_picture(picture)
    assert opened.shape == (SIZE_PX, SIZE_PX, 3)
    assert np.abs(opened.astype(int) - (10, 200, 30)).max() <= 4


def test_scans_are_counted_to_the_end_of_the_picture_and_not_beyond() -> None:
    assert count_scans(encode("JPEG", 64)) == 1
    assert count_scans(encode("JPEG", 64, progressive=True)) == 10
    assert count_scans(encode("JPEG", 64, restart_marker_blocks=1)) == 1
    assert count_scans(add_scans(7, 64)) == 17
    thumbnail = encode("JPEG", 64, progressive=True)
    assert count_scans(encode("JPEG", 64, exif=b"Exif\0\0" + thumbnail)) == 1
    assert count_scans(encode("JPEG", 64) + add_scans(90, 64)) == 1
    assert count_scans(encode("PNG", 64)) == count_scans(b"") == count_scans(b"\xff\xd8\xff") == 0


def test_chunks_are_counted() -> None:
    assert count_chunks(encode("PNG", 64)) == 3
    assert count_chunks(add_chunks(build_chunk(b"IDAT"), 7)) == 10
    assert count_chunks(encode("JPEG", 64)) == count_chunks(b"") == 0
