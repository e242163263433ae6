"""Hears a song through audio_sentiment: its feelings on the scale of pictures, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import audio_sentiment_pb2 as wire
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.backends.client import Backends
from services.composer.pipeline.capabilities import Capabilities
from services.composer.session.config import StoryPlan
from services.composer.story.scale import build_scale
from services.composer.story.timeline import WINDOW_S, Point, frame_count
from services.composer.upload.arrivals import ArrivalLog
from services.composer.upload.song_file import SongFile

__all__ = ["AnalysisUpdate", "LatestUpdate", "SongAnalysis"]

WINDOW_US = round(WINDOW_S * 1e6)


@dataclass(frozen=True)
class AnalysisUpdate:
    """What the analysis of a song has added.

    Attributes:
        points: what it settled.
        frames: frames of the story that what was heard so far covers.
        last: True where these are all.
    """

    points: list[Point]
    frames: int
    last: bool


@dataclass
class LatestUpdate:
    """Between the analysis, which goes as fast as it can, and the scheduler: what waits becomes one update."""

    waiting: AnalysisUpdate | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, update: AnalysisUpdate) -> None:
        """Adds an update to what waits."""
        before = self.waiting.points if self.waiting else []
        self.waiting = AnalysisUpdate([*before, *update.points], update.frames, update.last)
        self.news.set()

    async def updates(self) -> AsyncIterator[AnalysisUpdate]:
        """All that was heard and not yet taken, again and again, up to and with the last update."""
        last = False
        while not last:
            await self.news.wait()
            self.news.clear()
            if (update := self.waiting) is not None:
                self.waiting, last = None, update.last
                yield update


class SongAnalysis:
    """One song being heard.

    Args:
        capabilities: says what is typical of the engine's concepts, and which model is to listen.
        arrivals: is told when how much of the story's audio came, microseconds.

    Attributes:
        summary: what audio_sentiment said at the end; None before, and where only a part was heard.
    """

    def __init__(
        self, plan: StoryPlan, capabilities: Capabilities, song_file: SongFile, backends: Backends, arrivals: ArrivalLog
    ) -> None:
        self.plan, self.capabilities, self.song_file, self.backends, self.arrivals = (
            plan,
            capabilities,
            song_file,
            backends,
            arrivals,
        )
        self.summary: wire.AnalyzeSummary | None = None
        self.heard_us = self.frames = 0

    async def _requests(self) -> AsyncIterator[wire.AnalyzeRequest]:
        config = wire.AnalyzeConfig(
            audio_format=self.plan.audio_format,
            live=self.plan.live,
            model_digest=self.capabilities.digests["audio_sentiment"],
            send_progress=self.plan.live,
        )
        yield wire.AnalyzeRequest(config=config)
        async for chunk in self.song_file.iter_chunks():
            yield wire.AnalyzeRequest(audio_chunk=chunk)

    async def run(self) -> AsyncGenerator[AnalysisUpdate]:
        """Yields what is heard, in order; the last one holds the frame count.

        A part of a song begins at the window nearest to its start, and nothing after it is heard.
        """
        scale, first = build_scale(self.plan.mode, self.capabilities.norm), round(self.plan.start_us / WINDOW_US)
        wanted = -(-self.plan.duration_us // WINDOW_US) if self.plan.duration_us else None
        number = 0
        async with aclosing(self.backends.analyze(self._requests, lambda: self.song_file.finished)) as responses:
            async for response in responses:
                if response.HasField("summary"):
                    self.summary = response.summary
                    break
                if response.HasField("progress"):
                    if (update := self._apply_progress(response.progress)) is not None:
                        yield update
                    continue
                point, number = response.point, number + 1
                self.heard_us = max(self.heard_us, point.time_us + (point.duration_us or WINDOW_US))
                if number <= first:
                    continue
                feeling = point.sentiment
                time_s = (number - 1 - first) * WINDOW_S
                settled = scale.add(
                    Point(time_s, feeling.arousal, feeling.valence, point.loudness, point.onset_strength)
                )
                self.frames = self._count_frames_until(self.heard_us)
                self.arrivals.record(self.heard_us - self.plan.start_us)
                yield AnalysisUpdate(settled, self.frames, False)
                if wanted is not None and number - first >= wanted:
                    break
        yield AnalysisUpdate(scale.finish(), self._count_frames(), True)

    def _apply_progress(self, progress: wire.AnalyzeProgress) -> AnalysisUpdate | None:
        """The frames whose audio is heard though not read; None where it holds no new one."""
        if progress.heard_us <= max(self.heard_us, self.plan.start_us):
            return None
        before, self.heard_us = self.frames, progress.heard_us
        self.frames = self._count_frames_until(self.heard_us)
        came_s = self.song_file.arrivals.arrival_s(progress.byte_count)
        self.arrivals.record(self.heard_us - self.plan.start_us, came_s)
        return AnalysisUpdate([], self.frames, False) if self.frames > before else None

    def _count_frames(self) -> int:
        """Frames of the part that was asked for, or of what there is of it."""
        plan = self.plan
        if self.summary is not None:
            song = self.summary.song
            if not plan.start_us and (not plan.duration_us or plan.duration_us >= song.duration_us):
                return frame_count(song.sample_count, song.sample_rate_hz, plan.rate)
            self.heard_us = song.duration_us
        if self.heard_us <= plan.start_us:
            message = (
                f"the part starts at {plan.start_us / 1e6:g} s but the song ends at {self.heard_us / 1e6:.3f} s; "
                "start earlier"
            )
            reason = reasons.ERROR_REASON_PART_OUT_OF_RANGE
            raise InvalidArgument(message, reason=reason, field="start_us", value=plan.start_us)
        return self._count_frames_until(self.heard_us)

    def _count_frames_until(self, heard_us: int) -> int:
        length_us = max(0, heard_us - self.plan.start_us)
        length_us = min(length_us, self.plan.duration_us) if self.plan.duration_us else length_us
        return frame_count(length_us, 1_000_000, self.plan.rate)
