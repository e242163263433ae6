"""The image-sentiment judge: predicts what people would feel at a picture, with folds that never saw its theme.

Kernel ridge regression on pooled features of a frozen backbone (training.translator.judge.backbone). For every pair of
folds there is a set of coefficients fitted without both, so that a mixture of two concepts is judged without either.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.translator.lexicon import F32, F64

__all__ = ["PictureFeatures", "Judge", "load_judge", "pair_index", "save_judge"]

SIZE_PX = 256  # pictures are judged at this size
CLIP = 4.0  # standard deviations, at which features are clipped
BLOCKS = {  # of the features
    "lite0.mean": slice(0, 1280),
    "lite0.middle": slice(1280, 1472),
    "lite0.spread": slice(1472, 1664),
    "lite0.maximum": slice(1664, 2944),
    "lite2.mean": slice(2944, 4224),
    "lite2.middle": slice(4224, 4432),
    "lite2.spread": slice(4432, 4640),
    "lite2.maximum": slice(4640, 5920),
}


class PictureFeatures:
    """The backbone as an ONNX session: pictures in, features out."""

    def __init__(self, backbone: Path, threads: int = 1) -> None:
        self._session = open_network(backbone, threads)

    def extract(self, pictures: Iterable[NDArray[np.uint8]]) -> F32:
        """Pooled features of 8-bit RGB pictures (H, W, 3) of any size, cut to their centre square: (N, 5920)."""
        rows = [self._session.run(None, {"pictures": crop_square(picture)[None]})[0] for picture in pictures]
        return np.concatenate(rows).astype(np.float32)


def crop_square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cuts a picture to its centre square and scales it to SIZE_PX."""
    if picture.shape[:2] == (SIZE_PX, SIZE_PX):
        return picture
    from PIL import Image, ImageOps

    fitted = ImageOps.fit(Image.fromarray(picture), (SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS)
    return np.asarray(fitted)


@dataclass(frozen=True)
class Judge:
    """The judge's parameters, cross-fitted by theme."""

    blocks: tuple[str, ...]  # the parts of the features that it uses
    folds: dict[str, int]  # theme → fold
    fold_count: int
    gamma: float  # of exp(-gamma · squared distance)
    mean: F32  # (D,), of the features
    scale: F32  # (D,)
    basis: F32  # (D, P), to the codes that the kernel compares
    codes: F32  # (N, P), of the pictures it was fitted on, sharp and softened
    coefficients: F32  # (pairs + 1, N, 2); see pair_index
    offsets: F32  # (pairs + 1, 2)

    def encode(self, features: F32) -> F32:
        """Features (N, all) → codes (N, P)."""
        return project(select_blocks(features, self.blocks), self.mean, self.scale, self.basis)

    def read(self, features: F32, themes: Sequence[Sequence[str]]) -> F64:
        """Predicts sentiments.

        Args:
            features: (N, 5920), from `PictureFeatures.extract`.
            themes: of each picture, those that it shows, of at most two folds; unknown themes are ignored.

        Returns:
            (N, 2), arousal and valence on the scale of the ratings, by coefficients fitted without those themes.
        """
        similar = np.exp(-self.gamma * distances(self.encode(features), self.codes))
        rows = [self.coefficients_row(each) for each in themes]
        read: F64 = np.einsum("nm,nmd->nd", similar, self.coefficients[rows].astype(np.float64))
        read += self.offsets[rows]
        return read

    def coefficients_row(self, themes: Sequence[str]) -> int:
        """Index of the coefficients that were fitted without the folds of these themes."""
        folds = sorted({self.folds[theme] for theme in themes if theme in self.folds})
        if len(folds) > 2:
            raise ValueError(f"a picture has themes of {len(folds)} folds; the judge leaves out at most 2")
        return pair_index(folds[0], folds[-1], self.fold_count) if folds else len(self.coefficients) - 1


def pair_index(low: int, high: int, fold_count: int) -> int:
    """Index of the coefficients fitted without folds `low` ≤ `high` (equal: without that one); the last omit none."""
    return low * fold_count - low * (low - 1) // 2 + high - low


def select_blocks(features: F32, blocks: Sequence[str]) -> F32:
    """The columns of the blocks, side by side."""
    return np.concatenate([features[:, BLOCKS[block]] for block in blocks], axis=1)


def project(values: F32, mean: F32, scale: F32, basis: F32) -> F32:
    """Standardises, clips and projects (N, D) → (N, P)."""
    return np.asarray(np.clip((values - mean) / scale, -CLIP, CLIP) @ basis, dtype=np.float32)


def distances(left: F32, right: F32) -> F64:
    """Squared distances of codes (N, P) and (M, P): (N, M)."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    return np.asarray(np.maximum(np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T, 0))


def save_judge(judge: Judge, path: Path) -> None:
    """Writes a judge; its large tables as 16-bit floats."""
    themes = sorted(judge.folds)
    np.savez_compressed(
        path,
        blocks=np.array(judge.blocks),
        themes=np.array(themes),
        folds=np.array([judge.folds[theme] for theme in themes], np.int16),
        fold_count=np.int64(judge.fold_count),
        gamma=np.float64(judge.gamma),
        mean=judge.mean,
        scale=judge.scale,
        basis=judge.basis.astype(np.float16),
        codes=judge.codes.astype(np.float16),
        coefficients=judge.coefficients.astype(np.float16),
        offsets=judge.offsets,
    )


def load_judge(path: Path) -> Judge:
    """Reads a judge that `save_judge` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        arrays: dict[str, Any] = dict(stored)
    return Judge(
        blocks=tuple(arrays["blocks"].tolist()),
        folds=dict(zip(arrays["themes"].tolist(), arrays["folds"].tolist(), strict=True)),
        fold_count=int(arrays["fold_count"]),
        gamma=float(arrays["gamma"]),
        **{
            name: arrays[name].astype(np.float32)
            for name in ("mean", "scale", "basis", "codes", "coefficients", "offsets")
        },
    )


def open_network(path: Path, threads: int = 1) -> Any:
    """An `onnxruntime.InferenceSession` of an ONNX file.

    Args:
        path: the file.
        threads: for one run.
    """
    import onnxruntime  # imported late: a translator without a judge starts without it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
