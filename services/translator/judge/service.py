"""ReadPictures: checks requests and judges their pictures, one request after another; the maths is in model.py.

What is no picture, or too large, is refused before much of it is decoded.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from deepsing.access.accounts import caller_name
from deepsing.rpc.errors import InvalidArgument, ResourceExhausted
from deepsing.runtime.artifacts import load_artifact
from deepsing.runtime.fair_queue import QueueFull
from deepsing.runtime.fair_threads import FairThreads, Pause
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2, translator_pb2
from services.translator.catalogue import EMBEDDED
from services.translator.judge.model import SIZE_PX
from services.translator.judge.pictures import MAX_BYTES, MAX_PIXELS, PictureError, open_picture
from services.translator.judge.reader import BACKBONE, JUDGE, PictureReader, open_reader
from services.translator.lexicon import F64, Lexicon

__all__ = ["LARGEST_REQUEST_BYTES", "MAX_BYTES", "MAX_PIXELS", "JudgeService", "check_count"]

MAX_PICTURES, MAX_CONCEPTS = 64, 16  # of one request; concepts of one picture
MAX_REQUEST_BYTES = 2**24  # of all pictures of one request
LARGEST_REQUEST_BYTES = MAX_REQUEST_BYTES + 2**21  # room for a picture too large, so that it is refused with its rule
MAX_WAITING_BYTES = 64 * 2**20  # of pictures that wait; a request is always taken if no other waits
MAX_WAITING = 256  # requests
FIRST_S = 1.0  # a request that takes longer, which an honest one does not, waits for all that came after it
RETRY_AFTER_S = 1.0


class JudgeService:
    """Judges pictures one request after another; a request ends with its caller, between two pictures.

    Args:
        reader: of pictures.
        judge: its digest and agreement with people.
    """

    def __init__(self, reader: PictureReader, judge: sentiment_pb2.Judge) -> None:
        self._reader, self._judge = reader, judge
        # One turn at a time: judging must not take the cores from translating and painting.
        self._threads = FairThreads("judge", turns=1, most=MAX_WAITING, first_s=FIRST_S)
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
        size = request.ByteSize()
        if size > MAX_REQUEST_BYTES:
            message = f"the pictures have {size} bytes together; send at most {MAX_REQUEST_BYTES}, or in more requests"
            reason = reasons.ERROR_REASON_PICTURE_TOO_LARGE
            raise InvalidArgument(message, reason=reason, field="pictures", value=size)
        themes = _parse_themes(request, lexicon)
        with self._reserve(size):
            read = await self._run_in_turn(request, themes)
        achieved = [sentiment_pb2.Sentiment(arousal=arousal, valence=valence) for arousal, valence in read.tolist()]
        return translator_pb2.ReadPicturesResponse(achieved=achieved, judge=self._judge)

    def close(self) -> None:
        """Drops pictures that wait."""
        self._threads.close()

    async def _run_in_turn(self, request: translator_pb2.ReadPicturesRequest, themes: Sequence[Sequence[str]]) -> F64:
        try:
            return await self._threads.run(
                lambda pause: _read_images(self._reader, request, themes, pause), caller=caller_name()
            )
        except QueueFull as full:
            message = f"{full}; try again in {RETRY_AFTER_S:g} s"
            reason = reasons.ERROR_REASON_QUEUE_FULL
            raise ResourceExhausted(message, reason=reason, retry_after_s=RETRY_AFTER_S) from None

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


def _read_images(
    reader: PictureReader,
    request: translator_pb2.ReadPicturesRequest,
    themes: Sequence[Sequence[str]],
    pause: Pause,
) -> F64:
    """Opens and judges pictures: (n, 2)."""
    pictures = []
    for number, picture in enumerate(request.pictures):
        pause()
        try:
            pictures.append(open_picture(picture.image))
        except PictureError as error:
            field = f"pictures[{number}].image"
            if error.kind == "too_large":
                rule = f"send at most {MAX_BYTES} bytes and {MAX_PIXELS} pixels, in few scans"
                message = f"picture {number} {error.fault}; {rule}"
                reason = reasons.ERROR_REASON_PICTURE_TOO_LARGE
            else:
                message = f"picture {number} cannot be read ({error.fault}); send JPEG or PNG"
                reason = reasons.ERROR_REASON_PICTURE_UNREADABLE
            raise InvalidArgument(message, reason=reason, field=field, value=error.fault) from error
    return reader.read(pictures, themes, pause)
