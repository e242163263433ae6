"""Judging ends with its caller, between two pictures, and a large request does not keep small ones waiting."""

import asyncio
import io
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepsing.v1 import sentiment_pb2
from deepsing.v1 import translator_pb2 as tr
from services.translator.judge.service import JudgeService

SOON_S = 20.0


class SlowReader:
    """Takes a moment for each picture, until it is released."""

    def __init__(self) -> None:
        self.seen, self.began, self.release = 0, threading.Event(), threading.Event()

    def read(self, pictures: Sequence[Any], concepts: Sequence[Any], pause: Callable[[], None]) -> Any:
        for _ in pictures:
            self.seen += 1
            self.began.set()
            self.release.wait(SOON_S)
            pause()
        return np.zeros((len(pictures), 2))


def ask(count: int) -> tr.ReadPicturesRequest:
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "PNG")
    return tr.ReadPicturesRequest(pictures=[tr.Picture(image=out.getvalue())] * count)


async def test_a_request_whose_caller_left_reads_no_further_picture() -> None:
    reader = SlowReader()
    service = JudgeService(reader, sentiment_pb2.Judge())  # type: ignore[arg-type]
    lexicon: Any = SimpleNamespace(names=(), themes=())
    task = asyncio.create_task(service.read(ask(64), lexicon))
    assert await asyncio.to_thread(reader.began.wait, SOON_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    reader.release.set()
    async with asyncio.timeout(SOON_S):
        answer = await service.read(ask(1), lexicon)
    assert (len(answer.achieved), reader.seen) == (1, 2)
    service.close()
