"""From a folder of pictures to an engine: four files, which appear together or not at all."""

import filecmp
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from deepsing.local.failures import USAGE, CommandError
from services.generator.concepts import Concept
from training.generator.canvas.pictures import MIN_PICTURES
from training.generator.evaluate import describe_sharpness, psnr_db
from training.generator.own.engine import EngineMaker
from training.generator.own.folder import LeftOut, name_pictures
from training.generator.own.ratings import Labeller, choose_rating
from training.generator.own.reading import U8, UnusablePicture, read_picture
from training.generator.own.report import EngineReport
from training.generator.own.sources import SHIPPED, OwnPictures
from training.generator.own.tables import UsedPicture, build_own_table, describe_ratings, name_rater, write_pictures
from training.generator.painting import open_engine, paint_rows
from training.manifest import compute_digest, write_manifest
from training.translator.build_concepts import write_table

__all__ = ["Progress", "build_engine"]

CHECKED = 16  # pictures that are painted with the finished engine and compared, at the most
ENDINGS = (".onnx", "_concepts.json", "_pictures.csv", ".json")  # the manifest last: with it the engine exists
FAULTS = 5  # that an error lists
COMMAND = "deepsing engine make"
Progress = Callable[[int, int], None]
"""Takes how many pictures are done, of how many."""


def build_engine(pictures: OwnPictures, name: str, out: Path, progress: Progress) -> EngineReport:
    """Writes an engine of pictures: NAME.onnx, NAME_concepts.json, NAME_pictures.csv and, last, the manifest NAME.json.

    Args:
        pictures: what is read.
        name: of the engine.
        out: folder for the files; it or the one that it shall lie in exists.
        progress: called after each picture.

    Raises:
        CommandError: fewer than MIN_PICTURES pictures can be used; the message says why the first others cannot.
    """
    report = EngineReport(out / f"{name}.onnx", left_out=list(pictures.left_out), notes=list(pictures.notes))
    folder = (out if out.exists() else out.parent) / f".{name}.{os.getpid()}"
    try:  # an interruption at any moment leaves no folder behind
        folder.mkdir(exist_ok=True)
        maker = EngineMaker(SHIPPED)
        checked = _read_pictures(pictures, maker, report, progress)
        _check_count(pictures, report)
        named = name_pictures([one.found for one in report.used])
        report.used = [replace(one, found=found) for one, found in zip(report.used, named, strict=True)]
        _write_files(folder, name, maker, report, checked)
        _publish(folder, name, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report


def _check_count(pictures: OwnPictures, report: EngineReport) -> None:
    if len(report.used) < MIN_PICTURES:
        faults = "".join(f"; {one.file} {one.why}" for one in report.left_out[:FAULTS])
        raise CommandError(
            f"of the pictures in {pictures.folder} (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF) {len(report.used)} can be "
            f"used, and an engine needs {MIN_PICTURES}{faults}",
            USAGE,
        )


def _read_pictures(
    pictures: OwnPictures, maker: EngineMaker, report: EngineReport, progress: Progress
) -> dict[int, U8]:
    """Reads and encodes one picture after another; returns those to compare the engine with, by concept."""
    labeller = Labeller()
    seen: dict[bytes, str] = {}
    checked: dict[int, U8] = {}
    every = -(-len(pictures.chosen) // CHECKED)
    for place, found in enumerate(pictures.chosen):
        try:
            read = read_picture(found.path)
            first = seen.setdefault(hashlib.sha256(read.pixels.tobytes()).digest(), found.file)
            if first != found.file:
                raise UnusablePicture(f"is the same picture as {first}")
        except UnusablePicture as fault:
            report.left_out.append(LeftOut(found.file, str(fault)))
        else:
            if place % every == 0:
                checked[len(report.used)] = read.pixels
            maker.add(read.pixels, read.subject)
            row, felt = pictures.rows.get(found.file), labeller.read(read.pixels)
            named = replace(found, name=row.name) if row else found
            report.used.append(UsedPicture(named, choose_rating(found, row, felt), felt, read.focus))
            if read.enlarged > 1:
                report.enlarged[found.file] = round(read.enlarged, 2)
        progress(place + 1, len(pictures.chosen))
    return checked


def _write_files(folder: Path, name: str, maker: EngineMaker, report: EngineReport, checked: dict[int, U8]) -> None:
    path = folder / f"{name}.onnx"
    used, rater = report.used, name_rater(report.used)
    concepts = [
        Concept(one.found.name, one.rating.arousal, one.rating.valence, one.found.themes, one.rating.rated_by)
        for one in used
    ]
    maker.write(concepts, path)
    report.psnr_db = _measure_sharpness(path, len(used), checked)
    write_table(build_own_table(name, used, maker.thumbs), folder / f"{name}_concepts.json")
    write_pictures(used, folder / f"{name}_pictures.csv")
    write_manifest(
        path,
        {
            "engine": "canvas",
            "rated_by": rater,
            "ratings": dict(Counter(one.rating.source for one in used)),
            "data": f"{len(used)} pictures of the user, rated: {describe_ratings(used)}.",
            "command": COMMAND,
            "made_from_sha256": compute_digest(SHIPPED),
            "metrics": {"psnr_db": report.psnr_db},
        },
    )


def _measure_sharpness(path: Path, count: int, pictures: dict[int, U8]) -> dict[str, float]:
    """How near the pictures that the engine paints are to those it was made of, by concept, dB."""
    if not pictures:
        return {}
    rows = np.eye(count, dtype=np.float32)[list(pictures)]
    made = np.stack(list(paint_rows(open_engine(path), rows)))
    return describe_sharpness(psnr_db(made, np.stack(list(pictures.values()))))


def _publish(folder: Path, name: str, out: Path) -> None:
    """Moves finished files to their place, unless they are there. Meanwhile the engine is missing, never broken."""
    files = [f"{name}{ending}" for ending in ENDINGS]
    if all((out / file).exists() and filecmp.cmp(folder / file, out / file, shallow=False) for file in files):
        return
    out.mkdir(exist_ok=True)
    (out / f"{name}.json").unlink(missing_ok=True)
    (out / f"{name}_views.npz").unlink(missing_ok=True)  # translators trained for a former engine of this name
    for file in files:
        (folder / file).replace(out / file)
