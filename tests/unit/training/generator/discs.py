"""Small pictures to make engines of."""

import numpy as np


def make_pictures(count: int = 4) -> np.ndarray:
    """Discs of different colours and places on sloping grounds: (count, 128, 160, 3)."""
    y, x = np.mgrid[:128, :160]
    made = np.zeros((count, 128, 160, 3))
    for place in range(count):
        random = np.random.default_rng(place)
        low, high, disc = random.uniform(0, 255, (3, 3))
        made[place] = low + (high - low) * (y / 128)[..., None]
        centre = random.uniform(40, 90, 2)
        made[place][np.hypot(y - centre[0], x - centre[1]) < 30] = disc
    return made.round().astype(np.uint8)
