"""Whatever picture a folder holds, it is read as people see it, or refused with a line that says why."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.training.generator.own.drawing import draw_picture
from training.generator.own.reading import UnusablePicture, find_focus, read_picture

RED, BLUE = (200, 30, 40), (20, 40, 210)


def make_halves(size_px: tuple[int, int] = (640, 512)) -> Image.Image:
    """Red above, blue below."""
    made = Image.new("RGB", size_px, BLUE)
    made.paste(RED, (0, 0, size_px[0], size_px[1] // 2))
    return made


def read_colours(path: Path) -> list[list[int]]:
    """Of the middle of the upper and of the lower half."""
    pixels = read_picture(path).pixels
    assert pixels.shape == (512, 640, 3)
    return [pixels[row, 320].tolist() for row in (128, 384)]


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "bmp", "tiff", "avif"])
def test_every_format_is_read(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    make_halves().save(path)
    assert np.abs(np.array(read_colours(path)) - [RED, BLUE]).max() <= 12


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_that_was_held_otherwise_is_turned_upright(turn: int, tmp_path: Path) -> None:
    from PIL import ImageOps

    held = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}.get(turn, 1)  # the turn that undoes this one
    exif = Image.Exif()
    exif[0x0112] = held
    sideways = make_halves()
    sideways.getexif()[0x0112] = held
    stored = ImageOps.exif_transpose(sideways) if held != 1 else sideways
    exif[0x0112] = turn
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert np.abs(np.array(read_colours(tmp_path / "a.jpg")) - [RED, BLUE]).max() <= 12


def test_what_is_clear_lies_over_grey(tmp_path: Path) -> None:
    clear = make_halves().convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 256, 640, 512))
    clear.save(tmp_path / "a.png")
    assert read_colours(tmp_path / "a.png") == [list(RED), [128, 128, 128]]


def test_a_palette_with_a_clear_colour_is_read(tmp_path: Path) -> None:
    palette = make_halves().quantize(2)
    palette.save(tmp_path / "a.png", transparency=palette.getpixel((0, 511)))
    upper, lower = read_colours(tmp_path / "a.png")
    assert upper == pytest.approx(RED, abs=6)
    assert lower == [128, 128, 128]


def test_printing_colours_are_read(tmp_path: Path) -> None:
    make_halves().convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(np.array(read_colours(tmp_path / "a.jpg")) - [RED, BLUE]).max() <= 30


def test_sixteen_bits_keep_their_greys(tmp_path: Path) -> None:
    grey = np.full((512, 640), 50 * 257, np.uint16)
    grey[256:] = 200 * 257
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert read_colours(tmp_path / "a.png") == [[50] * 3, [200] * 3]


def test_floats_go_from_black_to_white(tmp_path: Path) -> None:
    grey = np.full((512, 640), -3.0, np.float32)
    grey[256:] = 7.0
    grey[0, 0] = np.nan
    Image.fromarray(grey).save(tmp_path / "a.tiff")
    assert read_colours(tmp_path / "a.tiff") == [[0] * 3, [255] * 3]


def test_the_first_picture_of_an_animation_is_taken(tmp_path: Path) -> None:
    frames = [make_halves(), Image.new("RGB", (640, 512))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.abs(np.array(read_colours(tmp_path / "a.gif")) - [RED, BLUE]).max() <= 12


def test_small_pictures_are_enlarged_and_icons_refused(tmp_path: Path) -> None:
    make_halves((320, 256)).save(tmp_path / "small.png")
    make_halves((63, 400)).save(tmp_path / "icon.png")
    make_halves((3000, 600)).save(tmp_path / "wide.png")
    assert read_picture(tmp_path / "small.png").enlarged == 2.0
    assert read_picture(tmp_path / "wide.png").enlarged == pytest.approx(640 / 750)
    with pytest.raises(UnusablePicture, match="has 63 x 400 pixels; the short side must have 64 or more"):
        read_picture(tmp_path / "icon.png")


@pytest.mark.parametrize(("side", "said"), [(9_000, "has 9000 x 9000 pixels; at most 64 million"), (60_000, "million")])
def test_huge_pictures_are_refused_before_they_are_decoded(side: int, said: str, tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)  # the file holds nothing but its size
    chunk = b"IHDR" + head
    picture = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = b"IDAT" + zlib.compress(b"")
    picture += struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    (tmp_path / "huge.png").write_bytes(picture)
    with pytest.raises(UnusablePicture, match=said):
        read_picture(tmp_path / "huge.png")


def test_broken_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = io.BytesIO()
    draw_picture(1).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[:3000])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    with pytest.raises(UnusablePicture, match=r"is broken \(image file is truncated.*; save it anew"):
        read_picture(tmp_path / "cut.jpg")
    for name in ("text.png", "empty.png"):
        with pytest.raises(UnusablePicture, match="is no picture that can be read here; save it as JPEG or PNG"):
            read_picture(tmp_path / name)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "bmp", "tiff"])
def test_a_file_with_wrong_bytes_is_read_or_refused_but_never_ends_the_work(ending: str, tmp_path: Path) -> None:
    whole = io.BytesIO()
    draw_picture(2, (96, 80)).save(whole, "jpeg" if ending == "jpg" else ending)
    rng, path, said = np.random.default_rng(3), tmp_path / f"a.{ending}", []
    for number in range(60):
        broken = bytearray(whole.getvalue())
        for place in rng.integers(0, len(broken), 1 + number % 8):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(broken[: len(broken) if number % 2 else rng.integers(len(broken) // 2, len(broken))])
        try:
            said.append(read_picture(path).pixels.shape)
        except UnusablePicture as fault:
            said.append("; " in str(fault))
    assert set(said) == {True, (512, 640, 3)}  # refused with a way out, or read


def test_a_picture_without_rights_is_refused(tmp_path: Path) -> None:
    draw_picture(1).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    if os.access(tmp_path / "a.png", os.R_OK):
        pytest.skip("root reads everything")
    with pytest.raises(UnusablePicture, match="Permission denied"):
        read_picture(tmp_path / "a.png")


def test_the_crop_goes_where_the_contrast_is() -> None:
    rng = np.random.default_rng(0)
    wide = np.full((300, 1500, 3), 120, np.uint8)
    wide[80:220, 1150:1350] = rng.integers(0, 256, (140, 200, 3))
    across, down = find_focus(Image.fromarray(wide))
    assert 0.72 < across < 0.88
    assert down == 0.5
    assert find_focus(Image.new("RGB", (1500, 300), BLUE)) == (0.5, 0.5)
    assert find_focus(draw_picture(4)) == (0.5, 0.5)


def test_the_crop_of_a_tall_picture_goes_down_to_its_subject(tmp_path: Path) -> None:
    tall = np.full((1600, 640, 3), 120, np.uint8)
    tall[1300:1500, 200:400] = RED
    Image.fromarray(tall).save(tmp_path / "a.png")
    pixels = read_picture(tmp_path / "a.png").pixels.astype(int)
    assert (np.abs(pixels - RED).sum(axis=2) < 10).mean() == pytest.approx(200 * 200 / (640 * 512), rel=0.05)
