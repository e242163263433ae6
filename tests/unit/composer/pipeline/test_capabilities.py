"""What the other services report about their models, and how a story uses it."""

from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest

from deepsing.v1 import audio_sentiment_pb2, sentiment_pb2
from tests.unit.composer.fakes import Stage, config, stage, upload
from tests.unit.composer.session.test_session import SONG, compose_all, expect_refusal, only


@pytest.fixture
async def composer() -> AsyncIterator[Stage]:
    async with stage() as running:
        yield running


async def read_targets(composer: Stage) -> np.ndarray:
    frames = only(await compose_all(composer.stub, config()), "frame")
    return np.array([(one.target.arousal, one.target.valence) for one in frames])


async def test_targets_are_relative_to_the_audio_models_typical_sentiments(composer: Stage) -> None:
    before = await read_targets(composer)
    composer.audio.typical_mean = sentiment_pb2.Sentiment(arousal=0.25, valence=0.08)
    after = await read_targets(composer)
    spread = (before[:, 1] - before[:, 1].mean()).std()
    assert spread > 0.01
    assert (after[:, 0] < before[:, 0] - 0.01).all()
    assert after[:, 1] == pytest.approx(before[:, 1], abs=1e-6)


async def test_looking_ahead_takes_out_the_lag_that_the_audio_model_states(composer: Stage) -> None:
    before = await read_targets(composer)
    composer.audio.lag_us = 1_000_000
    after = await read_targets(composer)
    assert after[24:96] == pytest.approx(before[:72], abs=1e-6)  # a second later, at 24 frames a second


@pytest.mark.parametrize("wrong", [{"arousal": 0.0, "valence": 0.3}, {"arousal": 0.39, "valence": 1.5}])
async def test_an_audio_model_that_does_not_say_what_is_typical_is_refused(
    composer: Stage, wrong: dict[str, float]
) -> None:
    composer.audio.typical_spread = sentiment_pb2.Sentiment(**wrong)
    code, reason, message = await expect_refusal(composer.stub.Compose(upload(config(), SONG)))
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert message == "audio_sentiment does not say what is typical of music; deploy it in this composer's version"


@pytest.mark.parametrize("served", [[], [audio_sentiment_pb2.HEARING_LIVE]])
async def test_an_audio_model_without_the_storys_hearing_is_refused(
    composer: Stage, served: list[audio_sentiment_pb2.Hearing.ValueType]
) -> None:
    composer.audio.hearings = served
    code, reason, message = await expect_refusal(composer.stub.Compose(upload(config(), SONG)))
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert message == "audio_sentiment does not say what is typical of music; deploy it in this composer's version"


async def test_a_story_of_a_song_at_hand_asks_for_the_whole_hearing(composer: Stage) -> None:
    await compose_all(composer.stub, config())
    assert [one.hearing for one in composer.audio.configs] == [audio_sentiment_pb2.HEARING_WHOLE]
