"""The pipeline by itself: it yields plain values, in order, and waits for its consumer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from deepsing.v1 import sentiment_pb2
from services.composer.pipeline.analysis import AnalysisUpdate
from services.composer.pipeline.capabilities import Capabilities
from services.composer.pipeline.frames import FrameBatch
from services.composer.pipeline.judge import BACKLOG
from services.composer.pipeline.pipeline import FramesComplete, StoryEvent, StoryPipeline
from services.composer.pipeline.task import StoryTask
from services.composer.session.config import parse_config
from services.composer.session.messages import build_song_facts
from services.composer.story.judge_sampling import Judgement
from services.composer.upload.song_file import SongFile
from tests.unit.composer.fakes import Stage, config, stage
from tests.unit.composer.session.test_session import SONG


@pytest.fixture
async def composer() -> AsyncIterator[Stage]:
    async with stage() as running:
        yield running


async def make_pipeline(composer: Stage, folder: Path, first_seq: int = 0) -> tuple[StoryTask, StoryPipeline]:
    (folder / "song").write_bytes(SONG)
    servicer, plan = composer.servicer, parse_config(config())
    task = StoryTask(plan, await Capabilities.fetch(plan, servicer.backends), "s", first_seq, judge_all=True)
    song_file = SongFile.whole(folder / "song")
    return task, StoryPipeline(task, song_file, servicer.backends, servicer.settings)


async def consume(pipeline: StoryPipeline) -> list[StoryEvent]:
    async with asyncio.TaskGroup() as group, aclosing(pipeline.run(group)) as events:
        return [event async for event in events]


async def test_a_story_is_a_stream_of_values(composer: Stage, tmp_path: Path) -> None:
    task, pipeline = await make_pipeline(composer, tmp_path)
    events = await consume(pipeline)
    batches = [event for event in events if isinstance(event, FrameBatch)]
    assert [info.seq for batch in batches for info in batch.infos] == list(range(151))
    assert {picture.shape for batch in batches for picture in batch.pictures} == {task.size.shape}
    assert [seq for batch in batches for seq in batch.excerpts] == list(range(0, 151, 24))
    updates = [event for event in events if isinstance(event, AnalysisUpdate)]
    assert ([update.last for update in updates].count(True), updates[-1].frames) == (1, 151)
    assert sum(len(update.points) for update in updates) == 13  # 6.3 s, twice a second
    (complete,) = (event for event in events if isinstance(event, FramesComplete))
    assert complete.frame_count == 151
    judgements = [event for event in events if isinstance(event, Judgement)]
    assert judgements == pipeline.judgements
    assert [one.info.seq for one in judgements] == list(range(0, 151, 24))
    summary = pipeline.summarize()
    assert (summary.frame_count, summary.arousal.n, summary.engine) == (151, 151, "fake")
    assert summary.judged is not None
    assert summary.judged.arousal.n == 7


async def test_no_batch_comes_before_the_consumer_lets_the_story_go_on(composer: Stage, tmp_path: Path) -> None:
    _, pipeline = await make_pipeline(composer, tmp_path)
    may_go_on, waiting = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        waiting.set()
        await may_go_on.wait()

    seen: list[StoryEvent] = []

    async def read(group: asyncio.TaskGroup) -> None:
        async with aclosing(pipeline.run(group, hold)) as events:
            async for event in events:
                seen.append(event)

    async with asyncio.TaskGroup() as group:
        group.create_task(read(group))
        await waiting.wait()
        async with asyncio.timeout(10):
            while not any(isinstance(event, AnalysisUpdate) and event.last for event in seen):  # noqa: ASYNC110 - a list
                await asyncio.sleep(0)
        assert sum(isinstance(event, FrameBatch) for event in seen) == 1
        may_go_on.set()
    assert sum(len(event.infos) for event in seen if isinstance(event, FrameBatch)) == 151


async def test_frames_of_an_earlier_attempt_count_with_those_made_now(composer: Stage, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "rest").mkdir()
    _, whole = await make_pipeline(composer, tmp_path / "whole")
    batches = [event for event in await consume(whole) if isinstance(event, FrameBatch)]
    _, rest = await make_pipeline(composer, tmp_path / "rest", first_seq=80)
    made: list[int] = []
    async with asyncio.TaskGroup() as group, aclosing(rest.run(group)) as events:
        for batch in batches:
            for info in batch.infos:
                if info.seq < 80:
                    await rest.restore(info, batch.excerpts.get(info.seq, b""))
        async for event in events:
            if isinstance(event, FrameBatch):
                made.extend(info.seq for info in event.infos)
    assert made == list(range(80, 151))
    assert rest.summarize() == whole.summarize()
    assert rest.judgements == whole.judgements


async def test_more_frames_are_restored_than_may_wait_for_the_judge(composer: Stage, tmp_path: Path) -> None:
    _, whole = await make_pipeline(composer, tmp_path)
    batch = next(event for event in await consume(whole) if isinstance(event, FrameBatch))
    (tmp_path / "rest").mkdir()
    _, rest = await make_pipeline(composer, tmp_path / "rest", first_seq=150)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group, aclosing(rest.run(group)) as events:
        for _ in range(BACKLOG + 100):
            await rest.restore(batch.infos[0], batch.excerpts[0])
        judged = [event async for event in events if isinstance(event, Judgement)]
    assert len(rest.judgements) == BACKLOG + 100
    assert judged == rest.judgements


async def test_a_warning_of_a_newer_audio_sentiment_is_passed_on_without_its_kind(
    composer: Stage, tmp_path: Path
) -> None:
    clipped = sentiment_pb2.SongWarning(kind=sentiment_pb2.SONG_WARNING_KIND_CLIPPED, message="it clips")
    composer.audio.warnings = [clipped, sentiment_pb2.SongWarning(kind=99, message="it hums")]  # type: ignore[arg-type]
    _, pipeline = await make_pipeline(composer, tmp_path)
    await consume(pipeline)
    song = pipeline.summarize().song
    assert song is not None
    assert song.warnings == (("CLIPPED", "it clips"), ("UNSPECIFIED", "it hums"))
    assert [warning.kind for warning in build_song_facts(song).warnings] == [clipped.kind, 0]
