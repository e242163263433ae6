"""GeneratorService: checks requests against the contract and converts messages; painting is in painter.py."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from deepsing.access.server_security import security_from_environment
from deepsing.rpc.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted, Unavailable
from deepsing.runtime.batching import QUEUE_WAIT, MicroBatcher, QueueFull
from deepsing.runtime.onnx import DeviceThread
from deepsing.runtime.server import Service
from deepsing.runtime.settings import settings_from_environment
from deepsing.telemetry.tracing import record_stages
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import generator_pb2, generator_pb2_grpc, sentiment_pb2
from services.generator.concepts import Concept
from services.generator.engine import Engine
from services.generator.loading import load_painter
from services.generator.painter import Job, JobResult, Painter, is_out_of_memory
from services.generator.settings import PREFIX, Settings
from services.generator.stylize import PAINT_RATE, Stylist

__all__ = [
    "SERVICE",
    "GeneratorServicer",
    "LimitError",
    "open_generator",
    "parse_class_weights",
    "parse_noise",
    "parse_style_weights",
    "require",
]

F32 = npt.NDArray[np.float32]
T = TypeVar("T")

MAX_FRAMES = 16  # pictures of one request
MAX_SESSION_ID_BYTES = 64
SIDES_PX = range(64, 1921, 2)
DEFAULT_QUALITY = 90
ENCODINGS: dict[int, Literal["rgb", "jpeg", "png"]] = {
    sentiment_pb2.IMAGE_FORMAT_UNSPECIFIED: "rgb",
    sentiment_pb2.IMAGE_FORMAT_RAW_RGB: "rgb",
    sentiment_pb2.IMAGE_FORMAT_JPEG: "jpeg",
    sentiment_pb2.IMAGE_FORMAT_PNG: "png",
}
RATING_SOURCES = {
    "": sentiment_pb2.RATING_SOURCE_UNSPECIFIED,
    "people": sentiment_pb2.RATING_SOURCE_PEOPLE,
    "model": sentiment_pb2.RATING_SOURCE_MODEL,
    "mixed": sentiment_pb2.RATING_SOURCE_MIXED,
}
SUM_TOLERANCE = 1e-3  # of a row of weights
NOISE_REACH = 10.0  # largest magnitude of a value


class GeneratorServicer(generator_pb2_grpc.GeneratorServiceServicer):
    """Answers Generate, ListConcepts and ListStyles.

    Args:
        engines: by name, the default first.
        stylist: the style network.
        painter: paints with both.
        settings: of the queue.
    """

    def __init__(self, engines: Mapping[str, Engine], stylist: Stylist, painter: Painter, settings: Settings) -> None:
        self._engines, self._stylist, self._painter, self._settings = dict(engines), stylist, painter, settings
        self._device = DeviceThread("painter")
        self._batcher: MicroBatcher[Job, JobResult] = MicroBatcher(
            painter.paint,
            self._device,
            max_batch=settings.max_batch,
            max_wait_s=settings.max_wait_s,
            max_queue=settings.max_queue,
            is_out_of_memory=is_out_of_memory,
            abandon=lambda job: job.abandoned.set(),
        )

    async def Generate(  # noqa: N802 (the contract's name)
        self, request: generator_pb2.GenerateRequest, context: Any
    ) -> generator_pb2.GenerateResponse:
        """Queues a batch and paints it."""
        engine = _run_check(lambda: self._find_engine(request.engine))
        job = _run_check(lambda: self._parse_job(request, engine))
        live = request.priority == generator_pb2.PRIORITY_LIVE
        try:
            result = await self._batcher.submit(
                job,
                weight=request.frame_count,
                session=request.session_id,
                live=live,
                timeout_s=context.time_remaining(),
            )
        except QueueFull as full:
            message = f"{full}; try again in 1 s"
            raise ResourceExhausted(message, reason=reasons.ERROR_REASON_QUEUE_FULL, retry_after_s=1) from None
        except TimeoutError:
            message = f"the deadline passes before {request.frame_count} pictures are painted; allow more time"
            raise DeadlineExceeded(message, reason=reasons.ERROR_REASON_DEADLINE_PASSED) from None
        except Exception as error:
            if is_out_of_memory(error):
                message = "the device has no memory left for the batch; try again in 1 s, or ask for less at once"
                reason = reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE
                raise Unavailable(message, reason=reason, retry_after_s=1) from error
            raise
        _record_job(result, live=live)
        return generator_pb2.GenerateResponse(
            images=result.images,
            size=_encode_size(job.size_px),
            engine_digest=engine.digest,
            queue_wait_us=round(result.queue_wait_s * 1e6),
            compute_us=round(result.compute_s * 1e6),
        )

    async def ListConcepts(  # noqa: N802 (the contract's name)
        self, request: generator_pb2.ListConceptsRequest, context: Any
    ) -> generator_pb2.ListConceptsResponse:
        """Lists an engine's concepts."""
        engine = _run_check(lambda: self._find_engine(request.engine))
        about = generator_pb2.Engine(
            name=engine.name,
            native_size=_encode_size(engine.native_size_px),
            noise_size=engine.noise_size,
            digest=engine.digest,
            rated_by=RATING_SOURCES[engine.rated_by],
            paint_rate=engine.paint_rate,
        )
        listed = [
            generator_pb2.Concept(
                name=concept.name,
                sentiment=_encode_sentiment(concept),
                themes=concept.themes,
                rated_by=RATING_SOURCES[concept.rated_by or engine.rater],
            )
            for concept in engine.concepts
        ]
        return generator_pb2.ListConceptsResponse(engine=about, concepts=listed)

    async def ListStyles(  # noqa: N802 (the contract's name)
        self, request: generator_pb2.ListStylesRequest, context: Any
    ) -> generator_pb2.ListStylesResponse:
        """Lists the styles."""
        listed = [
            generator_pb2.Style(name=style.name, sentiment=_encode_sentiment(style)) for style in self._stylist.styles
        ]
        return generator_pb2.ListStylesResponse(styles=listed, digest=self._stylist.digest, paint_rate=PAINT_RATE)

    async def close(self) -> None:
        """Stops painting; drops batches that wait."""
        self._device.close()
        self._painter.close()

    def _find_engine(self, name: str) -> Engine:
        name = name or next(iter(self._engines))
        known = f"engine is {name!r}; choose one of: {', '.join(self._engines)}"
        require(name in self._engines, known, "ENGINE_UNKNOWN", "engine", name)
        return self._engines[name]

    def _parse_job(self, request: generator_pb2.GenerateRequest, engine: Engine) -> Job:
        _check_scalars(request)
        count = request.frame_count
        return Job(
            engine=engine.name,
            class_weights=parse_class_weights(request.class_weights, count, len(engine.concepts)),
            noise=parse_noise(request.noise, count, engine.noise_size),
            truncation=request.truncation,
            style_weights=parse_style_weights(request.style_weights, count, len(self._stylist.styles)),
            size_px=_parse_size(request) or engine.native_size_px,
            encoding=ENCODINGS[request.image_format],
            jpeg_quality=request.jpeg_quality or DEFAULT_QUALITY,
        )


def _check_scalars(request: generator_pb2.GenerateRequest) -> None:
    count, quality, truncation = request.frame_count, request.jpeg_quality, request.truncation
    require(count > 0, "the batch is empty; send at least 1", "BATCH_EMPTY", "frame_count", count)
    large = f"the batch has {count} pictures; send at most {MAX_FRAMES}"
    require(count <= MAX_FRAMES, large, "BATCH_TOO_LARGE", "frame_count", count)
    far = f"truncation is {truncation:g}; choose 0 to 1"
    require(0 <= truncation <= 1, far, "TRUNCATION_OUT_OF_RANGE", "truncation", f"{truncation:g}")
    unknown = f"image_format is {request.image_format}; choose RAW_RGB, JPEG or PNG"
    require(request.image_format in ENCODINGS, unknown, "ENUM_UNKNOWN", "image_format", request.image_format)
    priority = f"priority is {request.priority}; choose OFFLINE or LIVE"
    known = request.priority in generator_pb2.Priority.values()
    require(known, priority, "ENUM_UNKNOWN", "priority", request.priority)
    coarse = f"JPEG quality is {quality}; choose 1 to 100"
    require(quality <= 100, coarse, "QUALITY_OUT_OF_RANGE", "jpeg_quality", quality)
    length = len(request.session_id.encode())
    long = f"session_id has {length} bytes; send at most {MAX_SESSION_ID_BYTES}"
    require(length <= MAX_SESSION_ID_BYTES, long, "SESSION_ID_TOO_LONG", "session_id", length)


def _parse_size(request: generator_pb2.GenerateRequest) -> tuple[int, int] | None:
    if not request.HasField("size"):
        return None
    width, height = request.size.width_px, request.size.height_px
    odd = f"size is {width}x{height}; choose even sides from {SIDES_PX[0]} to {SIDES_PX[-1]}"
    require(width in SIDES_PX and height in SIDES_PX, odd, "SIZE_OUT_OF_RANGE", "size", f"{width}x{height}")
    return width, height


def _run_check(check: Callable[[], T]) -> T:
    """Runs a check; a LimitError becomes INVALID_ARGUMENT."""
    try:
        return check()
    except LimitError as limit:
        reason = reasons.ErrorReason.Value(f"ERROR_REASON_{limit.reason}")
        raise InvalidArgument(str(limit), reason=reason, field=limit.field, value=limit.value) from None


def _encode_size(size_px: tuple[int, int]) -> sentiment_pb2.Size:
    return sentiment_pb2.Size(width_px=size_px[0], height_px=size_px[1])


def _encode_sentiment(concept: Concept) -> sentiment_pb2.Sentiment:
    return sentiment_pb2.Sentiment(arousal=concept.arousal, valence=concept.valence)


def _record_job(result: JobResult, *, live: bool) -> None:
    """Records how long a batch waited and was painted, in metrics and in the trace of its call."""
    QUEUE_WAIT.observe(result.queue_wait_s, "live" if live else "offline")
    record_stages(queue=result.queue_wait_s, compute=result.compute_s)


class LimitError(ValueError):
    """A request breaks a rule; `reason` is a name of the contract's ErrorReason without its prefix."""

    def __init__(self, message: str, reason: str, field: str, value: object) -> None:
        super().__init__(message)
        self.reason, self.field, self.value = reason, field, value


def require(holds: bool, message: str, reason: str, field: str, value: object) -> None:
    """Raises LimitError unless the rule holds."""
    if not holds:
        raise LimitError(message, reason, field, value)


def parse_class_weights(values: Iterable[float], count: int, size: int) -> F32:
    """Class weights, rows on the simplex: (count, size)."""
    rows = _reshape_rows(values, count, size, "class_weights", "CLASS_WEIGHTS_SHAPE", may_be_empty=False)
    sums = rows.sum(axis=1, dtype=np.float64)
    right = ((rows >= 0) & (rows <= 1)).all(axis=1) & (np.abs(sums - 1) <= SUM_TOLERANCE)
    if not right.all():
        row = int(right.argmin())
        raise LimitError(
            f"class weights of picture {row} {_describe(rows[row], sums[row])}; send rows in [0, 1] that sum to 1",
            "CLASS_WEIGHTS_NOT_SIMPLEX",
            f"class_weights[{row}]",
            f"{sums[row]:g}",
        )
    return rows


def parse_noise(values: Iterable[float], count: int, size: int) -> F32:
    """Noise vectors, zeros if none are given: (count, size)."""
    rows = _reshape_rows(values, count, size, "noise", "NOISE_SHAPE", may_be_empty=True)
    wrong = ~(np.abs(rows) <= NOISE_REACH)  # NaN counts as wrong
    if wrong.any():
        row, place = (int(index) for index in np.argwhere(wrong)[0])
        value = f"{rows[row, place]:g}"
        message = f"noise of picture {row} holds {value}; send finite values from -10 to 10"
        raise LimitError(message, "NOISE_OUT_OF_RANGE", f"noise[{row}]", value)
    return rows


def parse_style_weights(values: Iterable[float], count: int, size: int) -> F32:
    """Style weights, rows that sum to at most 1, zeros if none are given: (count, size)."""
    rows = _reshape_rows(values, count, size, "style_weights", "STYLE_WEIGHTS_SHAPE", may_be_empty=True)
    sums = rows.sum(axis=1, dtype=np.float64)
    right = ((rows >= 0) & (rows <= 1)).all(axis=1) & (sums <= 1 + SUM_TOLERANCE)
    if not right.all():
        row = int(right.argmin())
        raise LimitError(
            f"style weights of picture {row} {_describe(rows[row], sums[row])}; "
            "send rows in [0, 1] that sum to at most 1",
            "STYLE_WEIGHTS_INVALID",
            f"style_weights[{row}]",
            f"{sums[row]:g}",
        )
    return rows


def _reshape_rows(
    values: Iterable[float], count: int, size: int, field: str, reason: str, *, may_be_empty: bool
) -> F32:
    flat = np.array(values, dtype=np.float32)
    if may_be_empty and not flat.size:
        return np.zeros((count, size), dtype=np.float32)
    if flat.size != count * size:
        way_out = f"send {count} x {size} = {count * size}" + (", or none" if may_be_empty else "")
        raise LimitError(f"{field} has {flat.size} values; {way_out}", reason, field, flat.size)
    return flat.reshape(count, size)


def _describe(row: F32, total: float) -> str:
    wrong = row[~((row >= 0) & (row <= 1))]
    return f"hold {wrong[0]:g}" if len(wrong) else f"sum to {total:g}"


def open_generator(settings: Settings) -> GeneratorServicer:
    """Opens engines and styles, see `load_painter`, and the queue."""
    return GeneratorServicer(*load_painter(settings), settings)


async def _open() -> GeneratorServicer:
    return await asyncio.to_thread(open_generator, settings_from_environment(Settings, PREFIX))


SERVICE = Service(
    name="generator",
    grpc_name="deepsing.v1.GeneratorService",
    register=generator_pb2_grpc.add_GeneratorServiceServicer_to_server,
    open=_open,
    protect=security_from_environment,
)
