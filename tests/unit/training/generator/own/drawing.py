"""Pictures drawn for tests of engines of one's own pictures."""

from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["draw_picture", "fill_folder"]


def draw_picture(seed: int, size_px: tuple[int, int] = (640, 512)) -> Image.Image:
    """Waves of two colours, with a disc: (width, height)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size_px[1], : size_px[0]] / min(size_px)
    low, high, disc = rng.uniform(20, 235, (3, 3))
    wave = 0.5 + 0.5 * np.sin(rng.uniform(3, 9) * x + rng.uniform(3, 9) * y)
    made = low + (high - low) * wave[..., None]
    made[np.hypot(x - rng.uniform(0.4, 0.8), y - rng.uniform(0.3, 0.7)) < 0.2] = disc
    return Image.fromarray(made.astype(np.uint8))


def fill_folder(folder: Path, *names: str) -> Path:
    """Puts a picture of its own under each name, 160 x 128 px, with the subfolders that it names."""
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        draw_picture(seed, (160, 128)).save(folder / name)
    return folder
