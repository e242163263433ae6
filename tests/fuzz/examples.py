"""Requests that the contract allows: spoilt in one place they get further than those that are all wrong."""

__all__ = ["EXAMPLES", "picture", "sound"]

import io
from collections.abc import Callable, Mapping
from functools import cache
from random import Random

from google.protobuf.message import Message
from PIL import Image

from deepsing.v1 import audio_sentiment_pb2, sentiment_pb2
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import generator_pb2 as gen
from deepsing.v1 import translator_pb2 as tr
from tests.encoding import tone, wav

CONCEPTS, NOISE = 136, 128  # of the built-in engine
SIZE = sentiment_pb2.Size(width_px=64, height_px=64)
SLOW = sentiment_pb2.FrameRate(numerator=2, denominator=1)


@cache
def sound() -> bytes:
    """A song of a second, 16 kB."""
    return wav((tone(1.0, 8000, 1) * 32_000).astype("<i2"), 8000, tag=1)


@cache
def picture() -> bytes:
    """A small JPEG."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 90, 30)).save(file, "JPEG")
    return file.getvalue()


def _config(choose: Random) -> pb.StoryConfig:
    return pb.StoryConfig(frame_rate=SLOW, size=SIZE, seed=choose.randrange(9), initial_credit=100)


def _compose(choose: Random) -> list[Message]:
    return [
        pb.ComposeRequest(config=_config(choose)),
        pb.ComposeRequest(credit=10),
        pb.ComposeRequest(audio_chunk=sound()),
        pb.ComposeRequest(end_of_audio=pb.EndOfAudio()),
    ]


def _probe(choose: Random) -> list[Message]:
    return [pb.ProbeRequest(config=_config(choose)), pb.ProbeRequest(audio_chunk=sound())]


def _plan(choose: Random) -> list[Message]:
    config = _config(choose)
    for second in range(choose.randrange(3)):
        key = config.storyboard.add(time_us=300_000 * second, locked=choose.random() < 0.5, motion=choose.random())
        key.concepts.add(name=choose.choice(["green field", "nothing"]), weight=1)
    return [pb.PlanStoryRequest(config=config), pb.PlanStoryRequest(audio_chunk=sound())]


def _await(choose: Random) -> list[Message]:
    kind, example = choose.choice([("probe", _probe), ("plan_story", _plan), ("create_story", _create)])
    return [pb.AwaitRequest(**{kind: request}) for request in example(choose)]


def _render(choose: Random) -> list[Message]:
    return [pb.RenderRequest(config=_config(choose), song=sound())]


def _analyze(choose: Random) -> list[Message]:
    config = audio_sentiment_pb2.AnalyzeConfig(live=choose.random() < 0.3)
    return [audio_sentiment_pb2.AnalyzeRequest(config=config), audio_sentiment_pb2.AnalyzeRequest(audio_chunk=sound())]


def _generate(choose: Random) -> list[Message]:
    weights = [0.0] * CONCEPTS
    weights[choose.randrange(CONCEPTS)] = 1.0
    return [gen.GenerateRequest(frame_count=1, class_weights=weights, noise=[0.1] * NOISE, truncation=0.3, size=SIZE)]


def _translate(choose: Random) -> list[Message]:
    feelings = [
        sentiment_pb2.Sentiment(arousal=choose.uniform(-1, 1), valence=0.2) for _ in range(choose.choice((1, 3)))
    ]
    return [tr.TranslateRequest(sentiments=feelings, recent_concepts=[1, 2])]


def _read(choose: Random) -> list[Message]:
    return [tr.ReadPicturesRequest(pictures=[tr.Picture(image=picture(), concepts=[choose.randrange(CONCEPTS)])])]


def _create(choose: Random) -> list[Message]:
    config = pb.StoryConfig(frame_rate=SLOW, size=SIZE, seed=choose.randrange(9))
    first = pb.CreateStoryRequest(config=config, idempotency_key=choose.choice(["", "one", "two"]))
    return [first, pb.CreateStoryRequest(audio_chunk=sound())]


def _list(choose: Random) -> list[Message]:
    return [pb.ListStoriesRequest(page_size=choose.randrange(1, 101), page_token=choose.choice(["", "7f" * 16]))]


EXAMPLES: Mapping[str, Callable[[Random], list[Message]]] = {
    "deepsing.v1.ComposerService.Compose": _compose,
    "deepsing.v1.ComposerService.Probe": _probe,
    "deepsing.v1.ComposerService.PlanStory": _plan,
    "deepsing.v1.ComposerService.Await": _await,
    "deepsing.v1.ComposerService.Render": _render,
    "deepsing.v1.ComposerService.CreateStory": _create,
    "deepsing.v1.ComposerService.ListStories": _list,
    "deepsing.v1.AudioSentimentService.Analyze": _analyze,
    "deepsing.v1.GeneratorService.Generate": _generate,
    "deepsing.v1.TranslatorService.Translate": _translate,
    "deepsing.v1.TranslatorService.ReadPictures": _read,
}
