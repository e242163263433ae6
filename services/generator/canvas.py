"""Paints with a canvas engine's graph: decodes a concept's picture once, keeps it a while, and mixes pairs of them."""

from collections import OrderedDict
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from services.generator.session import Session

__all__ = ["Canvas", "choose_pairs"]

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

NEVER = 0.02  # share of the second concept up to which it has no area, and need not be decoded
KEPT_BYTES = 64 * 2**20  # of decoded pictures, at most: sixteen of 640 x 512 px; a story shows one or two at a time


class Canvas:
    """A canvas graph and the pictures that it decoded last. Equal requests give equal pictures, kept or not.

    Args:
        session: opened from a file of training.generator.canvas.export.
        place_px: side of a place.
        noise_size: Z.
    """

    def __init__(self, session: Session, place_px: int, noise_size: int) -> None:
        self._session, self._place_px, self._noise_size = session, place_px, noise_size
        self._decoded: OrderedDict[tuple[int, ...], F32] = OrderedDict()  # by concept and window, last used last
        self._lock = Lock()  # lanes paint side by side

    def paint(self, class_weights: F32, noise: F32, truncation: F32, window: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Paints a batch.

        Args:
            class_weights: (N, K), rows on the simplex.
            noise: (N, Z), of unit variance.
            truncation: (N,), in [0, 1].
            window: rows and columns of places that are shown.

        Returns:
            (N, H, W, 3), RGB.
        """
        pairs, areas = choose_pairs(class_weights)
        order = np.argsort(areas == 0, kind="stable")  # the graph takes rows that mix two concepts first
        mixed = int(np.count_nonzero(areas))
        pairs, areas = pairs[order], areas[order]
        painted: npt.NDArray[np.uint8] = self._run(
            "pictures",
            window,
            pairs=pairs[:mixed],
            area=areas[:mixed],
            noise=noise[order],
            truncation=truncation[order],
            left=self._find_decoded(pairs[:mixed, 0], window),
            grown=self._find_decoded(pairs[:mixed, 1], window),
            alone=self._find_decoded(pairs[mixed:, 0], window),
        )
        return painted[np.argsort(order)] if len(order) > 1 else painted

    def _find_decoded(self, concepts: I64, window: tuple[int, int]) -> F32:
        """Decoded pictures of concepts (M,): (M, 3, H, W)."""
        found = [self._decode(int(concept), window) for concept in concepts]
        return found[0] if len(found) == 1 else np.concatenate([self._make_empty(window)["left"], *found])

    def _decode(self, concept: int, window: tuple[int, int]) -> F32:
        """A concept's picture, (1, 3, H, W); decoded if it is not kept."""
        key = (concept, *window)
        with self._lock:
            if key in self._decoded:
                self._decoded.move_to_end(key)
                return self._decoded[key]
        picture: F32 = self._run("decoded", window, concepts=np.array([concept]))
        with self._lock:
            self._decoded[key] = picture
            while len(self._decoded) > 1 and sum(one.nbytes for one in self._decoded.values()) > KEPT_BYTES:
                self._decoded.popitem(last=False)
        return picture

    def _run(self, output: str, window: tuple[int, int], **given: npt.NDArray[Any]) -> Any:
        """Runs the graph for one of its outputs; inputs that are not given are empty."""
        return self._session.run([output], self._make_empty(window) | {"window": np.array(window)} | given)[0]

    def _make_empty(self, window: tuple[int, int]) -> dict[str, npt.NDArray[Any]]:
        """The graph's inputs, all but the window, with nothing to decode and to paint."""
        pictures = np.empty((0, 3, *(self._place_px * places for places in window)), np.float32)
        return {
            "concepts": np.empty(0, np.int64),
            "pairs": np.empty((0, 2), np.int64),
            "area": np.empty(0, np.float32),
            "noise": np.empty((0, self._noise_size), np.float32),
            "truncation": np.empty(0, np.float32),
            "left": pictures,
            "grown": pictures,
            "alone": pictures,
        }


def choose_pairs(class_weights: F32) -> tuple[I64, F32]:
    """Chooses the two concepts of each picture.

    Continuous in the weights, but where three are equal: the third largest weight is taken off both.

    Args:
        class_weights: (N, K), rows on the simplex, K at least 2.

    Returns:
        The strongest concept and the second (N, 2), and the area of the second (N,), 0 to 0.5.
    """
    chosen = np.argsort(-class_weights, axis=1, kind="stable")[:, :3]
    weights = np.take_along_axis(class_weights, chosen, axis=1)
    leads = weights[:, :2] - weights[:, 2:].sum(axis=1, keepdims=True)
    share = leads[:, 1] / np.maximum(leads.sum(axis=1), np.float32(1e-6))
    return chosen[:, :2], np.maximum((share - NEVER) / (1 - 2 * NEVER), 0).astype(np.float32)
