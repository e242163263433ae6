"""Turns the composer's values into messages of the contract, and into the manifest's facts."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict

from deepsing.audio import AudioError
from deepsing.audio import SongFacts as Decoded
from deepsing.runtime.errors import InvalidInput, ServiceError
from deepsing.v1 import audio_sentiment_pb2, sentiment_pb2
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.agreement import RunningAgreement
from services.composer.painting import Palette
from services.composer.plan import StoryPlan
from services.composer.story import Shown
from services.composer.timeline import Point

__all__ = ["affect_point", "frame", "manifest_facts", "refusal_of", "session_end", "song_facts"]

REASONS = {
    "empty": reasons.ERROR_REASON_SONG_EMPTY,
    "no_audio": reasons.ERROR_REASON_SONG_NO_AUDIO,
    "unreadable": reasons.ERROR_REASON_SONG_UNREADABLE,
    "too_short": reasons.ERROR_REASON_SONG_TOO_SHORT,
    "too_long": reasons.ERROR_REASON_SONG_TOO_LONG,
    "too_large": reasons.ERROR_REASON_SONG_TOO_LARGE,
    "format": reasons.ERROR_REASON_AUDIO_FORMAT_INVALID,
}


def refusal_of(error: AudioError) -> ServiceError:
    """A song that cannot be decoded, as the caller is to see it."""
    value = "" if error.value is None else error.value
    return InvalidInput(error.message, reason=REASONS[error.kind], field=error.field or "song", value=value)


def song_facts(decoded: Decoded) -> sentiment_pb2.SongFacts:
    """What the decoder found."""
    warnings = [
        sentiment_pb2.SongWarning(
            kind=sentiment_pb2.SongWarningKind.Value(f"SONG_WARNING_KIND_{warning.kind}"), message=warning.message
        )
        for warning in decoded.warnings
    ]
    return sentiment_pb2.SongFacts(
        duration_us=decoded.duration_us,
        sample_count=decoded.sample_count,
        sample_rate_hz=decoded.sample_rate_hz,
        channel_count=decoded.channel_count,
        codec=decoded.codec,
        container=decoded.container,
        warnings=warnings,
    )


def affect_point(point: Point) -> sentiment_pb2.AffectPoint:
    """A point of the story (its time counts from the start of the part)."""
    return sentiment_pb2.AffectPoint(
        time_us=round(point.time_s * 1e6),
        sentiment=sentiment_pb2.Sentiment(arousal=point.arousal, valence=point.valence),
        loudness=point.loudness,
        onset_strength=point.onset,
    )


def frame(shown: Shown, image: bytes) -> pb.Frame:
    """One frame with all that it shows."""
    return pb.Frame(
        seq=shown.seq,
        pts_us=round(shown.time_s * 1e6),
        image=image,
        target=sentiment_pb2.Sentiment(arousal=shown.target[0], valence=shown.target[1]),
        expected=sentiment_pb2.Sentiment(arousal=shown.expected[0], valence=shown.expected[1]),
        concepts=[pb.NamedWeight(name=name, weight=weight) for name, weight in shown.concepts],
        styles=[pb.NamedWeight(name=name, weight=weight) for name, weight in shown.styles],
    )


def session_end(
    plan: StoryPlan,
    palette: Palette,
    summary: audio_sentiment_pb2.AnalyzeSummary | None,
    agreement: tuple[RunningAgreement, RunningAgreement],
    frame_count: int,
) -> pb.SessionEnd:
    """The last message, but for digests of bytes and counts of drops."""
    end = pb.SessionEnd(frame_count=frame_count, duration_us=round(frame_count / plan.rate * 1_000_000))
    end.digests.update(palette.digests)
    if summary is not None:
        end.song.CopyFrom(summary.song)
        end.digests["audio_sentiment"] = summary.model_digest
    for target, running in ((end.arousal, agreement[0]), (end.valence, agreement[1])):
        result = running.result()
        target.r, target.ccc, target.rmse = result.r, result.ccc, result.rmse
    return end


def manifest_facts(plan: StoryPlan, size: sentiment_pb2.Size, end: pb.SessionEnd, session_id: str) -> dict[str, Any]:
    """Everything of the manifest that is not a frame; with the song it is enough to tell the story again."""
    whole = MessageToDict(end, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return {
        "manifest_version": 1,
        "session_id": session_id,
        "title": plan.title,
        "parameters": {
            "seed": plan.seed,
            "frame_rate": f"{plan.rate.numerator}/{plan.rate.denominator}",
            "size": f"{size.width_px}x{size.height_px}",
            "engine": plan.engine,
            "translator": plan.translator,
            "style": plan.style,
            "style_strength": plan.style_strength,
            "sentiment_mode": plan.mode,
            "truncation": plan.truncation,
            "start_us": plan.start_us,
            "duration_us": plan.duration_us,
        },
        **whole,
    }
