"""ReadPictures: checks requests and judges their pictures, one request after another; the maths is in model.py.

What is no picture, or too large, is refused before much of it is decoded.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from deepsing.rpc.errors import InvalidArgument, ResourceExhausted
from deepsing.runtime.artifacts import load_artifact
from deepsing.runtime.onnx import DeviceThread
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2, translator_pb2
from services.translator.catalogue import EMBEDDED
from services.translator.judge.model import SIZE_PX, crop_square
from services.translator.judge.reader import BACKBONE, JUDGE, PictureReader, open_reader
from services.translator.lexicon import F64, Lexicon

__all__ = ["LARGEST_REQUEST_BYTES", "MAX_BYTES", "MAX_PIXELS", "JudgeService", "check_count"]

MAX_BYTES, MAX_PIXELS = 2**20, 2**22  # of one picture
MAX_PICTURES, MAX_CONCEPTS = 64, 16  # of one request; concepts of one picture
LARGEST_REQUEST_BYTES = (
    MAX_PICTURES * (MAX_BYTES + 2**10) + 2**20
)  # room for a picture slightly too large, so that it is refused with its rule
MAX_WAITING_BYTES = 64 * 2**20  # of pictures that wait; a request is always taken if no other waits
RETRY_AFTER_S = 1.0
FORMATS = ("JPEG", "PNG")  # the only decoders of Pillow that see the bytes
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


class JudgeService:
    """Judges pictures in a thread of its own, one request after another.

    Args:
        reader: of pictures.
        judge: its digest and agreement with people.
    """

    def __init__(self, reader: PictureReader, judge: sentiment_pb2.Judge) -> None:
        self._reader, self._judge = reader, judge
        self._thread = DeviceThread(
            "judge"
        )  # one thread: judging must not take the cores from translating and painting
        self._waiting_bytes = 0  # of pictures that wait or are being judged

    @classmethod
    def from_folders(cls, folders: Sequence[Path]) -> "JudgeService":
        """Opens judge and backbone of the first folder that has both, else the shipped ones, and runs them once.

        Raises:
            ArtifactError: a file of the judge differs from its manifest.
        """
        own = (folder for folder in folders if (folder / BACKBONE).exists() and (folder / JUDGE).exists())
        folder = next(own, EMBEDDED)
        backbone, judge = folder / BACKBONE, folder / JUDGE
        load_artifact(backbone.with_suffix(".json"))
        manifest, _ = load_artifact(judge.with_suffix(".json"))
        reader = open_reader(folder)
        reader.read([np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)], [()])
        measured = manifest.data.get("metrics", {}).get("all", {})
        known = {
            name: sentiment_pb2.JudgeAgreement(r=measured[name]["r"], n=measured["n"])
            for name in ("arousal", "valence")
            if name in measured
        }
        return cls(reader, sentiment_pb2.Judge(digest=reader.digest, **known))

    async def read(
        self, request: translator_pb2.ReadPicturesRequest, lexicon: Lexicon
    ) -> translator_pb2.ReadPicturesResponse:
        """Checks and answers a request.

        Args:
            request: of ReadPictures.
            lexicon: of the engine that made its pictures.

        Raises:
            InvalidArgument: the request breaks a limit.
            ResourceExhausted: too many pictures are waiting.
        """
        check_count(len(request.pictures), MAX_PICTURES, "pictures")
        themes = _parse_themes(request, lexicon)
        images = [picture.image for picture in request.pictures]
        with self._reserve(sum(map(len, images))):
            read = await self._thread.run(_read_images, self._reader, images, themes)
        achieved = [sentiment_pb2.Sentiment(arousal=arousal, valence=valence) for arousal, valence in read.tolist()]
        return translator_pb2.ReadPicturesResponse(achieved=achieved, judge=self._judge)

    def close(self) -> None:
        """Drops pictures that wait."""
        self._thread.close()

    @contextmanager
    def _reserve(self, size: int) -> Iterator[None]:
        """Counts the bytes of a request while it waits; refuses it if there are too many."""
        if self._waiting_bytes and self._waiting_bytes + size > MAX_WAITING_BYTES:
            message = f"{self._waiting_bytes} bytes of pictures are waiting; try again in {RETRY_AFTER_S:g} s"
            raise ResourceExhausted(message, reason=reasons.ERROR_REASON_QUEUE_FULL, retry_after_s=RETRY_AFTER_S)
        self._waiting_bytes += size
        try:
            yield
        finally:
            self._waiting_bytes -= size


def check_count(count: int, most: int, field: str) -> None:
    """Raises InvalidArgument BATCH_EMPTY or BATCH_TOO_LARGE if a batch has no item, or more than `most`."""
    if count == 0:
        reason = reasons.ERROR_REASON_BATCH_EMPTY
        raise InvalidArgument("the batch is empty; send at least 1", reason=reason, field=field, value=count)
    if count > most:
        message = f"the batch has {count} {field}; send at most {most}"
        raise InvalidArgument(message, reason=reasons.ERROR_REASON_BATCH_TOO_LARGE, field=field, value=count)


def _parse_themes(request: translator_pb2.ReadPicturesRequest, lexicon: Lexicon) -> list[list[str]]:
    """The themes of the concepts of each picture."""
    last, reason = len(lexicon.names) - 1, reasons.ERROR_REASON_CONCEPT_UNKNOWN
    for number, picture in enumerate(request.pictures):
        field = f"pictures[{number}].concepts"
        if len(picture.concepts) > MAX_CONCEPTS:
            count = len(picture.concepts)
            message = f"picture {number} has {count} concepts; send the heaviest {MAX_CONCEPTS}"
            raise InvalidArgument(message, reason=reason, field=field, value=count)
        unknown = next((concept for concept in picture.concepts if concept > last), None)
        if unknown is not None:
            raise InvalidArgument(
                f"concept is {unknown}; choose 0 to {last}", reason=reason, field=field, value=unknown
            )
    return [[lexicon.themes[concept] for concept in picture.concepts] for picture in request.pictures]


def _read_images(reader: PictureReader, images: Sequence[bytes], themes: Sequence[Sequence[str]]) -> F64:
    """Opens and judges pictures: (n, 2)."""
    pictures = []
    for number, image in enumerate(images):
        try:
            pictures.append(_open_picture(image))
        except _PictureError as error:
            field = f"pictures[{number}].image"
            if error.kind == "too_large":
                message = f"picture {number} {error.fault}; send at most {MAX_BYTES} bytes and {MAX_PIXELS} pixels"
                reason = reasons.ERROR_REASON_PICTURE_TOO_LARGE
            else:
                message = f"picture {number} cannot be read ({error.fault}); send JPEG or PNG"
                reason = reasons.ERROR_REASON_PICTURE_UNREADABLE
            raise InvalidArgument(message, reason=reason, field=field, value=error.fault) from error
    return reader.read(pictures, themes)


class _PictureError(Exception):
    """A picture cannot be opened.

    Args:
        kind: what is wrong with it.
        fault: what was found, for example "has 5000 x 4000 pixels".
    """

    def __init__(self, kind: Literal["unreadable", "too_large"], fault: str) -> None:
        super().__init__(fault)
        self.kind, self.fault = kind, fault


def _open_picture(image: bytes) -> NDArray[np.uint8]:
    """Opens a picture for the judge: its centre square, (SIZE_PX, SIZE_PX, 3), 8-bit RGB.

    The size is checked before any pixel is decoded, and a large JPEG is decoded at a fraction of its size.

    Args:
        image: JPEG or PNG, at most MAX_BYTES and MAX_PIXELS.

    Raises:
        _PictureError: it is neither, or too large.
    """
    if len(image) > MAX_BYTES:
        raise _PictureError("too_large", f"has {len(image)} bytes")
    try:
        with Image.open(BytesIO(image), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise _PictureError("too_large", f"has {width} x {height} pixels")
            picture.draft("RGB", (2 * SIZE_PX, 2 * SIZE_PX))
            return crop_square(np.asarray(picture.convert("RGB")))
    except BOMBS:
        raise _PictureError("too_large", "has far too many pixels") from None
    except UnidentifiedImageError:
        raise _PictureError("unreadable", "neither JPEG nor PNG") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises for broken files
        raise _PictureError("unreadable", str(error) or type(error).__name__) from error
