"""The judge and its backbone, ready to judge pictures with their concepts. Needs neither torch nor any photo."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.translator.judge.model import Judge, PictureFeatures, load_judge
from services.translator.lexicon import F64, load_lexicon

__all__ = ["PictureReader", "open_reader", "BACKBONE", "JUDGE"]

BACKBONE, JUDGE = "eyes.onnx", "judge.npz"  # of the weights folder
CONCEPTS = "canvas_concepts.json"


class PictureReader:
    """Predicts what people would feel, for each picture with coefficients that never saw ratings of its themes."""

    def __init__(self, backbone: PictureFeatures, judge: Judge, themes: Mapping[str, str], digest: str) -> None:
        """`themes` maps the name of a concept to its theme; `digest` is lower-case hex SHA-256 of both."""
        self._backbone, self._judge, self._themes = backbone, judge, dict(themes)
        self.digest = digest

    def read(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        concepts: Sequence[Sequence[str]],
        pause: Callable[[], None] = lambda: None,
    ) -> F64:
        """Judges pictures.

        Args:
            pictures: (H, W, 3) 8-bit RGB of any size; the centre square is used.
            concepts: what each picture shows, the strongest first: names of the embedded engine's concepts or themes
                of the rated photos. Other names are ignored, and so are themes beyond the first two folds.
            pause: called before each picture; what it raises ends the reading.

        Returns:
            (N, 2), arousal and valence in -1..1.

        Raises:
            ValueError: not as many lists of concepts as pictures, or a picture is not (H, W, 3) of 8 bits.
        """
        if len(pictures) != len(concepts):
            raise ValueError(f"{len(pictures)} pictures have {len(concepts)} lists of concepts; give one each")
        for picture in pictures:
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
                raise ValueError(f"a picture is {picture.dtype} {picture.shape}; give uint8 (height, width, 3)")
        if not pictures:
            return np.zeros((0, 2))
        read = self._judge.read(
            self._backbone.extract(_pause_before_each(pictures, pause)), [self._hide_themes(each) for each in concepts]
        )
        return np.clip(read, -1.0, 1.0)

    def _hide_themes(self, concepts: Sequence[str]) -> list[str]:
        """The themes that the coefficients for a picture must not have seen, of at most two folds."""
        themes = [self._themes.get(concept, concept) for concept in concepts]
        folds = list(dict.fromkeys(self._judge.folds[theme] for theme in themes if theme in self._judge.folds))[:2]
        return [theme for theme in themes if self._judge.folds.get(theme) in folds]


def _pause_before_each(pictures: Sequence[NDArray[np.uint8]], pause: Callable[[], None]) -> Iterator[NDArray[np.uint8]]:
    for picture in pictures:
        pause()
        yield picture


def open_reader(weights: Path, threads: int = 1) -> PictureReader:
    """Opens the reader of a weights folder.

    Args:
        weights: holds BACKBONE and JUDGE, and the concept table if concepts have other names than their themes.
        threads: for one picture.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file does not hold what it should.
    """
    backbone, judge, table = weights / BACKBONE, weights / JUDGE, weights / CONCEPTS
    themes: dict[str, str] = {}
    if table.exists():
        lexicon = load_lexicon(table)
        themes = dict(zip(lexicon.names, lexicon.themes, strict=True))
    digest = hashlib.sha256(backbone.read_bytes() + judge.read_bytes()).hexdigest()
    return PictureReader(PictureFeatures(backbone, threads), load_judge(judge), themes, digest)
