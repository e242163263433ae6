"""Starts a training from the weights of another one, also where the new network is wider."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["widen"]


def widen(name: str, older: Tensor, newer: Tensor) -> Tensor:
    """Puts a weight of an older network into the place of a newer one's.

    The older channels keep their numbers and get no input from the new ones at first, so that the network paints what
    it painted before; the new channels keep their first values and learn.

    Args:
        name: of the parameter; those of a FiLM layer hold scales, then shifts, which are widened apart.
        older: the trained weight.
        newer: the weight it goes into, as initialised; no axis may be shorter.

    Returns:
        A tensor of the newer shape.

    Raises:
        ValueError: the older weight does not fit in.
    """
    if ".film." in name:
        halves = zip(older.chunk(2), newer.chunk(2), strict=True)
        return torch.cat([_place_in_corner(name, old, new) for old, new in halves])
    return _place_in_corner(name, older, newer)


def _place_in_corner(name: str, older: Tensor, newer: Tensor) -> Tensor:
    if older.dim() != newer.dim() or any(o > n for o, n in zip(older.shape, newer.shape, strict=True)):
        raise ValueError(f"{name} is {tuple(older.shape)}; it does not fit into {tuple(newer.shape)}")
    grown = newer.detach().clone()
    grown[: older.shape[0]] = 0
    grown[tuple(slice(0, size) for size in older.shape)] = older
    return grown
