"""Malformed messages, and a share of the mutated songs, to the four real services, whose health is watched."""

__all__ = ["Finding", "Wire", "make_all_calls"]

import asyncio
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import grpc

from deepsing.local.process import wait_until_serving
from deepsing.local.services import NAMES, LocalServices, find_free_ports
from deepsing.v1 import audio_sentiment_pb2
from deepsing.v1 import composer_pb2 as pb
from tests.fuzz.calls import Answer, call
from tests.fuzz.messages import Method, make_requests, methods
from tests.fuzz.mutations import make_mutant
from tests.soak.watching import Census, Verdict, fit_verdict

AT_ONCE = 8
SAMPLE_S = 1.0
GROWTH_MIB = 48.0  # that a service's memory may show beyond its warm-up; a leak of 10 kB a call would show more
PATIENCE = {  # so that stories which wait for what never comes are over soon
    "DEEPSING_COMPOSER_STORIES_RUNNING": "0",  # those that are stored wait
    "DEEPSING_COMPOSER_HEARTBEAT_S": "2",
    "DEEPSING_COMPOSER_UPLOAD_STALL_S": "1",
    "DEEPSING_COMPOSER_CREDIT_STALL_S": "1",
    "DEEPSING_AUDIO_SENTIMENT_UPLOAD_STALL_S": "1",
}
SONG_CALLS = {
    "Probe": (pb.ProbeRequest, pb.StoryConfig),
    "Analyze": (audio_sentiment_pb2.AnalyzeRequest, audio_sentiment_pb2.AnalyzeConfig),
}


@dataclass(frozen=True)
class Finding:
    """An answer, and which request it was to: enough to send it again."""

    method: str
    number: int
    answer: Answer


@dataclass
class Wire:
    """What came of all calls."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    slowest: list[Finding] = field(default_factory=list)
    memory: list[Verdict] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def note(self, finding: Finding) -> None:
        """Adds one answer."""
        self.counts.setdefault(finding.method, Counter())[finding.answer.what] += 1
        if finding.answer.fault:
            self.findings.append(finding)
        self.slowest = sorted([*self.slowest, finding], key=lambda one: -one.answer.wall_s)[:5]

    @property
    def passed(self) -> bool:
        """Whether every answer was well, nothing was left, and no memory grew."""
        return not self.findings and not self.left and all(one.growth <= GROWTH_MIB for one in self.memory)


async def make_all_calls(seed: int, numbers: Iterable[int], songs: Iterable[int], only: str = "") -> Wire:
    """Starts the services, makes all calls, and looks at what they left.

    Args:
        seed: decides every request.
        numbers: of the malformed calls of each RPC.
        songs: numbers of mutated songs that go to Probe and to Analyze.
        only: a method's name; empty is all.

    Raises:
        CommandError: a service died.
    """
    wire = Wire()
    ports = find_free_ports(dict.fromkeys(NAMES, 0))
    with _folder() as folder:
        async with LocalServices(ports, logs=folder / "logs", guarded=True) as services:
            census = Census(services.pids, folder / "tmp")
            sampling = asyncio.create_task(_sample(census))
            await services.watch(_all_calls(wire, services.targets, _Wanted(seed, list(numbers), list(songs), only)))
            for target in services.targets.values():
                await wait_until_serving(target, 10)
            await asyncio.sleep(2)
            sampling.cancel()
            wire.left = census.list_leftovers()
            for name in services.pids:
                wire.memory.append(fit_verdict(name, "rss_mib", census.times_s, census.series(name, "rss_mib")))
    return wire


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        (Path(name) / "tmp").mkdir()
        with patch.dict(os.environ, PATIENCE | {"TMPDIR": f"{name}/tmp", "DEEPSING_COMPOSER_STORE": f"{name}/store"}):
            yield Path(name)


@dataclass(frozen=True)
class _Wanted:
    seed: int
    numbers: list[int]
    songs: list[int]
    only: str

    def jobs(self) -> Iterator[tuple[Method, int, list[bytes]]]:
        """All calls, malformed ones and songs, whose numbers are negative: mixed, or the work would have a trend."""
        chosen = [method for method in methods() if self.only in ("", method.name)]
        calls = [(method, number, False) for method in chosen for number in self.numbers]
        calls += [(method, song, True) for method in chosen if method.name in SONG_CALLS for song in self.songs]
        random.Random(self.seed).shuffle(calls)
        for method, number, is_song in calls:
            if is_song:
                yield method, -number, _song_requests(method.name, self.seed, number)
            else:
                yield method, number, make_requests(method, self.seed, number)


async def _all_calls(wire: Wire, targets: Mapping[str, str], wanted: _Wanted) -> None:
    names = {import_module(f"services.{name}.rpc").SERVICE.grpc_name: name for name in NAMES}
    channels = {name: grpc.aio.insecure_channel(target) for name, target in targets.items()}
    jobs = wanted.jobs()

    async def make() -> None:
        for method, number, requests in jobs:
            answer = await call(channels[names[method.service]], method, requests)
            wire.note(Finding(method.name, number, answer))

    await asyncio.gather(*(make() for _ in range(AT_ONCE)))
    for channel in channels.values():
        await channel.close()


def _song_requests(name: str, seed: int, number: int) -> list[bytes]:
    data = make_mutant(seed, number).data
    message, config = SONG_CALLS[name]
    pieces = [message(audio_chunk=data[first : first + 65_536]) for first in range(0, len(data), 65_536)]
    return [one.SerializeToString() for one in [message(config=config()), *pieces]]


async def _sample(census: Census) -> None:
    began = time.monotonic()
    while True:
        census.sample(time.monotonic() - began)
        await asyncio.sleep(SAMPLE_S)
