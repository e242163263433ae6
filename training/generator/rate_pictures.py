"""Fills in what is felt at each chosen picture: people's means where there are some, else the labeller's reading.

`python -m training.generator.rate_pictures --pictures DIR --oasis DIR`
prints how far the labeller and the judge agree with people and with each other, too.

A reading is made of the square around a picture's focus, because readers cut pictures to squares. The labeller's
readings are brought to people's scale by a line for each dimension, least squares over all photos of OASIS from Pixabay
without a person (n 438), each read by coefficients that never saw its theme. No painting is rated by people, so none
takes part in the fit. The judge only checks: its readings stand beside the labeller's, and where both are clear and
differ in sign, the picture should not be shown.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.generator.concepts import from_rating
from services.translator.catalogue import EMBEDDED, find_file
from services.translator.judge.model import Judge, PictureFeatures, load_judge
from services.translator.lexicon import F32, F64
from training.generator.pictures import (
    COLUMNS,
    PICTURES,
    Picture,
    Window,
    open_picture,
)
from training.translator.judge.photos import extract_features, read_photos

__all__ = ["fit_lines", "apply_lines", "list_doubtful", "main"]

CLEAR = 0.1  # a reading further than this from 0 has a clear sign
DIMENSIONS = ("arousal", "valence")


def fit_lines(read: F64, felt: F64) -> F64:
    """The lines that bring readings nearest to what people felt.

    Args:
        read: (N, 2), a model's readings of unseen photos.
        felt: (N, 2), people's means.

    Returns:
        (2, 2): slope and offset of arousal, then of valence.
    """
    return np.stack([np.polyfit(read[:, dimension], felt[:, dimension], 1) for dimension in range(2)])


def apply_lines(read: F64, lines: F64) -> F64:
    """Readings (N, 2) on people's scale, within [-1, 1]."""
    return np.asarray(np.clip(read * lines[:, 0] + lines[:, 1], -1, 1))


def list_doubtful(names: Sequence[str], read: F64, judged: F64) -> list[str]:
    """Names of pictures at which labeller and judge clearly differ in the sign of arousal or valence.

    Args:
        names: of the pictures.
        read: (N, 2), the labeller's.
        judged: (N, 2), the judge's.
    """
    differ = (read * judged < 0) & (np.minimum(np.abs(read), np.abs(judged)) > CLEAR)
    return [names[int(row)] for row in np.flatnonzero(differ.any(axis=1))]


def read_squares(rows: list[dict[str, str]], folder: Path, backbone: PictureFeatures) -> F32:
    """Features of the square around each picture's focus: (N, D)."""
    squares = []
    for row in rows:
        window = Window(*(float(row[column]) for column in ("left", "top", "width", "height")))
        focus = (float(row["focus_x"]), float(row["focus_y"]))
        picture = Picture(row["file"], row["name"], row["theme"], row["also"], 0, 0, "model", None, focus, window)
        squares.append(np.asarray(open_picture(folder, picture, (1, 1))))
    return backbone.extract(squares)


def correlate(one: F64, other: F64) -> str:
    """Pearson's r of arousal and valence, as text."""
    values = [np.corrcoef(one[:, dimension], other[:, dimension])[0, 1] for dimension in range(2)]
    return f"r(arousal) {values[0]:.3f}  r(valence) {values[1]:.3f}  n {len(one)}"


def write_rows(rows: list[dict[str, str]], table: Path) -> None:
    """Writes the table anew."""
    with table.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def fill_people(rows: list[dict[str, str]], oasis: Path) -> None:
    """Puts people's means, to four digits, into rows that people rated."""
    with (oasis / "oasis.csv").open(newline="", encoding="utf-8") as lines:
        rated = {row["file"]: row for row in csv.DictReader(lines)}
    for row in rows:
        if row["rated_by"] == "people":
            means = rated[Path(row["file"]).name]
            row |= {name: f"{from_rating(float(means[f'{name}_mean'])):.4f}" for name in DIMENSIONS}


def fill_model(rows: list[dict[str, str]], read: F64, judged: F64) -> None:
    """Puts the labeller's and the judge's readings into their rows, which a model rates."""
    for row, ours, theirs in zip(rows, read.tolist(), judged.tolist(), strict=True):
        row |= {name: f"{value:.4f}" for name, value in zip(DIMENSIONS, ours, strict=True)}
        row |= {f"judge_{name}": f"{value:.4f}" for name, value in zip(DIMENSIONS, theirs, strict=True)}


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--oasis", type=Path, required=True, help="folder with oasis.csv and images/")
    parser.add_argument("--table", type=Path, default=PICTURES, help="table that is filled in (default: the committed)")
    options = parser.parse_args(arguments)
    with options.table.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    backbone = PictureFeatures(find_file("eyes.onnx", [EMBEDDED]))
    labeller, judge = (load_judge(find_file(f"{name}.npz", [EMBEDDED])) for name in ("labeller", "judge"))
    photos = read_photos(options.oasis / "oasis.csv")
    kept = np.flatnonzero(photos.impersonal)
    features = extract_features(backbone, options.oasis / "images", [photos.files[index] for index in kept])
    themes = [(photos.themes[index],) for index in kept]
    felt, unseen = photos.ratings[kept], labeller.read(features, themes)
    lines_fitted, judge_unseen = fit_lines(unseen, felt), judge.read(features, themes)
    unrated = [row for row in rows if row["rated_by"] == "model"]
    read, judged = _read_unrated(unrated, options.pictures, backbone, (labeller, judge), lines_fitted)
    fill_people(rows, options.oasis)
    fill_model(unrated, read, judged)
    write_rows(rows, options.table)
    doubtful = list_doubtful([row["name"] for row in unrated], read, judged)
    sys.stdout.write(
        f"labeller to people: arousal {lines_fitted[0, 0]:.4f} x {lines_fitted[0, 1]:+.4f}, "
        f"valence {lines_fitted[1, 0]:.4f} x {lines_fitted[1, 1]:+.4f}\n"
        f"labeller and people: {correlate(unseen, felt)}\n"
        f"judge and people:    {correlate(judge_unseen, felt)}\n"
        f"labeller and judge, rated:   {correlate(unseen, judge_unseen)}\n"
        f"labeller and judge, unrated: {correlate(read, judged)}\n"
        f"clearly differ in sign: {', '.join(doubtful) or 'none'}\n"
    )


def _read_unrated(
    rows: list[dict[str, str]], folder: Path, backbone: PictureFeatures, models: tuple[Judge, Judge], lines: F64
) -> tuple[F64, F64]:
    """The labeller's readings, on people's scale, and the judge's."""
    features = read_squares(rows, folder, backbone)
    labeller, judge = models
    themes: list[tuple[str, ...]] = [()] * len(rows)
    return apply_lines(labeller.read(features, themes), lines), judge.read(features, themes)


if __name__ == "__main__":
    main()
