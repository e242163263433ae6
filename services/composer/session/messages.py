"""Turns the composer's values into messages of the contract."""

from __future__ import annotations

from deepsing.audio import AudioError
from deepsing.audio import SongFacts as Decoded
from deepsing.rpc.errors import InvalidArgument, ServiceError
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2
from services.composer.story.frame import FrameInfo
from services.composer.story.judge_sampling import Judgement
from services.composer.story.timeline import Point

__all__ = ["build_achieved_point", "build_affect_point", "build_frame", "build_song_facts", "convert_audio_error"]

REASONS = {
    "empty": reasons.ERROR_REASON_SONG_EMPTY,
    "no_audio": reasons.ERROR_REASON_SONG_NO_AUDIO,
    "unreadable": reasons.ERROR_REASON_SONG_UNREADABLE,
    "too_short": reasons.ERROR_REASON_SONG_TOO_SHORT,
    "too_long": reasons.ERROR_REASON_SONG_TOO_LONG,
    "too_large": reasons.ERROR_REASON_SONG_TOO_LARGE,
    "format": reasons.ERROR_REASON_AUDIO_FORMAT_INVALID,
}


def convert_audio_error(error: AudioError) -> ServiceError:
    """A song that cannot be decoded, as the caller is to see it."""
    value = "" if error.value is None else error.value
    return InvalidArgument(error.message, reason=REASONS[error.kind], field=error.field or "song", value=value)


def build_song_facts(decoded: Decoded) -> sentiment_pb2.SongFacts:
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


def build_affect_point(point: Point) -> sentiment_pb2.AffectPoint:
    """A point of the story (its time counts from the start of the part)."""
    return sentiment_pb2.AffectPoint(
        time_us=round(point.time_s * 1e6),
        sentiment=sentiment_pb2.Sentiment(arousal=point.arousal, valence=point.valence),
        loudness=point.loudness,
        onset_strength=point.onset,
    )


def build_frame(info: FrameInfo, image: bytes) -> pb.Frame:
    """One frame with all that it shows."""
    made = pb.Frame(seq=info.seq, pts_us=round(info.time_s * 1e6), image=image)
    made.target.arousal, made.target.valence = info.target  # filled in place: what is made elsewhere is copied
    made.expected.arousal, made.expected.valence = info.expected
    for named, weights in ((made.concepts, info.concepts), (made.styles, info.styles)):
        for name, weight in weights:
            named.add(name=name, weight=weight)
    return made


def build_achieved_point(judgement: Judgement) -> pb.AchievedPoint:
    """What the judge read off one frame."""
    info = judgement.info
    return pb.AchievedPoint(
        seq=info.seq,
        pts_us=round(info.time_s * 1e6),
        target=_build_sentiment(info.target),
        expected=_build_sentiment(info.expected),
        achieved=_build_sentiment(judgement.achieved),
    )


def _build_sentiment(pair: tuple[float, float]) -> sentiment_pb2.Sentiment:
    return sentiment_pb2.Sentiment(arousal=pair[0], valence=pair[1])
