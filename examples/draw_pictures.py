"""Draws twelve pictures in four folders of feelings, to try an engine of one's own pictures with.

python examples/draw_pictures.py my-pictures
deepsing engine make my-pictures --name mine
deepsing render examples/peer_gynt.mp3 mine.mp4 --engine mine
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 1200, 900
Colour = tuple[int, int, int]


def draw_sky(top: Colour, bottom: Colour) -> np.ndarray:
    """A ground that goes from one colour to another: (HEIGHT, WIDTH, 3)."""
    share = np.linspace(0, 1, HEIGHT)[:, None, None]
    return np.broadcast_to(np.array(top) * (1 - share) + np.array(bottom) * share, (HEIGHT, WIDTH, 3)).copy()


def draw_clouds(seed: int, size_px: int) -> np.ndarray:
    """Smooth noise of unit variance: (HEIGHT, WIDTH, 1)."""
    noise = np.random.default_rng(seed).normal(size=(HEIGHT // size_px + 2, WIDTH // size_px + 2))
    smooth = Image.fromarray(noise.astype(np.float32)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return np.asarray(smooth)[..., None]


def add_hills(ground: np.ndarray, seed: int, top_px: int, colour: Colour, height_px: float) -> np.ndarray:
    """Puts a row of hills in front of a picture."""
    random, x, y = np.random.default_rng(seed), np.arange(WIDTH), np.arange(HEIGHT)[:, None]
    waves = (random.normal() / k * np.sin(2 * np.pi * k * x / WIDTH + random.uniform(0, 6)) for k in range(1, 9))
    line = top_px + height_px * sum(waves)
    return np.where((y > line)[..., None], np.array(colour) + (y[..., None] - top_px) * 0.05, ground)


def to_image(pixels: np.ndarray) -> Image.Image:
    """Numbers to a picture; what is too bright or too dark is clipped."""
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def draw_dusk() -> Image.Image:
    """Three rows of hills in haze."""
    ground = draw_sky((250, 190, 140), (240, 225, 200))
    for seed, top, colour, height in ((1, 560, (120, 130, 150), 60), (2, 660, (80, 95, 110), 40)):
        ground = add_hills(ground, seed, top, colour, height)
    return to_image(add_hills(ground, 3, 760, (45, 60, 70), 30))


def draw_sea() -> Image.Image:
    """Waves that come nearer."""
    ground, y = draw_sky((120, 170, 210), (190, 215, 225)), np.arange(HEIGHT)[:, None]
    waves = np.sin(y / (4 + np.maximum(y - 520, 0) / 40) + draw_clouds(4, 60)[..., 0])
    ground[520:] = (np.array([40, 90, 120]) + 25 * waves[..., None])[520:]
    return to_image(ground)


def draw_night() -> Image.Image:
    """A moon and stars over a dark hill."""
    image, random = to_image(draw_sky((20, 30, 60), (60, 70, 110))), np.random.default_rng(5)
    pen = ImageDraw.Draw(image)
    pen.ellipse((760, 120, 900, 260), fill=(250, 245, 225))
    for x, y in zip(random.uniform(0, WIDTH, 160), random.uniform(0, 600, 160), strict=True):
        pen.ellipse((x, y, x + 2, y + 2), fill=(230, 230, 255))
    return to_image(add_hills(np.asarray(image).astype(float), 6, 720, (12, 16, 28), 40))


def draw_balloons() -> Image.Image:
    """Balloons of five colours."""
    image, random = to_image(draw_sky((110, 190, 250), (210, 240, 255))), np.random.default_rng(7)
    pen = ImageDraw.Draw(image)
    colours = ((240, 60, 60), (250, 190, 40), (60, 180, 90), (80, 110, 240), (220, 80, 200))
    for _ in range(14):
        x, y, size = random.uniform(80, WIDTH - 80), random.uniform(80, HEIGHT - 200), random.uniform(40, 90)
        pen.line((x, y + size, x + random.uniform(-20, 20), y + size + 150), fill=(90, 90, 90), width=2)
        pen.ellipse((x - 0.8 * size, y - size, x + 0.8 * size, y + size), fill=colours[random.integers(5)])
        pen.ellipse((x - 0.4 * size, y - 0.6 * size, x - 0.1 * size, y - 0.2 * size), fill=(255, 255, 255))
    return image


def draw_meadow() -> Image.Image:
    """Flowers that come nearer."""
    image, random = to_image(draw_sky((150, 210, 250), (230, 245, 230))), np.random.default_rng(8)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 480, WIDTH, HEIGHT), fill=(110, 180, 70))
    colours = ((250, 80, 90), (255, 220, 60), (255, 255, 255), (200, 90, 230))
    for y in np.sort(random.uniform(500, HEIGHT, 260)):
        size, x, colour = 4 + (y - 480) / 18, random.uniform(0, WIDTH), colours[random.integers(4)]
        for petal in np.arange(5) * 2 * np.pi / 5:
            pen.circle((x + size * np.cos(petal), y + size * np.sin(petal)), 0.6 * size, fill=colour)
        pen.circle((x, y), 0.5 * size, fill=(250, 200, 40))
    return image


def draw_sun() -> Image.Image:
    """Rays around a sun."""
    image = to_image(draw_sky((255, 170, 60), (255, 230, 130)))
    pen = ImageDraw.Draw(image)
    for ray in np.arange(32) * np.pi / 16:
        ends = [(600 + 900 * np.cos(ray + side), 450 + 900 * np.sin(ray + side)) for side in (0, 0.1)]
        pen.polygon([(600, 450), *ends], fill=(255, 215, 90))
    pen.circle((600, 450), 150, fill=(255, 245, 190))
    return image.filter(ImageFilter.GaussianBlur(2))


def draw_rain() -> Image.Image:
    """Rain out of grey clouds."""
    image, random = (
        to_image(draw_sky((90, 100, 115), (130, 138, 148)) + 14 * draw_clouds(9, 90)),
        np.random.default_rng(10),
    )
    pen = ImageDraw.Draw(image)
    for x, y in zip(random.uniform(0, WIDTH, 700), random.uniform(-50, HEIGHT, 700), strict=True):
        pen.line((x, y, x - 8, y + 40), fill=(165, 172, 182))
    return image


def draw_tree() -> Image.Image:
    """A tree without leaves."""
    image, random = to_image(draw_sky((150, 150, 160), (195, 192, 190))), np.random.default_rng(11)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 700, WIDTH, HEIGHT), fill=(120, 115, 112))
    branches = [(420.0, 720.0, np.pi / 2, 150.0, 18.0)]
    while branches:
        x, y, angle, length, width = branches.pop()
        end = (x + length * np.cos(angle), y - length * np.sin(angle))
        pen.line((x, y, *end), fill=(50, 45, 45), width=int(width))
        if length > 12:
            for side in (-1, 1):
                turn = angle + side * random.uniform(0.2, 0.6)
                branches.append((*end, turn, length * random.uniform(0.65, 0.8), max(1.0, 0.7 * width)))
    return image


def draw_boat() -> Image.Image:
    """A boat alone on dark water."""
    image = to_image(draw_sky((40, 50, 75), (70, 78, 98)))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 640, WIDTH, HEIGHT), fill=(35, 42, 60))
    pen.polygon([(520, 660), (720, 660), (690, 700), (550, 700)], fill=(20, 20, 28))
    pen.line((600, 660, 600, 520), fill=(20, 20, 28), width=5)
    for number in range(30):
        x, y = number * 345 % WIDTH, 710 + number * 6
        pen.line((x, y, x + 120, y), fill=(60, 68, 90), width=2)
    return image


def draw_fire() -> Image.Image:
    """Flames without a shape."""
    flames = 60 * draw_clouds(12, 40) * [1, 0.5, 0.1] + 30 * draw_clouds(13, 14) * [1, 0.6, 0.1]
    return to_image(draw_sky((60, 10, 10), (200, 60, 10)) + flames)


def draw_lightning() -> Image.Image:
    """Four bolts."""
    image, random = to_image(draw_sky((25, 25, 40), (60, 60, 80)) + 18 * draw_clouds(14, 70)), np.random.default_rng(15)
    pen = ImageDraw.Draw(image)
    for x in random.uniform(200, 1000, 4):
        steps = np.cumsum(random.uniform(-60, 60, 14)), np.cumsum(random.uniform(30, 80, 14))
        pen.line([(x, 0), *zip(x + steps[0], steps[1], strict=True)], fill=(240, 240, 255), width=5)
    return image.filter(ImageFilter.GaussianBlur(1))


def draw_triangles() -> Image.Image:
    """Red triangles that turn."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (20, 0, 10))
    pen = ImageDraw.Draw(image)
    for number in range(24):
        circle = (600 + 4 * number, 450, 900 - 38 * number)
        pen.regular_polygon(circle, 3, rotation=9 * number, fill=(200, 20, 40) if number % 2 else (20, 0, 10))
    return image


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "calm/hills at dusk": draw_dusk,
    "calm/still sea": draw_sea,
    "calm/moon and stars": draw_night,
    "joyful/balloons": draw_balloons,
    "joyful/flower meadow": draw_meadow,
    "joyful/sun": draw_sun,
    "sad/rain": draw_rain,
    "sad/bare tree": draw_tree,
    "sad/lonely boat": draw_boat,
    "tense/fire": draw_fire,
    "tense/lightning": draw_lightning,
    "tense/turning triangles": draw_triangles,
}


def main() -> None:
    """Draws all into the folder that is named."""
    folder = Path(sys.argv[1])
    for name, draw in PICTURES.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw().save(path)


if __name__ == "__main__":
    main()
