"""What a canvas engine's file says of each picture beside its codes: where it has something to show, and its look.

In NumPy alone, so that pictures of one's own become an engine without PyTorch. A field is coarse; the front between two
pictures follows it.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["FIELD_SIZE", "LATENT_SIZE", "THUMB_SIZE", "measure_latents", "picture_fields", "picture_thumbs"]

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

FIELD_SIZE = (16, 20)  # rows, columns of a field: places of 32 px
THUMB_SIZE = (32, 40)  # rows, columns of a thumbnail: two for each place of a field
LATENT_SIZE = 32  # where concepts lie: translators learn by it which pictures look alike
SURROUND = 9  # side of the surroundings that a place stands out from, in places of a thumbnail
SMOOTHING = 5  # side of the box that smooths fields, twice: concepts meet along few long seams, not in spots
OWN_SHARE = 0.25  # of a field that is a smooth pattern, the same for all, so that even flat pictures have places
PATTERN = (  # drawn once from a normal distribution; a part of the engine
    (-0.3396, -0.7702, 1.7878, -0.6213, 0.7633),
    (1.2275, 1.7476, 0.5643, -1.6425, -0.9044),
    (0.7676, -0.0909, 0.3711, 1.2399, 1.9264),
    (0.0488, 2.8863, -0.3125, -1.0344, -0.4423),
)
SHARPNESS = -0.75  # of the cubic curve between the pattern's values
SMALLEST = 1e-12  # mean square of latents; below it all pictures are alike


def picture_thumbs(pictures: U8) -> F32:
    """Means over the places of a thumbnail.

    Args:
        pictures: (K, H, W, 3); H is a multiple of 32, W of 40.

    Returns:
        (K, 32, 40, 3), in [0, 1].

    Raises:
        ValueError: a side is no such multiple.
    """
    count, height, width, _ = pictures.shape
    rows, columns = THUMB_SIZE
    if height % rows or width % columns:
        raise ValueError(f"pictures are {width} x {height} px; use multiples of {columns} x {rows}")
    places = pictures.reshape(count, rows, height // rows, columns, width // columns, 3)
    return np.asarray(places.mean(axis=(2, 4), dtype=np.float32) / np.float32(255))


def picture_fields(thumbs: F32) -> U8:
    """What each picture has to show at each place: colour that stands out from its surroundings, smoothed.

    Args:
        thumbs: (K, 32, 40, 3), from `picture_thumbs`.

    Returns:
        (K, 16, 20): ranks within the picture, evenly spread over 0 to 255.
    """
    contrast = np.abs(thumbs - _blur(thumbs, SURROUND)).sum(axis=3, keepdims=True)
    smooth = _blur(_blur(contrast, SMOOTHING), SMOOTHING)
    rows, columns = FIELD_SIZE
    shown = smooth.reshape(-1, rows, 2, columns, 2).mean(axis=(2, 4), dtype=np.float32)
    own, share = _rank(_enlarge_pattern()[None]), np.float32(OWN_SHARE)
    mixed = (1 - share) * _rank(shown) + share * own
    return np.rint(_rank(mixed) * 255).astype(np.uint8)


def measure_latents(thumbs: F32) -> F32:
    """Principal components of thumbnails, half whitened, with root mean square 1: (K, LATENT_SIZE or K)."""
    rows = thumbs.reshape(len(thumbs), -1)
    left, singular, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    latents = left[:, :LATENT_SIZE] * np.sqrt(singular[:LATENT_SIZE])
    return np.asarray(latents / np.sqrt(max(float(np.square(latents).mean()), SMALLEST)), np.float32)


def _blur(maps: F32, side: int) -> F32:
    """Means over boxes of `side` x `side` places, (K, H, W, C); the border is repeated outwards."""
    margin = side // 2
    edged = np.pad(maps, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="edge")
    boxes = np.lib.stride_tricks.sliding_window_view(edged, (side, side), axis=(1, 2))
    return np.asarray(boxes.mean(axis=(4, 5), dtype=np.float32))


def _rank(maps: F32) -> F32:
    """(K, H, W) → (K, H, W): each value's rank within its map, from 0 to 1."""
    flat = maps.reshape(len(maps), -1)
    ranks = flat.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return (ranks.astype(np.float32) / np.float32(flat.shape[1] - 1)).reshape(maps.shape)


def _enlarge_pattern() -> F32:
    """The pattern at the size of a field, through its values at the corners."""
    pattern = np.array(PATTERN)
    down, right = (_cubic_weights(*sizes) for sizes in zip(pattern.shape, FIELD_SIZE, strict=True))
    return np.asarray(down @ pattern @ right.T, np.float32)


def _cubic_weights(count: int, extent: int) -> npt.NDArray[np.float64]:
    """Weights of `count` values at each of `extent` places between the first and the last: (extent, count)."""
    weights = np.zeros((extent, count))
    for row, place in enumerate(np.linspace(0, count - 1, extent)):
        before = min(int(place), count - 2)
        for index in range(before - 1, before + 3):
            weights[row, min(max(index, 0), count - 1)] += _cubic(abs(place - index))
    return weights


def _cubic(apart: float) -> float:
    """The curve of cubic convolution (Keys 1981) at a distance, in steps."""
    if apart <= 1:
        return (SHARPNESS + 2) * apart**3 - (SHARPNESS + 3) * apart**2 + 1
    if apart < 2:
        return SHARPNESS * (apart**3 - 5 * apart**2 + 8 * apart - 4)
    return 0.0
