"""Builds messages of the contract from the composer's values."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from deepsing.audio import AudioError, SongFacts
from deepsing.rpc.errors import InvalidArgument, ServiceError
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2
from services.composer.pipeline.capabilities import RATERS
from services.composer.pipeline.task import StoryTask
from services.composer.session.config import FILE_KINDS
from services.composer.story.agreement import Agreement
from services.composer.story.frame import FrameInfo
from services.composer.story.judge_sampling import Judgement
from services.composer.story.music import name_section
from services.composer.story.plan import FileKind
from services.composer.story.rhythm import Beat, Rhythm, Tempo
from services.composer.story.summary import JudgeReport, JudgeSkill, SongInfo, StorySummary
from services.composer.story.timeline import Point
from services.composer.upload.song_file import CHUNK_BYTES

__all__ = [
    "build_achieved_point",
    "build_affect_point",
    "build_file_kind",
    "build_frame",
    "build_session_end",
    "build_session_started",
    "build_song_facts",
    "convert_audio_error",
    "iter_file_chunks",
]

RATING_SOURCES = {rater: number for number, rater in RATERS.items()}
KINDS = {kind: number for number, kind in FILE_KINDS.items()}

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
    """The error that the caller gets for a song that cannot be decoded."""
    value = "" if error.value is None else error.value
    return InvalidArgument(error.message, reason=REASONS[error.kind], field=error.field or "song", value=value)


def build_song_facts(song: SongFacts | SongInfo) -> sentiment_pb2.SongFacts:
    """SongFacts from the decoder's or audio_sentiment's values."""
    warnings = [
        sentiment_pb2.SongWarning(
            kind=sentiment_pb2.SongWarningKind.Value(f"SONG_WARNING_KIND_{warning.kind}"), message=warning.message
        )
        for warning in song.warnings
    ]
    return sentiment_pb2.SongFacts(
        duration_us=song.duration_us,
        sample_count=song.sample_count,
        sample_rate_hz=song.sample_rate_hz,
        channel_count=song.channel_count,
        codec=song.codec,
        container=song.container,
        warnings=warnings,
    )


def build_session_started(task: StoryTask, story_digest: str, *, song_held: bool) -> pb.SessionStarted:
    """The first message of a session."""
    started = pb.SessionStarted(
        session_id=task.story_id,
        story_digest=story_digest,
        size=sentiment_pb2.Size(width_px=task.size.width_px, height_px=task.size.height_px),
        digests=task.capabilities.digests,
        song_held=song_held,
    )
    rate = task.plan.rate
    started.frame_rate.numerator, started.frame_rate.denominator = rate.numerator, rate.denominator
    return started


def build_affect_point(point: Point) -> sentiment_pb2.AffectPoint:
    """One point of the story; its times count from the start of the part, its passage and section are the song's."""
    return sentiment_pb2.AffectPoint(
        time_us=round(point.time_s * 1e6),
        sentiment=sentiment_pb2.Sentiment(arousal=point.arousal, valence=point.valence),
        loudness=point.loudness,
        onset_strength=point.onset,
        passage=point.passage,
        section=point.section,
        certainty=_build_sentiment(point.certainty) if point.certainty else None,
        rhythm=_build_rhythm(point.rhythm) if point.rhythm else None,
    )


def _build_rhythm(rhythm: Rhythm) -> sentiment_pb2.Rhythm:
    return sentiment_pb2.Rhythm(
        low_onsets=rhythm.low,
        middle_onsets=rhythm.middle,
        high_onsets=rhythm.high,
        beats=map(_build_beat, rhythm.beats),
        forecast=map(_build_beat, rhythm.forecast),
        tempo=_build_tempo(rhythm.tempo) if rhythm.tempo else None,
    )


def _build_tempo(tempo: Tempo) -> sentiment_pb2.Tempo:
    return sentiment_pb2.Tempo(
        beats_per_minute=tempo.beats_per_minute, beats_per_bar=tempo.beats_per_bar, certainty=tempo.certainty
    )


def _build_beat(beat: Beat) -> sentiment_pb2.Beat:
    return sentiment_pb2.Beat(time_us=round(beat.time_s * 1e6), position=beat.position, certainty=beat.certainty)


def build_frame(info: FrameInfo, image: bytes) -> pb.Frame:
    """One frame with its sentiments, concepts and styles."""
    made = pb.Frame(seq=info.seq, pts_us=round(info.time_s * 1e6), image=image)
    made.target.arousal, made.target.valence = info.target  # filled in place, because assigned messages are copied
    made.expected.arousal, made.expected.valence = info.expected
    for named, weights in ((made.concepts, info.concepts), (made.styles, info.styles)):
        for name, weight in weights:
            named.add(name=name, weight=weight)
    return made


def build_achieved_point(judgement: Judgement) -> pb.AchievedPoint:
    """The judgement of one frame."""
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


def build_session_end(summary: StorySummary) -> pb.SessionEnd:
    """The last message of a session."""
    return pb.SessionEnd(
        frame_count=summary.frame_count,
        duration_us=summary.duration_us,
        song=build_song_facts(summary.song) if summary.song else None,
        frames_digest=summary.frames_digest,
        dropped_count=summary.dropped_count,
        rated_by=RATING_SOURCES[summary.rated_by],
        arousal=_build_agreement(summary.arousal),
        valence=_build_agreement(summary.valence),
        flashes_per_second=summary.flashes_per_second,
        song_digest=summary.song_digest,
        digests=summary.digests,
        achieved=_build_achievement(summary.judged) if summary.judged else None,
        warnings=summary.warnings,
        sections=[name_section(passage.section) for passage in summary.music.passages],
        tempo=_build_tempo(summary.music.tempo) if summary.music.tempo else None,
    )


def _build_agreement(agreement: Agreement) -> pb.Agreement:
    return pb.Agreement(r=agreement.r, ccc=agreement.ccc, rmse=agreement.rmse, n=agreement.n)


def _build_achievement(report: JudgeReport) -> pb.Achievement:
    def build(skill: JudgeSkill) -> sentiment_pb2.JudgeAgreement:
        return sentiment_pb2.JudgeAgreement(r=skill.r, n=skill.n)

    judge = sentiment_pb2.Judge(
        digest=report.digest, arousal=build(report.arousal_skill), valence=build(report.valence_skill)
    )
    return pb.Achievement(
        arousal=_build_agreement(report.arousal),
        valence=_build_agreement(report.valence),
        judge=judge,
        missed_count=report.missed_count,
    )


def build_file_kind(kind: FileKind) -> pb.StoryFileKind.ValueType:
    """StoryFileKind of a finished file."""
    return KINDS[kind]


def iter_file_chunks(kind: FileKind, path: Path) -> Iterator[pb.StoryFileChunk]:
    """A finished file in pieces of CHUNK_BYTES; the last one holds its digest."""
    hashed, left, offset = hashlib.sha256(), path.stat().st_size, 0
    with path.open("rb") as file:
        while True:
            data = file.read(CHUNK_BYTES)
            hashed.update(data)
            left -= len(data)
            digest = "" if left > 0 else hashed.hexdigest()
            yield pb.StoryFileChunk(kind=KINDS[kind], data=data, last=left <= 0, digest=digest, offset_bytes=offset)
            offset += len(data)
            if left <= 0:
                return
