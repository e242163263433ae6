"""What readers of pictures make of each painting style: the same pictures read before and after.

For the choice of styles and the report on it; no server reaches it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.translator.judge.onnx import open_network
from services.translator.lexicon import F32, F64
from training.agreement import pearson_rs

__all__ = ["StyleNetwork", "PictureStyleNetwork", "StyleReadings", "feeling_correlation", "style_sentiments"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

Pictures = Sequence[NDArray[np.uint8]]


class StyleNetwork:
    """The style network opened by its file: the contract of training/generator/styles/rebuild.py, not its code.

    The graph takes a picture (1, H, W, 3) and weights (S,) and gives a picture; the metadata holds `styles` as JSON
    rows [name, arousal, valence], and `shares`, how much of each style a weight of 1 shows.
    """

    def __init__(self, network: Path) -> None:
        self._session = open_network(network)
        self.files: dict[str, Path] = {}  # built in
        facts = self._session.get_modelmeta().custom_metadata_map
        self.names = tuple(str(row[0]) for row in json.loads(facts["styles"]))
        self._shares = np.array(json.loads(facts["shares"]), np.float32)

    def stylize(self, pictures: Pictures, style: int, strength: float) -> Pictures:
        """Restyles pictures; `strength` in [0, 1] is the network's own, whatever the style's share."""
        weights = np.zeros(len(self.names), np.float32)
        weights[style] = strength / self._shares[style]
        return [self._session.run(None, {"picture": picture[None], "weights": weights})[0][0] for picture in pictures]


class PictureStyleNetwork:
    """The styles of a folder of pictures: `any_style.onnx`, and `style_vector.onnx` beside it.

    Source: the files' contract is services/generator/style_pictures.py: vectors (S, 100) describe the styles.
    """

    def __init__(self, network: Path, folder: Path) -> None:
        from PIL import Image, ImageOps

        self.files = find_style_files(folder)
        self.names = tuple(self.files)
        predictor, self._session = open_network(network.parent / "style_vector.onnx"), open_network(network)
        vectors = []
        for path in self.files.values():
            with Image.open(path) as picture:
                upright = ImageOps.exif_transpose(picture).convert("RGB")
            fitted = ImageOps.fit(upright, (256, 256), Image.Resampling.LANCZOS)
            vectors.append(
                predictor.run(None, {"style_image": np.asarray(fitted, np.float32)[None] / np.float32(255)})[0]
            )
        self._vectors = np.concatenate(vectors).reshape(len(vectors), -1)

    def stylize(self, pictures: Pictures, style: int, strength: float) -> Pictures:
        """Restyles pictures; see `StyleNetwork`."""
        given = {"weights": np.array([strength], np.float32), "vectors": self._vectors[style : style + 1]}
        return [self._session.run(None, {"picture": picture[None], **given})[0][0] for picture in pictures]


def find_style_files(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by their styles' names: those of its styles.csv, else all, named after their files."""
    table = folder / "styles.csv"
    if table.exists():
        with table.open(newline="", encoding="utf-8-sig") as lines:
            return {row["name"]: folder / row["file"] for row in csv.DictReader(lines)}
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}


@dataclass(frozen=True)
class StyleReadings:
    """One reader's view of N pictures without and with each of S styles."""

    plain: F64  # (N, 2), arousal and valence
    styled: F64  # (S, N, 2)

    @classmethod
    def from_features(cls, read: Callable[[F32], F64], plain: F32, styled: Sequence[F32]) -> StyleReadings:
        """Reads features: of the plain pictures (N, D), and for each style of the styled ones (N, D)."""
        return cls(read(plain), np.stack([read(features) for features in styled]))

    def select(self, styles: NDArray[np.int64]) -> F64:
        """The readings of every picture in a style of its own: (N,) → (N, 2)."""
        return np.asarray(self.styled[styles, np.arange(len(styles))])


def feeling_correlation(plain: F64, styled: F64) -> float:
    """How much of what is felt at pictures a style leaves: r of readings (N, 2) and (N, 2), mean of both dimensions."""
    return float(np.mean(list(pearson_rs(plain, styled).values())))


def style_sentiments(readings: StyleReadings, ratings: F64) -> F64:
    """The sentiment of each style, on the scale of people's ratings: (S, 2) in [-1, 1].

    The typical style stands in the middle of the ratings, because all styles take some pleasantness away and the
    difference between them is what can follow a feeling. From there a style lies as many standard deviations of the
    ratings away as its mean reading does in those of the unstyled readings: readers are more cautious than people.
    """
    means = readings.styled.mean(axis=1)
    unusual = (means - means.mean(axis=0)) / readings.plain.std(axis=0)
    return np.asarray((ratings.mean(axis=0) + ratings.std(axis=0) * unusual).clip(-1, 1))
