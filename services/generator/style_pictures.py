"""Styles from the operator's own pictures, each with its sentiment, instead of the built-in styles.

Source: Passalis & Doropoulos (2021), section 3.4, style pictures for positive, neutral and negative sentiment.
Differs: any number of pictures with any sentiments; the description of a picture's style is predicted once, so that
styles blend from frame to frame (the original restyles finished frames offline).
"""

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from services.generator.concepts import Concept, concepts_from_json, concepts_to_json
from services.generator.session import Session
from services.generator.stylize import Stylist

__all__ = ["StylePicture", "open_picture_stylist", "read_style_pictures", "style_vectors", "styles_digest"]

TABLE = "styles.csv"
SIDE_PX = 256  # size of a picture for the network that describes its style
MOST = 64  # styles of one folder
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
BY_NAME = {
    "positive": (0.0, 0.5),
    "neutral": (0.0, 0.0),
    "negative": (0.0, -0.5),
}  # (arousal, valence) of files so named
RESERVED = ("none", "auto")  # have a meaning in StoryConfig.style


@dataclass(frozen=True)
class StylePicture:
    """A style and the picture it is taken from."""

    style: Concept
    path: Path
    share: float = 1.0  # how much of the style is shown at weight 1, (0, 1]


def read_style_pictures(folder: Path) -> list[StylePicture]:
    """Lists the styles of a folder.

    Args:
        folder: holds styles.csv with columns file, name, arousal, valence (-1 to 1) and optionally share (above 0, at
            most 1), and the files it names; or, without styles.csv, at least one picture called positive, neutral or
            negative (jpg, jpeg, png or webp).

    Raises:
        ValueError: the folder cannot be used; the message gives the fault and the way out.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give one that holds pictures and {TABLE}")
    table = folder / TABLE
    found = _read_table(table) if table.exists() else _find_named(folder)
    if not found and not table.exists():
        raise ValueError(
            f"{folder} has no {TABLE} and no picture called {_join(BY_NAME)} ({_join(SUFFIXES)}); name a picture so, "
            f"or list your pictures in {TABLE} with columns file, name, arousal, valence (-1 to 1)"
        )
    if not 1 <= len(found) <= MOST:
        raise ValueError(f"{table} lists {len(found)} styles; list 1 to {MOST}, one a line")
    concepts_from_json(concepts_to_json([one.style for one in found]))  # checks sentiments and names
    taken = [one.style.name for one in found if one.style.name in ("", *RESERVED)]
    if taken:
        raise ValueError(f"a style of {TABLE} is called {taken[0]!r}; choose another name")
    shares = [one.share for one in found if not 0 < one.share <= 1]
    if shares:
        raise ValueError(f"a share of {TABLE} is {shares[0]:g}; choose one above 0, at most 1")
    missing = [one.path for one in found if not one.path.is_file()]
    if missing:
        raise ValueError(f"{TABLE} names {missing[0].name}, which is not in {folder}; put it there")
    return found


def style_vectors(pictures: Sequence[StylePicture], predictor: Session) -> npt.NDArray[np.float32]:
    """Describes the style of each picture: (S, 100).

    Raises:
        ValueError: a file is not a picture.
    """
    return np.concatenate(
        [predictor.run(None, {"style_image": _read_picture(one.path)})[0] for one in pictures]
    ).reshape(len(pictures), -1)


def styles_digest(pictures: Sequence[StylePicture], networks: Sequence[str]) -> str:
    """Lower-case hex SHA-256 over the networks' digests, the names and sentiments, and the files."""
    hashed = hashlib.sha256(" ".join(networks).encode())
    hashed.update(concepts_to_json([one.style for one in pictures]).encode())
    for one in pictures:
        hashed.update(f"{one.share:.6f}".encode())
        hashed.update(hashlib.sha256(one.path.read_bytes()).digest())
    return hashed.hexdigest()


def open_picture_stylist(folder: Path, predictor: Session, network: Session, digests: Sequence[str]) -> Stylist:
    """Opens the styles of a folder of pictures.

    Args:
        folder: see `read_style_pictures`.
        predictor: network that describes the style of a picture.
        network: paints in described styles.
        digests: of both networks.

    Raises:
        ValueError: the folder or a picture cannot be used.
    """
    pictures = read_style_pictures(folder)
    return Stylist(
        styles_digest(pictures, digests),
        network,
        [one.style for one in pictures],
        style_vectors(pictures, predictor),
        [one.share for one in pictures],
    )


def _join(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}"


def _read_table(table: Path) -> list[StylePicture]:
    with table.open(newline="", encoding="utf-8-sig") as lines:
        rows = list(csv.DictReader(lines))
    try:
        return [
            StylePicture(
                Concept(row["name"], float(row["arousal"]), float(row["valence"])),
                table.parent / row["file"],
                float(row.get("share") or 1),
            )
            for row in rows
        ]
    except (KeyError, TypeError, ValueError) as error:
        message = f"{table} cannot be read ({error}); give it columns file, name, arousal, valence, one style a line"
        raise ValueError(message) from None


def _find_named(folder: Path) -> list[StylePicture]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and path.stem.lower() in BY_NAME:
            found.append(StylePicture(Concept(path.stem.lower(), *BY_NAME[path.stem.lower()]), path))
    return found


def _read_picture(path: Path) -> npt.NDArray[np.float32]:
    """Reads the centre square of a picture for the predictor: (1, SIDE_PX, SIDE_PX, 3) in [0, 1]."""
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as a picture ({error}); use a jpg, png or webp") from None
    fitted = ImageOps.fit(upright, (SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    return (np.asarray(fitted, dtype=np.float32) / np.float32(255))[None]
