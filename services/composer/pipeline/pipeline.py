"""A story being told: the listening and the painting at once, and what goes back to the caller."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from time import monotonic
from typing import Any

from deepsing.audio import AudioError
from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.backends.client import Backends
from services.composer.output.files import StoryFiles, iter_file_chunks
from services.composer.output.summary import build_manifest_facts, build_session_end
from services.composer.pipeline.analysis import LatestUpdate, SongAnalysis
from services.composer.pipeline.capabilities import Capabilities
from services.composer.pipeline.frames import FrameBatch, FrameScheduler
from services.composer.pipeline.judge import JudgeClient
from services.composer.pipeline.live_frames import build_scheduler
from services.composer.session.config import StoryPlan
from services.composer.session.credit import CreditGate
from services.composer.session.messages import (
    build_achieved_point,
    build_affect_point,
    build_frame,
    convert_audio_error,
)
from services.composer.session.outbox import Outbox
from services.composer.settings import ComposerSettings
from services.composer.story.agreement import RunningAgreement
from services.composer.story.judge_sampling import Judgement, encode_excerpt
from services.composer.upload.arrivals import ArrivalLog
from services.composer.upload.song_file import SongFile

__all__ = ["StoryPipeline"]

HEARTBEAT_INTERVAL_S = 0.5  # between heartbeats while frames are painted


class StoryPipeline:
    """Tells one story.

    Args:
        outbox: takes what goes back to the caller, in order.
        heartbeat: kept at what it is busy with.
        credit_gate: lets frames out.
        arrivals: when how much of the story's audio came, microseconds.
        song_file: the song, which may still be on its way; files are written beside it.
    """

    def __init__(
        self,
        plan: StoryPlan,
        settings: ComposerSettings,
        backends: Backends,
        session_id: str,
        outbox: Outbox,
        heartbeat: pb.Heartbeat,
        credit_gate: CreditGate,
        arrivals: ArrivalLog,
        song_file: SongFile,
    ) -> None:
        self.plan, self.settings, self.backends, self.session_id = plan, settings, backends, session_id
        self.outbox, self.heartbeat, self.credit_gate, self.arrivals, self.song_file = (
            outbox,
            heartbeat,
            credit_gate,
            arrivals,
            song_file,
        )
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="story")  # files are written by one thread, in order
        self.heartbeat_at = monotonic()
        self.agreement = (RunningAgreement(), RunningAgreement())
        self.files: StoryFiles | None = None
        self.sound_task: asyncio.Task[None] | None = None

    async def run(self, capabilities: Capabilities, digest: str, group: asyncio.TaskGroup) -> None:
        """Sends the story from its first message to its last; `digest` is the story's."""
        plan, first = self.plan, self.plan.resume.next_seq if self.plan.resume else 0
        scheduler = build_scheduler(
            plan,
            capabilities,
            self.backends,
            self.settings,
            session_id=self.session_id,
            first=first,
            arrivals=self.arrivals,
        )
        self.files = StoryFiles(self.song_file.path.parent, plan, scheduler.size, self.settings.encoder_threads)
        started = pb.SessionStarted(
            session_id=self.session_id, story_digest=digest, size=scheduler.size, digests=capabilities.digests
        )
        started.song_held = self.song_file.is_cached
        started.frame_rate.numerator, started.frame_rate.denominator = plan.rate.numerator, plan.rate.denominator
        await self.outbox.put(pb.ComposeResponse(session_started=started))
        self.heartbeat.phase = pb.PHASE_LISTENING
        if pb.STORY_FILE_KIND_VIDEO in plan.files:
            self.sound_task = group.create_task(self._write_sound(self.files))
        analysis, latest = (
            SongAnalysis(plan, capabilities, self.song_file, self.backends, self.arrivals),
            LatestUpdate(),
        )
        analysis_task = group.create_task(self._analyze(analysis, latest))
        deliver = self._send_judgement if plan.send_achieved else None
        judge_client = JudgeClient(plan, capabilities.concepts, self.backends, self.settings, deliver)
        judge_client.start(group)
        async with aclosing(scheduler.run(latest.updates())) as batches:
            async for batch in batches:
                await self._send_batch(batch, judge_client)
        await analysis_task
        await self._finish(capabilities, scheduler, analysis, judge_client)

    async def close(self) -> None:
        """Gives up what is not finished."""
        if self.files is not None:
            self.files.abandoned = True
            await self._run_in_thread(self.files.abandon)
        await asyncio.to_thread(self.thread.shutdown)

    async def _analyze(self, analysis: SongAnalysis, latest: LatestUpdate) -> None:
        """Listens as fast as it goes, so that the length of the story is soon known."""
        async with aclosing(analysis.run()) as updates:
            async for update in updates:
                if update.last:
                    resume = analysis.plan.resume
                    if resume is not None and resume.next_seq > update.frames:
                        message = f"next_seq is {resume.next_seq}; the story has {update.frames} frames"
                        reason = reasons.ERROR_REASON_RESUME_OUT_OF_RANGE
                        raise InvalidArgument(message, reason=reason, field="resume.next_seq", value=resume.next_seq)
                    self.heartbeat.frames_total = update.frames
                latest.put(update)
                for point in update.points:
                    await self.outbox.put(pb.ComposeResponse(affect_point=build_affect_point(point)))

    async def _write_sound(self, files: StoryFiles) -> None:
        """Encodes the song's sound beside the painting, once all of it is there."""
        await self.song_file.wait_until_complete()
        try:
            await asyncio.to_thread(files.write_sound, self.song_file.path)
        except AudioError as error:
            raise convert_audio_error(error) from error

    async def _send_batch(self, batch: FrameBatch, judge_client: JudgeClient) -> None:
        """Sends a batch of frames as credit allows, and a heartbeat now and then."""
        assert self.files is not None
        self.heartbeat.phase = pb.PHASE_PAINTING
        if batch.skipped:
            self.credit_gate.skip(batch.skipped.start, len(batch.skipped))
            await self.outbox.release()
        images = await self._run_in_thread(self.files.add, batch.pictures, batch.infos)
        for info, image in zip(batch.infos, images, strict=True):
            for axis, agreement in enumerate(self.agreement):
                agreement.add(info.target[axis], info.expected[axis])
            self.heartbeat.frames_done = info.seq + 1
            if self.files.shows_frames:
                self.credit_gate.offer(build_frame(info, image))
        await self.outbox.release()
        while self.credit_gate.backlog is None and self.credit_gate.waiting:
            self.heartbeat.phase = pb.PHASE_WAITING_FOR_CREDIT
            await self.credit_gate.wait_for_credit()
            await self.outbox.release()
        for picture, info in zip(batch.pictures, batch.infos, strict=True):
            if judge_client.sampler.selects(info.seq):
                judge_client.offer(await self._run_in_thread(encode_excerpt, picture), info)
        if monotonic() - self.heartbeat_at > HEARTBEAT_INTERVAL_S:
            await self._send_heartbeat()

    async def _send_heartbeat(self) -> None:
        self.heartbeat_at, self.heartbeat.lag_us = monotonic(), round(self.credit_gate.lag_s * 1e6)
        await self.outbox.put(pb.ComposeResponse(heartbeat=self.heartbeat))

    async def _send_judgement(self, judgement: Judgement) -> None:
        await self.outbox.put(pb.ComposeResponse(achieved_point=build_achieved_point(judgement)))

    async def _finish(
        self, capabilities: Capabilities, scheduler: FrameScheduler, analysis: SongAnalysis, judge_client: JudgeClient
    ) -> None:
        """Finishes the files, sends them, and says goodbye."""
        assert self.files is not None
        self.heartbeat.phase = pb.PHASE_FINISHING
        await self._send_heartbeat()
        await self.outbox.drain()
        await self.song_file.wait_until_complete()
        if self.sound_task is not None:
            await self.sound_task
        await judge_client.finish(self.settings.judge_wait_s)
        end = build_session_end(
            self.plan, capabilities, analysis.summary, self.agreement, judge_client, self.heartbeat.frames_total
        )
        end.song_digest, end.dropped_count = self.song_file.digest, self.credit_gate.dropped_count
        end.flashes_per_second = scheduler.guard.worst
        if not self.credit_gate.dropped_count and not scheduler.first:
            end.frames_digest = self.files.frames_hash.hexdigest()
        facts = build_manifest_facts(self.plan, scheduler.size, end, judge_client.judgements, self.session_id)
        for kind, path in await self._run_in_thread(self.files.finish, facts, judge_client.judgements, end):
            for piece in iter_file_chunks(kind, path):
                await self.outbox.put(pb.ComposeResponse(story_file_chunk=piece))
        await self.outbox.put(pb.ComposeResponse(session_end=end))

    async def _run_in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.thread, work, *arguments)
