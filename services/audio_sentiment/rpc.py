"""AudioSentimentService: checks requests against the contract and converts messages; the maths is in sentiment.py."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Literal

from deepsing.access.accounts import caller_name
from deepsing.access.server_security import security_from_environment
from deepsing.audio import AudioError, SongFacts
from deepsing.rpc.errors import (
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    ServiceError,
)
from deepsing.rpc.uploads import UploadClock
from deepsing.runtime.byte_budget import ByteBudget, ByteShare, build_refusal
from deepsing.runtime.onnx import DeviceThread
from deepsing.runtime.server import Service
from deepsing.runtime.settings import SettingsError, parse_folders, settings_from_environment
from deepsing.v1 import audio_sentiment_pb2, sentiment_pb2
from deepsing.v1 import audio_sentiment_pb2_grpc as stubs
from deepsing.v1 import error_reason_pb2 as reasons
from services.audio_sentiment.analyser import Analyser, Point
from services.audio_sentiment.metrics import collect_points
from services.audio_sentiment.models import Models, open_models
from services.audio_sentiment.readers import LOOK_AHEAD_S, Pacing
from services.audio_sentiment.rhythm.spectrum import FRAME_RATE_HZ
from services.audio_sentiment.rhythm.tracker import FORECAST_FRAMES, Beat, RhythmWindow, Tempo
from services.audio_sentiment.sentiment import WINDOW_US
from services.audio_sentiment.settings import PREFIX, Settings
from services.audio_sentiment.song_decoder import RawFormat, SongDecoder

__all__ = ["SERVICE", "AudioSentimentServicer"]

MAX_CHUNK_BYTES = 64 * 1024
MAX_SONG_BYTES = 512 * 2**20
MAX_SMOOTHING_US, MAX_CONTEXT_US = 60_000_000, 600_000_000
RETRY_S = 10.0
REFUSE_DISK = build_refusal(
    "songs on their way", f"or ask the operator to raise {PREFIX}SPOOL_BYTES", reasons.ERROR_REASON_DISK_FULL, 30
)
RAW_FORMATS: dict[int, Literal["s16le", "f32le"]] = {
    sentiment_pb2.SAMPLE_FORMAT_S16LE: "s16le",
    sentiment_pb2.SAMPLE_FORMAT_F32LE: "f32le",
}
Requests = AsyncIterator[audio_sentiment_pb2.AnalyzeRequest]


class AudioSentimentServicer(stubs.AudioSentimentServiceServicer):
    """Implements AudioSentimentService: each stream decodes in a thread of its own; all share the network's thread."""

    def __init__(self, models: Models, settings: Settings) -> None:
        self._models = models
        self._settings = settings
        self._device = DeviceThread("network")
        self._disk = ByteBudget(settings.spool_bytes, REFUSE_DISK)
        self._session_count = 0

    async def close(self) -> None:
        """Ends the network's thread."""
        self._device.close()

    async def Analyze(  # noqa: N802 (the contract's name)
        self, request_iterator: Requests, context: Any
    ) -> AsyncIterator[audio_sentiment_pb2.AnalyzeResponse]:
        """Sends a point for every half second as soon as the audio that it needs has arrived, then the summary."""
        with self._admit(), _translate_audio_errors(), self._disk.open_share(caller_name()) as disk:
            config = await self._receive_config(request_iterator)
            analyser = self._models.new_analyser(self._parse_pacing(config), whole=_parse_hearing(config.hearing))
            decoder = SongDecoder(
                live=config.live, limit_bytes=MAX_SONG_BYTES, raw=_parse_raw_format(config.audio_format)
            )
            async with decoder, self._run_upload(request_iterator, decoder, disk) as upload:
                async for block in decoder.blocks():
                    if config.send_progress:
                        progress = audio_sentiment_pb2.AnalyzeProgress(
                            heard_us=decoder.position_us, byte_count=decoder.byte_count
                        )
                        yield audio_sentiment_pb2.AnalyzeResponse(progress=progress)
                    for point in await self._device.run(collect_points, analyser.push(block)):
                        yield audio_sentiment_pb2.AnalyzeResponse(point=_encode_point(point))
                for point in await self._device.run(collect_points, analyser.finish(decoder.window_count)):
                    yield audio_sentiment_pb2.AnalyzeResponse(point=_encode_point(point, decoder.facts.duration_us))
                await upload
            yield audio_sentiment_pb2.AnalyzeResponse(summary=self._build_summary(analyser, decoder.facts))

    async def GetModel(  # noqa: N802 (the contract's name)
        self, request: audio_sentiment_pb2.GetModelRequest, context: Any
    ) -> audio_sentiment_pb2.GetModelResponse:
        """Describes the model: its digest, its points on music in general, and how far they trail the music."""
        live, whole = self._describe_hearings()
        return audio_sentiment_pb2.GetModelResponse(
            digest=self._models.digest,
            typical_mean=live.typical_mean,
            typical_spread=live.typical_spread,
            lag_us=live.lag_us,
            hearings=[live, whole],
        )

    def _describe_hearings(self) -> tuple[audio_sentiment_pb2.HearingModel, audio_sentiment_pb2.HearingModel]:
        """What a caller must know of LIVE and of WHOLE."""
        typical = self._models.typical
        live = audio_sentiment_pb2.HearingModel(
            hearing=audio_sentiment_pb2.HEARING_LIVE,
            typical_mean=_encode_sentiment(*typical["live"].mean),
            typical_spread=_encode_sentiment(*typical["live"].spread),
            lag_us=round(self._models.pacing.lag_s * 1e6),
            forecast_us=round(FORECAST_FRAMES / FRAME_RATE_HZ * 1e6),
        )
        whole = audio_sentiment_pb2.HearingModel(
            hearing=audio_sentiment_pb2.HEARING_WHOLE,
            typical_mean=_encode_sentiment(*typical["whole"].mean),
            typical_spread=_encode_sentiment(*typical["whole"].spread),
            look_ahead_us=round(LOOK_AHEAD_S * 1e6),
        )
        return live, whole

    @contextmanager
    def _admit(self) -> Iterator[None]:
        """Counts a stream while it is open; refuses one too many."""
        limit = self._settings.max_sessions
        if self._session_count >= limit:
            raise ResourceExhausted(
                f"{limit} songs are being analysed, the most there may be; try again in {RETRY_S:g} s",
                reason=reasons.ERROR_REASON_SESSIONS_EXHAUSTED,
                retry_after_s=RETRY_S,
            )
        self._session_count += 1
        try:
            yield
        finally:
            self._session_count -= 1

    @asynccontextmanager
    async def _run_upload(
        self, requests: Requests, decoder: SongDecoder, disk: ByteShare
    ) -> AsyncIterator[asyncio.Task[None]]:
        """Runs the upload in the background, and ends it with the block."""
        upload = asyncio.create_task(self._feed_decoder(requests, decoder, disk))
        upload.add_done_callback(lambda task: task.cancelled() or task.exception())  # the decoding raises it
        try:
            yield upload
        finally:
            upload.cancel()

    async def _feed_decoder(self, requests: Requests, decoder: SongDecoder, disk: ByteShare) -> None:
        """Passes the bytes of the upload to the decoder; an error also ends the decoding."""
        try:
            clock = UploadClock(self._settings.upload_stall_s)
            while (request := await clock.receive(requests)) is not None:
                chunk = _parse_chunk(request)
                disk.resize(disk.size + len(chunk))
                decoder.append(chunk)
                clock.count(len(chunk))
            decoder.finish()
        except (ServiceError, AudioError, OSError) as error:
            decoder.abort(error)
            raise

    async def _receive_config(self, requests: Requests) -> audio_sentiment_pb2.AnalyzeConfig:
        first = await UploadClock(self._settings.upload_stall_s).receive(requests)
        request = first or audio_sentiment_pb2.AnalyzeRequest()
        if (payload := request.WhichOneof("payload")) != "config":
            rule = "the first message has no config; send the config first"
            raise _invalid_argument(rule, "CONFIG_MISSING", "config", payload)
        served, wanted = self._models.digest, request.config.model_digest
        if wanted not in ("", served):
            message = f"this service has the model {served}, not {wanted[:64]}; call GetModel again"
            raise FailedPrecondition(
                message, reason=reasons.ERROR_REASON_MODEL_MISMATCH, field="model_digest", value=wanted[:64]
            )
        return request.config

    def _parse_pacing(self, config: audio_sentiment_pb2.AnalyzeConfig) -> Pacing:
        ranges = (
            ("smoothing", "SMOOTHING_OUT_OF_RANGE", config.smoothing_us, MAX_SMOOTHING_US),
            ("context", "CONTEXT_OUT_OF_RANGE", config.context_us, MAX_CONTEXT_US),
        )
        for name, reason, value_us, most_us in ranges:
            if not 0 <= value_us <= most_us:
                message = f"{name} is {value_us / 1e6:g} s; choose 0 to {most_us / 1e6:g}"
                raise _invalid_argument(message, reason, f"{name}_us", value_us)
        default = self._models.pacing
        return replace(
            default,
            smoothing_s=config.smoothing_us / 1e6 or default.smoothing_s,
            context_s=config.context_us / 1e6,
        )

    def _build_summary(self, analyser: Analyser, facts: SongFacts) -> audio_sentiment_pb2.AnalyzeSummary:
        return audio_sentiment_pb2.AnalyzeSummary(
            song=_encode_song_facts(facts),
            sentiment=_encode_sentiment(*analyser.sentiment()),
            model_digest=self._models.digest,
            point_count=analyser.point_count,
            tempo=_encode_tempo(analyser.tempo()),
        )


@contextmanager
def _translate_audio_errors() -> Iterator[None]:
    """Turns errors of the decoder into the errors that the contract states."""
    try:
        yield
    except AudioError as error:
        reason = "AUDIO_FORMAT_INVALID" if error.kind == "format" else f"SONG_{error.kind.upper()}"
        raise _invalid_argument(error.message, reason, error.field or "audio_chunk", error.value) from error


def _invalid_argument(message: str, reason: str, field: str, value: object = "") -> InvalidArgument:
    return InvalidArgument(
        message, reason=reasons.ErrorReason.Value(f"ERROR_REASON_{reason}"), field=field, value=value
    )


def _parse_chunk(request: audio_sentiment_pb2.AnalyzeRequest) -> bytes:
    """The audio of a message after the config."""
    payload = request.WhichOneof("payload")
    if payload == "config":
        raise _invalid_argument("a second config arrived; send it once, first", "CONFIG_DUPLICATE", "config")
    if payload is None:
        raise _invalid_argument("a message carries no audio; send audio after the config", "CONFIG_MISSING", "payload")
    if (size := len(request.audio_chunk)) > MAX_CHUNK_BYTES:
        message = f"an audio chunk has {size} bytes; send at most {MAX_CHUNK_BYTES}"
        raise _invalid_argument(message, "CHUNK_TOO_LARGE", "audio_chunk", size)
    return request.audio_chunk


def _parse_raw_format(audio: sentiment_pb2.AudioFormat) -> RawFormat | None:
    if audio.sample_format == sentiment_pb2.SAMPLE_FORMAT_UNSPECIFIED:
        return None
    if (number := audio.sample_format) not in RAW_FORMATS:
        message = f"sample_format is {number}; choose one that the contract lists"
        raise _invalid_argument(message, "ENUM_UNKNOWN", "audio_format.sample_format", number)
    return RawFormat(RAW_FORMATS[number], audio.sample_rate_hz, audio.channel_count)


def _parse_hearing(hearing: int) -> bool:
    """True for WHOLE, False for LIVE."""
    if hearing not in audio_sentiment_pb2.Hearing.values():
        raise _invalid_argument(f"hearing is {hearing}; choose LIVE or WHOLE", "ENUM_UNKNOWN", "hearing", hearing)
    return hearing == audio_sentiment_pb2.HEARING_WHOLE


def _encode_sentiment(arousal: float, valence: float) -> sentiment_pb2.Sentiment:
    return sentiment_pb2.Sentiment(arousal=arousal, valence=valence)


def _encode_point(point: Point, song_us: int = 2**62) -> sentiment_pb2.AffectPoint:
    reading = point.reading
    return sentiment_pb2.AffectPoint(
        time_us=point.time_us,
        sentiment=_encode_sentiment(reading.arousal, reading.valence),
        loudness=point.loudness,
        onset_strength=point.onset_strength,
        duration_us=min(WINDOW_US, song_us - point.time_us),
        passage=reading.passage,
        section=reading.section,
        certainty=_encode_sentiment(*reading.certainty),
        rhythm=None if point.rhythm is None else _encode_rhythm(point.rhythm),
    )


def _encode_rhythm(window: RhythmWindow) -> sentiment_pb2.Rhythm:
    """The message of a window."""
    low, middle, high = window.onsets.T
    return sentiment_pb2.Rhythm(
        low_onsets=low.tobytes(),
        middle_onsets=middle.tobytes(),
        high_onsets=high.tobytes(),
        beats=map(_encode_beat, window.beats),
        forecast=map(_encode_beat, window.forecast),
        tempo=_encode_tempo(window.tempo),
    )


def _encode_tempo(tempo: Tempo | None) -> sentiment_pb2.Tempo | None:
    """The message of a tempo; None if there is none."""
    if tempo is None:
        return None
    return sentiment_pb2.Tempo(
        beats_per_minute=tempo.beats_per_minute, beats_per_bar=tempo.beats_per_bar, certainty=tempo.certainty
    )


def _encode_beat(beat: Beat) -> sentiment_pb2.Beat:
    return sentiment_pb2.Beat(time_us=beat.time_us, position=beat.position, certainty=beat.certainty)


def _encode_song_facts(facts: SongFacts) -> sentiment_pb2.SongFacts:
    kinds, new_warning = sentiment_pb2.SongWarningKind, sentiment_pb2.SongWarning
    warnings = [new_warning(kind=kinds.Value(f"SONG_WARNING_KIND_{w.kind}"), message=w.message) for w in facts.warnings]
    return sentiment_pb2.SongFacts(
        duration_us=facts.duration_us,
        sample_count=facts.sample_count,
        sample_rate_hz=facts.sample_rate_hz,
        channel_count=facts.channel_count,
        codec=facts.codec,
        container=facts.container,
        warnings=warnings,
    )


async def _open() -> AudioSentimentServicer:
    settings = settings_from_environment(Settings, PREFIX)
    for name, value in vars(settings).items():
        if not isinstance(value, str) and not value > 0:
            raise SettingsError(f"{PREFIX}{name.upper()} is {value}; set it to more than 0")
    parse_folders(f"{PREFIX}WEIGHTS", filter(None, [settings.weights]))
    return AudioSentimentServicer(await asyncio.to_thread(open_models, settings), settings)


SERVICE = Service(
    name="audio_sentiment",
    grpc_name="deepsing.v1.AudioSentimentService",
    register=stubs.add_AudioSentimentServiceServicer_to_server,
    open=_open,
    protect=security_from_environment,
)
