"""Turns the composer's values into messages of the contract."""

from __future__ import annotations

from deepsing.audio import AudioError
from deepsing.audio import SongFacts as Decoded
from deepsing.runtime.errors import InvalidInput, ServiceError
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2
from services.composer.readings import Reading
from services.composer.story import Shown
from services.composer.timeline import Point

__all__ = ["achieved_point", "affect_point", "frame", "refusal_of", "song_facts"]

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
    made = pb.Frame(seq=shown.seq, pts_us=round(shown.time_s * 1e6), image=image)
    made.target.arousal, made.target.valence = shown.target  # filled in place: what is made elsewhere is copied
    made.expected.arousal, made.expected.valence = shown.expected
    for named, weights in ((made.concepts, shown.concepts), (made.styles, shown.styles)):
        for name, weight in weights:
            named.add(name=name, weight=weight)
    return made


def achieved_point(reading: Reading) -> pb.AchievedPoint:
    """What the judge read off one frame."""
    shown = reading.shown
    return pb.AchievedPoint(
        seq=shown.seq,
        pts_us=round(shown.time_s * 1e6),
        target=_sentiment(shown.target),
        expected=_sentiment(shown.expected),
        achieved=_sentiment(reading.achieved),
    )


def _sentiment(pair: tuple[float, float]) -> sentiment_pb2.Sentiment:
    return sentiment_pb2.Sentiment(arousal=pair[0], valence=pair[1])
