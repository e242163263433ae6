"""deepsing train generator: makes an engine of a folder of pictures, and the table of concepts for its translator."""

import argparse
import asyncio
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
from PIL import Image, ImageOps
from rich.progress import track

import services.generator
from deepsing.cli.composer import open_service
from deepsing.cli.entry import run_command
from deepsing.client.status import convert_error
from deepsing.local.failures import USAGE, CommandError
from deepsing.local.models_folder import models_folder
from deepsing.rpc.channel import open_channel
from deepsing.v1.sentiment_pb2 import Sentiment
from deepsing.v1.translator_pb2 import Picture, ReadPicturesRequest
from deepsing.v1.translator_pb2_grpc import TranslatorServiceStub
from services.generator.concepts import Concept
from training.generator.canvas.pictures import MIN_PICTURES, load_pictures, read_list
from training.generator.evaluate import measure_sharpness
from training.manifest import compute_digest, write_manifest
from training.program import new_parser
from training.ratings import read_rated_pictures, read_rating_source
from training.translator.build_concepts import build_table, write_table

__all__ = ["build_parser", "main"]

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SHIPPED = Path(services.generator.__file__).parent / "weights" / "canvas.onnx"
SOURCES = {  # of the sentiments, by who rated
    "people": "means of the ratings that the user gave, (mean - 4) / 3.",
    "model": "readings of a model; nobody was asked.",
    "mixed": "for some pictures means of the ratings that the user gave, (mean - 4) / 3, else readings of a model.",
}
SIZE_PX = 256  # side of the pictures that the judge reads
BATCH = 16
CALL_LIMIT_S = 60.0
EXAMPLES = """The ratings are a CSV with one row for each picture and these columns:
  file                        the picture's file in the folder of --images
  arousal_mean, valence_mean  mean ratings of people, 1 to 7; 4 is neutral
  concept                     if you like: the name of what it shows (default: the file's name)
  rated_by                    if you like: people or model; the engine says it of itself (default: people)
Without ratings, the image-sentiment model that comes with deepsing rates the pictures. Nothing is trained: pictures are
encoded as those of the engine that comes with deepsing. Each is cut to 5 : 4 around its middle.

examples:
  deepsing train generator --images holiday-photos/ --name holiday
  deepsing train generator --images art/ --ratings art.csv --name art
"""


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser(
        "deepsing train generator",
        "Makes an engine of your own pictures, in a minute or two for 100; needs PyTorch.",
        EXAMPLES,
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="the pictures; 100 or more are good")
    parser.add_argument(
        "--ratings", type=Path, metavar="CSV", help="what people felt at them (default: a model rates them)"
    )
    parser.add_argument("--name", default="mine", help="of the engine (default: mine)")
    parser.add_argument(
        "--out",
        type=Path,
        default=models_folder(),
        metavar="DIR",
        help="for the engine (default: where deepsing models looks)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    return run_command(lambda: _make(options))


def _make(options: argparse.Namespace) -> int:
    work: Path = options.out / f"{options.name}.training"
    work.mkdir(parents=True, exist_ok=True)
    pictures = _find_pictures(options.images)
    ratings, anchors = work / "ratings.csv", work / "anchors.csv"
    if options.ratings:
        ratings.write_bytes(options.ratings.read_bytes())
    elif not ratings.exists():
        felt = asyncio.run(_rate_pictures(pictures))
        rows = [_to_row(picture, sentiment) for picture, sentiment in zip(pictures, felt, strict=True)]
        _write_csv(ratings, ["file", "arousal_mean", "valence_mean", "rated_by"], rows)
    _write_csv(anchors, ["file", "concept"], _read_concepts(ratings, pictures))
    count = _write_engine(options, ratings, anchors)
    sys.stdout.write(f"{options.out / options.name}.onnx: an engine of {count} concepts; try it:\n")
    elsewhere = "" if options.out == models_folder() else f"DEEPSING_MODELS_DIR={options.out.resolve()} "
    sys.stdout.write(f"  {elsewhere}deepsing render SONG story.mp4 --engine {options.name}\n")
    return 0


def _write_engine(options: argparse.Namespace, ratings: Path, anchors: Path) -> int:
    """Writes engine, manifest and concept table; returns the number of concepts."""
    from training.generator.own_engine import write_own_engine  # needs torch, which --help does without

    rated, rater = read_rated_pictures(anchors, ratings), read_rating_source(ratings)
    concepts = [Concept(one.concept, one.arousal, one.valence) for one in rated]
    shown = load_pictures(options.images, read_list(anchors, rated=False))
    path = options.out / f"{options.name}.onnx"
    write_own_engine(SHIPPED, shown, concepts, path)
    write_manifest(
        path,
        {
            "engine": "canvas",
            "rated_by": rater,
            "data": f"{len(concepts)} pictures of the user; sentiments: {SOURCES[rater]}",
            "command": "deepsing train generator",
            "made_from_sha256": compute_digest(SHIPPED),
            "metrics": {"psnr_db": measure_sharpness(path, shown)},
            "anchors": [one.file for one in rated],
        },
    )
    table = build_table(anchors, ratings, options.name, f"Sentiments: {SOURCES[rater]}")
    write_table(table, options.out / f"{options.name}_concepts.json")
    return len(concepts)


def _find_pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CommandError(f"--images is {folder}, which is not a folder; give one with pictures", USAGE)
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if len(found) < MIN_PICTURES:
        kinds = ", ".join(sorted(SUFFIXES))
        raise CommandError(
            f"{folder} holds {len(found)} pictures ({kinds}); an engine needs at least {MIN_PICTURES}", USAGE
        )
    return found


async def _rate_pictures(pictures: list[Path]) -> list[Sentiment]:
    """The judge's readings of the pictures, in their order."""
    felt: list[Sentiment] = []
    async with open_service(None, "translator") as target, open_channel(target) as channel:
        stub = TranslatorServiceStub(channel)
        for first in track(range(0, len(pictures), BATCH), description="rating the pictures"):
            batch = [Picture(image=_encode_picture(path)) for path in pictures[first : first + BATCH]]
            try:
                answer = await stub.ReadPictures(ReadPicturesRequest(pictures=batch), timeout=CALL_LIMIT_S)
            except grpc.aio.AioRpcError as call_error:
                raise convert_error(call_error, target) from None
            felt += answer.achieved
    return felt


def _encode_picture(path: Path) -> bytes:
    encoded = io.BytesIO()
    with Image.open(path) as picture:
        square = ImageOps.fit(picture.convert("RGB"), (SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS)
        square.save(encoded, "PNG")
    return encoded.getvalue()


def _to_row(picture: Path, felt: Sentiment) -> list[object]:
    """On the scale of people's ratings, 1 to 7."""
    return [picture.name, round(4 + 3 * felt.arousal, 3), round(4 + 3 * felt.valence, 3), "model"]


def _read_concepts(ratings: Path, pictures: list[Path]) -> list[list[object]]:
    """The rated pictures of the folder, each with the name of its concept."""
    with ratings.open(newline="", encoding="utf-8") as lines:
        names = {row["file"]: row.get("concept") for row in csv.DictReader(lines)}
    rows: list[list[object]] = [
        [path.name, names[path.name] or path.stem.replace("_", " ").lower()] for path in pictures if path.name in names
    ]
    if len(rows) < MIN_PICTURES:
        raise CommandError(f"{ratings} rates {len(rows)} of the pictures; at least {MIN_PICTURES} are needed", USAGE)
    return rows


def _write_csv(path: Path, head: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])


if __name__ == "__main__":
    raise SystemExit(main())
