"""Codes of the canvas engine: a picture as a few whole numbers for every place of a grid of 16 px.

Every place has `BYTES` codes of 8 bits, evenly spaced, and `NIBBLES` codes of 4 bits, spaced by a logarithm: close
around 0, where most values lie. The encoder is one linear map of the window around a place, so that a picture that was
never trained on is encoded at once, by NumPy alone. The decoder is in the engine's file.
Source: PCA of patches as a transform code (Hotelling 1933), companding (Smith 1957).
Differs: windows overlap, and the map was trained on together with the decoder.
"""

import base64
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "BYTES",
    "CODES",
    "MARGIN_PX",
    "NATIVE_SIZE_PX",
    "NIBBLES",
    "PACKED",
    "PLACE_PX",
    "LinearEncoder",
    "expand_codes",
    "pack_codes",
    "round_codes",
]

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

NATIVE_SIZE_PX = (640, 512)  # width, height: 5 to 4, as most of the rated photos
PLACE_PX = 16  # side of a place
MARGIN_PX = 4  # by which the encoder's window reaches beyond the place on each side
WINDOW_PX = PLACE_PX + 2 * MARGIN_PX
BYTES, NIBBLES = 8, 92  # codes of a place, of 8 and of 4 bits
CODES = BYTES + NIBBLES
PACKED = BYTES + NIBBLES // 2  # 54 bytes a place: 69 kB a picture
BYTE_LEVELS, NIBBLE_LEVELS = 127, 7  # largest code on each side of 0
REACH = 7.0  # largest value of a 4-bit code; values have a standard deviation of about 1
CLOSENESS = 1.0  # value at which the logarithm of 4-bit codes begins to bend


def round_codes(values: F32) -> npt.NDArray[np.int8]:
    """Rounds values to codes.

    Args:
        values: (..., CODES); the first BYTES in [-1, 1], the rest in [-REACH, REACH]; what is beyond is clipped.

    Returns:
        Whole numbers of the same shape, in [-127, 127] and [-7, 7].
    """
    steps = np.log1p(np.abs(values[..., BYTES:]) / CLOSENESS) * (NIBBLE_LEVELS / np.log1p(REACH / CLOSENESS))
    fine = np.clip(values[..., :BYTES] * BYTE_LEVELS, -BYTE_LEVELS, BYTE_LEVELS)
    coarse = np.clip(np.sign(values[..., BYTES:]) * steps, -NIBBLE_LEVELS, NIBBLE_LEVELS)
    codes: npt.NDArray[np.int8] = np.rint(np.concatenate([fine, coarse], axis=-1)).astype(np.int8)
    return codes


def expand_codes(codes: npt.NDArray[np.int8]) -> F32:
    """The values that codes stand for: the inverse of `round_codes`, up to rounding."""
    fine = codes[..., :BYTES].astype(np.float32) / BYTE_LEVELS
    steps = codes[..., BYTES:].astype(np.float32) * np.float32(np.log1p(REACH / CLOSENESS) / NIBBLE_LEVELS)
    coarse = np.sign(steps) * np.expm1(np.abs(steps)) * CLOSENESS
    return np.concatenate([fine, coarse], axis=-1).astype(np.float32)


def pack_codes(codes: npt.NDArray[np.int8]) -> U8:
    """Puts codes into bytes: (..., CODES) → (..., PACKED).

    A byte code is stored plus 128; two 4-bit codes share a byte, each plus 8, the first in the upper half.
    """
    fine = (codes[..., :BYTES].astype(np.int16) + 128).astype(np.uint8)
    coarse = (codes[..., BYTES:].astype(np.int16) + 8).astype(np.uint8)
    return np.concatenate([fine, coarse[..., ::2] << 4 | coarse[..., 1::2]], axis=-1)


@dataclass(frozen=True)
class LinearEncoder:
    """Encodes pictures in closed form.

    Attributes:
        kernel: (CODES, 3, WINDOW_PX, WINDOW_PX), of colours in [0, 1].
        bias: (CODES,).
    """

    kernel: F32
    bias: F32

    def encode(self, pictures: U8) -> npt.NDArray[np.int8]:
        """Encodes pictures.

        Args:
            pictures: (N, H, W, 3), RGB; sides are multiples of PLACE_PX.

        Returns:
            (N, H / PLACE_PX, W / PLACE_PX, CODES).

        Raises:
            ValueError: a side is not a multiple of PLACE_PX.
        """
        if pictures.shape[1] % PLACE_PX or pictures.shape[2] % PLACE_PX:
            raise ValueError(f"pictures are {pictures.shape[2]} x {pictures.shape[1]} px; use multiples of {PLACE_PX}")
        flat = self.kernel.transpose(2, 3, 1, 0).reshape(-1, CODES)  # as windows lie: row, column, colour
        size = (pictures.shape[1] // PLACE_PX, pictures.shape[2] // PLACE_PX)
        # One product a picture, not one a row: the threads of a busy machine wait for each other at the end of each.
        values = (_cut_windows(picture).reshape(-1, len(flat)) @ flat + self.bias for picture in pictures)
        return np.stack([round_codes(one).reshape(*size, CODES) for one in values])

    def to_text(self) -> str:
        """As base64 of little-endian 16-bit floats, kernel first: the metadata of an engine's file holds text."""
        values = np.concatenate([self.kernel.ravel(), self.bias.ravel()]).astype("<f2")
        return base64.b64encode(values.tobytes()).decode("ascii")

    @classmethod
    def from_text(cls, text: str) -> "LinearEncoder":
        """Reads what `to_text` wrote.

        Raises:
            ValueError: the text holds another number of values.
        """
        values = np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)
        wanted = CODES * (3 * WINDOW_PX**2 + 1)
        if len(values) != wanted:
            raise ValueError(f"an encoder has {wanted} values; this text holds {len(values)}")
        return cls(values[:-CODES].reshape(CODES, 3, WINDOW_PX, WINDOW_PX), values[-CODES:])


def _cut_windows(picture: U8) -> F32:
    """(H, W, 3) → (H / PLACE_PX, W / PLACE_PX, WINDOW_PX² · 3), in [0, 1]; the border is repeated outwards."""
    edged = np.pad(picture, ((MARGIN_PX,) * 2, (MARGIN_PX,) * 2, (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(edged, (WINDOW_PX, WINDOW_PX), axis=(0, 1))
    every = windows[::PLACE_PX, ::PLACE_PX].transpose(0, 1, 3, 4, 2)  # row, column, y, x, colour
    return every.reshape(*every.shape[:2], -1).astype(np.float32) / np.float32(255)
