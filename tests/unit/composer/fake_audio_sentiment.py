"""A fake of audio_sentiment, whose sentiments are sine waves, or passages with beats; tests can make it fail."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from math import sin
from typing import Any

import grpc

from deepsing.audio import decode_blocks
from deepsing.rpc.errors import STATUS_DETAILS, FailedPrecondition, ServiceError
from deepsing.v1 import audio_sentiment_pb2, audio_sentiment_pb2_grpc, sentiment_pb2
from deepsing.v1 import error_reason_pb2 as reasons

PASSAGE_WINDOWS = 8  # 4 s


class FakeAudioSentiment(audio_sentiment_pb2_grpc.AudioSentimentServiceServicer):
    """Analyses raw samples window by window, encoded songs when they are complete."""

    def __init__(self) -> None:
        self.fail_after: int | None = None  # the next call fails after so many points, once
        self.heard = asyncio.Event()  # set when a whole song was analysed
        self.digest = "aa"
        self.typical_mean = sentiment_pb2.Sentiment(arousal=0.05, valence=0.08)
        self.typical_spread = sentiment_pb2.Sentiment(arousal=0.39, valence=0.30)
        self.lag_us = 2_000_000
        self.hearings = [audio_sentiment_pb2.HEARING_LIVE, audio_sentiment_pb2.HEARING_WHOLE]
        self.form: tuple[int, ...] = ()  # section of each passage of PASSAGE_WINDOWS; empty: no passages and rhythm
        self.warnings: list[sentiment_pb2.SongWarning] = []  # of every song
        self.configs: list[audio_sentiment_pb2.AnalyzeConfig] = []
        self.mismatch_count = 0  # number of calls that will be refused with MODEL_MISMATCH
        self.unanswered_count = 0  # number of calls that will never be answered

    async def GetModel(self, request: Any, context: grpc.aio.ServicerContext) -> audio_sentiment_pb2.GetModelResponse:
        return audio_sentiment_pb2.GetModelResponse(
            digest=self.digest,
            typical_mean=self.typical_mean,
            typical_spread=self.typical_spread,
            lag_us=self.lag_us,
            hearings=[
                audio_sentiment_pb2.HearingModel(
                    hearing=hearing,
                    typical_mean=self.typical_mean,
                    typical_spread=self.typical_spread,
                    lag_us=self.lag_us,
                )
                for hearing in self.hearings
            ],
        )

    async def Analyze(
        self, requests: Any, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[audio_sentiment_pb2.AnalyzeResponse]:
        config = (await anext(aiter(requests))).config
        self.configs.append(config)
        if self.mismatch_count:
            self.mismatch_count -= 1
            await refuse(context, FailedPrecondition("another model", reason=reasons.ERROR_REASON_MODEL_MISMATCH))
        if self.unanswered_count:
            self.unanswered_count -= 1
            await asyncio.Event().wait()
        rate, received, sent = config.audio_format.sample_rate_hz, bytearray(), 0
        raw = bool(config.audio_format.sample_format)
        async for request in requests:
            received += request.audio_chunk
            if config.send_progress and raw:
                heard_us = len(received) // 2 * 1_000_000 // rate
                progress = audio_sentiment_pb2.AnalyzeProgress(heard_us=heard_us, byte_count=len(received))
                yield audio_sentiment_pb2.AnalyzeResponse(progress=progress)
            while raw and len(received) // 2 >= (sent + 1) * rate // 2:
                yield self.point(sent)
                sent += 1
        if raw:
            count = len(received) // 2
        else:
            with decode_blocks(BytesIO(bytes(received))) as decoding:
                count = sum(len(block) for block in decoding)
                rate = decoding.facts.sample_rate_hz
        for place in range(sent, -(-count * 2 // rate)):
            if self.fail_after == place:
                self.fail_after = None
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            left_us = count * 1_000_000 // rate - place * 500_000
            yield self.point(place, min(500_000, left_us))
        facts = sentiment_pb2.SongFacts(
            duration_us=count * 1_000_000 // rate, sample_count=count, sample_rate_hz=rate, codec="fake"
        )
        facts.warnings.extend(self.warnings)
        self.heard.set()
        yield audio_sentiment_pb2.AnalyzeResponse(
            summary=audio_sentiment_pb2.AnalyzeSummary(song=facts, model_digest=self.digest)
        )

    def point(self, place: int, duration_us: int = 0) -> audio_sentiment_pb2.AnalyzeResponse:
        sentiment = sentiment_pb2.Sentiment(arousal=0.8 * sin(place / 7), valence=0.8 * sin(place / 11))
        point = sentiment_pb2.AffectPoint(
            time_us=place * 500_000, sentiment=sentiment, loudness=0.5, onset_strength=0.1
        )
        point.duration_us = duration_us
        if self.form:
            self._add_form(point, place)
        return audio_sentiment_pb2.AnalyzeResponse(point=point)

    def _add_form(self, point: sentiment_pb2.AffectPoint, place: int) -> None:
        """Passages of PASSAGE_WINDOWS, and a beat at the start of every window: 120 a minute, four to the bar."""
        point.passage = min(place // PASSAGE_WINDOWS, len(self.form) - 1)
        point.section = self.form[point.passage]
        point.sentiment.arousal, point.sentiment.valence = 0.4 * (-1) ** point.section, 0.1 * point.section
        point.certainty.arousal, point.certainty.valence = 0.9, 0.75
        rhythm = point.rhythm
        rhythm.low_onsets, rhythm.middle_onsets, rhythm.high_onsets = b"\xff" + bytes(49), bytes(50), bytes(50)
        rhythm.beats.add(time_us=point.time_us, position=place % 4 + 1, certainty=0.8)
        rhythm.tempo.beats_per_minute, rhythm.tempo.beats_per_bar, rhythm.tempo.certainty = 120.0, 4, 0.7


async def refuse(context: grpc.aio.ServicerContext, error: ServiceError) -> None:
    """Ends a call with a reason, as a real service does."""
    await context.abort(error.code, str(error), ((STATUS_DETAILS, error.to_status().SerializeToString()),))
