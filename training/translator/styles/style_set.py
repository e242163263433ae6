"""The styles that are measured: the built-in ones or those of a folder of pictures, painted by the generator's code."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepsing.runtime.onnx import open_session
from services.generator.concepts import Concept
from services.generator.style_pictures import StylePicture, style_vectors
from services.generator.stylize import Stylist
from services.translator.lexicon import F32

__all__ = ["StyleSet", "find_style_files", "open_built_in_styles", "open_style_pictures"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

Pictures = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class StyleSet:
    """Styles and the network that paints them.

    Attributes:
        stylist: the generator's.
        shares: (S,), how strongly the network shows a style whose weight is 1.
        files: the picture of each style by its name; empty for built-in styles.
    """

    stylist: Stylist
    shares: F32
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the styles."""
        return tuple(style.name for style in self.stylist.styles)

    def stylize(self, pictures: Pictures, style: int, strength: float) -> Pictures:
        """Restyles pictures; `strength` in [0, 1] is the network's own, whatever the style's share."""
        weights = np.zeros(len(self.shares), np.float32)
        weights[style] = strength / self.shares[style]
        return [self.stylist.stylize(picture, weights) for picture in pictures]


def open_built_in_styles(network: Path) -> StyleSet:
    """The styles of a network that training.generator.styles.rebuild wrote, whose metadata holds their shares."""
    session = open_session(network, threads=1)
    shares = json.loads(session.get_modelmeta().custom_metadata_map["shares"])
    return StyleSet(Stylist("", session), np.array(shares, np.float32))


def open_style_pictures(network: Path, folder: Path) -> StyleSet:
    """The styles of a folder of pictures, rated or not.

    Args:
        network: any_style.onnx; style_vector.onnx is beside it.
        folder: see `find_style_files`.

    Raises:
        ValueError: a file is not a picture.
    """
    files = find_style_files(folder)
    predictor, session = (open_session(path, threads=1) for path in (network.with_name("style_vector.onnx"), network))
    styles = [Concept(name, 0.0, 0.0) for name in files]  # their sentiments are what is to be measured
    vectors = style_vectors([StylePicture(*one) for one in zip(styles, files.values(), strict=True)], predictor)
    return StyleSet(Stylist("", session, styles, vectors), np.ones(len(files), np.float32), files)


def find_style_files(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by their styles' names.

    They are those that its styles.csv lists (columns file, name); without it all pictures, named after their files.
    """
    table = folder / "styles.csv"
    if table.exists():
        with table.open(newline="", encoding="utf-8-sig") as lines:
            return {row["name"]: folder / row["file"] for row in csv.DictReader(lines)}
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}
