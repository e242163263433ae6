"""Has audio_sentiment analyse a song; yields its sentiments on the scale of pictures, and its length in frames."""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from math import ceil

from deepsing.audio.facts import SongWarning
from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import audio_sentiment_pb2, sentiment_pb2
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.backends.client import Backends
from services.composer.pipeline.storyboard import check_end
from services.composer.pipeline.task import StoryTask
from services.composer.story.plan import AudioFormat
from services.composer.story.rhythm import Beat, Rhythm, Tempo
from services.composer.story.scale import build_scale
from services.composer.story.summary import SongInfo
from services.composer.story.timeline import CALM_TRAVEL_S, PREVIEW_S, WINDOW_S, Point, frame_count
from services.composer.upload.arrivals import ArrivalLog
from services.composer.upload.song_file import SongFile

__all__ = ["AnalysisUpdate", "LatestUpdate", "SongAnalysis", "gather_updates"]

WINDOW_US = round(WINDOW_S * 1e6)
SAMPLE_FORMATS = {"s16le": sentiment_pb2.SAMPLE_FORMAT_S16LE, "f32le": sentiment_pb2.SAMPLE_FORMAT_F32LE}


@dataclass(frozen=True)
class AnalysisUpdate:
    """A step of the analysis of a song.

    Attributes:
        points: sentiments that have become final: of the whole song, also where only a part is shown, because what is
            shown depends on what came before it; live, of the part. Times count from the first of them.
        frames: frames of the story that the audio analysed so far covers.
        last: True for the last update.
        shown: those of the part that is shown, at times of the story.
    """

    points: list[Point]
    frames: int
    last: bool
    shown: list[Point] = field(default_factory=list)


@dataclass
class LatestUpdate:
    """Passes updates from the analysis to the scheduler without blocking; updates that wait are merged into one."""

    waiting: AnalysisUpdate | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, update: AnalysisUpdate) -> None:
        """Merges an update into the one that waits."""
        before = self.waiting.points if self.waiting else []
        self.waiting = AnalysisUpdate([*before, *update.points], update.frames, update.last)
        self.news.set()

    async def updates(self) -> AsyncIterator[AnalysisUpdate]:
        """Yields what waits, again and again, until the last update has been yielded."""
        last = False
        while not last:
            await self.news.wait()
            self.news.clear()
            if (update := self.waiting) is not None:
                self.waiting, last = None, update.last
                yield update


async def gather_updates(updates: AsyncIterator[AnalysisUpdate]) -> AsyncIterator[AnalysisUpdate]:
    """Yields all updates of a song as one."""
    points: list[Point] = []
    async for update in updates:
        points += update.points
        if update.last:
            yield AnalysisUpdate(points, update.frames, True)


class SongAnalysis:
    """Has one story's song analysed.

    Args:
        song_file: its upload may still be running.
        arrivals: filled with the times at which audio arrived; positions are microseconds of the story.

    Attributes:
        song: facts of the song; None until they are known, and if only a part was analysed.
    """

    def __init__(self, task: StoryTask, song_file: SongFile, backends: Backends, arrivals: ArrivalLog) -> None:
        self._plan, self._capabilities, self._pace = task.plan, task.capabilities, task.pace
        self._song_file, self._backends, self._arrivals = song_file, backends, arrivals
        self._analysed_us = self._frames = 0
        start = round(self._plan.start_us / WINDOW_US)  # the window nearest to the start of the part
        length = -(-self._plan.duration_us // WINDOW_US) if self._plan.duration_us else sys.maxsize - start
        self._part = range(start, start + length)
        self.song: SongInfo | None = None

    async def _requests(self) -> AsyncIterator[audio_sentiment_pb2.AnalyzeRequest]:
        config = audio_sentiment_pb2.AnalyzeConfig(
            audio_format=_build_audio_format(self._plan.audio_format),
            live=self._plan.live,
            model_digest=self._capabilities.digests["audio_sentiment"],
            send_progress=True,  # offline as a sign of life: the points of a whole song may all come at its end
            hearing=self._capabilities.hearing,
        )
        yield audio_sentiment_pb2.AnalyzeRequest(config=config)
        async for chunk in self._song_file.iter_chunks():
            yield audio_sentiment_pb2.AnalyzeRequest(audio_chunk=chunk)

    async def run(self) -> AsyncGenerator[AnalysisUpdate]:
        """Yields updates in order; the last one has the story's number of frames.

        A part of a song begins at the window nearest to its start. Audio that what is shown does not depend on is not
        analysed.
        """
        scale = build_scale(self._plan.mode, self._capabilities.music, self._capabilities.norm)
        first = self._part.start if self._plan.live else 0
        enough = self._count_needed()
        number = 0
        async with aclosing(self._backends.analyze(self._requests, lambda: self._song_file.finished)) as responses:
            async for response in responses:
                if response.HasField("summary"):
                    self.song = _parse_song(response.summary.song)
                    check_end(self._plan.storyboard, self.song.duration_us)
                    break
                if response.HasField("progress"):
                    if self._plan.live and (update := self._apply_progress(response.progress)) is not None:
                        yield update
                    continue
                point, number = response.point, number + 1
                self._analysed_us = max(self._analysed_us, point.time_us + (point.duration_us or WINDOW_US))
                if number <= first:
                    continue
                settled = scale.add(_parse_point(point, number - 1 - first, first * WINDOW_US))
                self._frames = self._count_frames_until(self._analysed_us)
                self._arrivals.record(self._analysed_us - self._plan.start_us)
                yield AnalysisUpdate(settled, self._frames, False, self._select_shown(settled))
                if enough is not None and number >= enough:
                    break
        settled = scale.finish()
        yield AnalysisUpdate(settled, self._count_frames(), True, self._select_shown(settled))

    def _count_needed(self) -> int | None:
        """Windows of the song to analyse; None is all."""
        plan = self._plan
        if not plan.duration_us or plan.needs_whole_song:
            return None
        if plan.live:
            return self._part.stop
        pace_s = self._pace.rest / plan.rate  # to the next painted picture
        settles_s = float(pace_s) + CALM_TRAVEL_S + PREVIEW_S + self._capabilities.lag_s
        return self._part.stop + ceil(settles_s / WINDOW_S) + 1

    def _select_shown(self, points: list[Point]) -> list[Point]:
        """Those of the part, at times of the story."""
        if self._plan.live or not (self._plan.start_us or self._plan.duration_us):
            return points
        shown = (point for point in points if round(point.time_s / WINDOW_S) in self._part)
        return [point.shift(-self._part.start * WINDOW_S) for point in shown]

    def _apply_progress(self, progress: audio_sentiment_pb2.AnalyzeProgress) -> AnalysisUpdate | None:
        """An update without points if the audio of further frames has arrived, else None."""
        if progress.heard_us <= max(self._analysed_us, self._plan.start_us):
            return None
        before, self._analysed_us = self._frames, progress.heard_us
        self._frames = self._count_frames_until(self._analysed_us)
        came_s = self._song_file.arrivals.arrival_s(progress.byte_count)
        self._arrivals.record(self._analysed_us - self._plan.start_us, came_s)
        return AnalysisUpdate([], self._frames, False) if self._frames > before else None

    def _count_frames(self) -> int:
        """Frames of the requested part, or of as much of it as the song has.

        Raises:
            InvalidArgument: PART_OUT_OF_RANGE if the song ends before the part starts.
        """
        plan, song = self._plan, self.song
        if song is not None:
            if not plan.start_us and (not plan.duration_us or plan.duration_us >= song.duration_us):
                return frame_count(song.sample_count, song.sample_rate_hz, plan.rate)
            self._analysed_us = song.duration_us
        if self._analysed_us <= plan.start_us:
            message = (
                f"the part starts at {plan.start_us / 1e6:g} s but the song ends at {self._analysed_us / 1e6:.3f} s; "
                "start earlier"
            )
            reason = reasons.ERROR_REASON_PART_OUT_OF_RANGE
            raise InvalidArgument(message, reason=reason, field="start_us", value=plan.start_us)
        return self._count_frames_until(self._analysed_us)

    def _count_frames_until(self, end_us: int) -> int:
        length_us = end_us - self._plan.start_us
        if length_us <= 0:
            return 0
        length_us = min(length_us, self._plan.duration_us) if self._plan.duration_us else length_us
        return frame_count(length_us, 1_000_000, self._plan.rate)


def _parse_point(point: sentiment_pb2.AffectPoint, place: int, start_us: int) -> Point:
    """Point number `place` of the story, whose part starts at a time of the song."""
    sentiment, certainty = point.sentiment, point.certainty
    return Point(
        time_s=place * WINDOW_S,
        arousal=sentiment.arousal,
        valence=sentiment.valence,
        loudness=point.loudness,
        onset=point.onset_strength,
        passage=point.passage,
        section=point.section,
        certainty=(certainty.arousal, certainty.valence) if point.HasField("certainty") else None,
        rhythm=_parse_rhythm(point.rhythm, start_us) if point.HasField("rhythm") else None,
    )


def _parse_rhythm(rhythm: sentiment_pb2.Rhythm, start_us: int) -> Rhythm:
    tempo = None
    if rhythm.HasField("tempo") and rhythm.tempo.beats_per_minute > 0:
        tempo = Tempo(rhythm.tempo.beats_per_minute, rhythm.tempo.beats_per_bar, rhythm.tempo.certainty)
    beats, forecast = (
        tuple(Beat((beat.time_us - start_us) / 1e6, beat.position, beat.certainty) for beat in heard)
        for heard in (rhythm.beats, rhythm.forecast)
    )
    return Rhythm(rhythm.low_onsets, rhythm.middle_onsets, rhythm.high_onsets, beats, forecast, tempo)


def _build_audio_format(layout: AudioFormat | None) -> sentiment_pb2.AudioFormat | None:
    if layout is None:
        return None
    return sentiment_pb2.AudioFormat(
        sample_format=SAMPLE_FORMATS[layout.sample_format],
        sample_rate_hz=layout.sample_rate_hz,
        channel_count=layout.channel_count,
    )


def _parse_song(facts: sentiment_pb2.SongFacts) -> SongInfo:
    return SongInfo(
        duration_us=facts.duration_us,
        sample_count=facts.sample_count,
        sample_rate_hz=facts.sample_rate_hz,
        channel_count=facts.channel_count,
        codec=facts.codec,
        container=facts.container,
        warnings=tuple(SongWarning(_parse_warning_kind(one.kind), one.message) for one in facts.warnings),  # type: ignore[arg-type]
    )


def _parse_warning_kind(number: int) -> str:
    """The kind's name; UNSPECIFIED where audio_sentiment is newer than this composer and has further kinds."""
    kinds = sentiment_pb2.SongWarningKind
    known = number in kinds.values()
    return kinds.Name(number if known else 0).removeprefix("SONG_WARNING_KIND_")  # type: ignore[arg-type]
