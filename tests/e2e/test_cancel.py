"""A caller who leaves: after a second of work nobody paints for them any more."""

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from deepsing.client import Client, StoryOptions
from deepsing.v1 import composer_pb2 as pb
from tests.chaos.fleet import Fleet, Replica
from tests.encoding import encode, tone

IDLE_AFTER_S = 1.0  # of all cores; in processor time, because others may be busy on this machine
IDLE_S = 1.0  # how long is looked whether a process is idle
IDLE_WORK_S = 0.05  # of processor time meanwhile, that is none
WAIT_LIMIT_S = 60.0


async def test_the_generator_is_idle_after_a_second_of_work_once_its_caller_has_left(tmp_path: Path) -> None:
    song = encode(tone(60.0), 44_100, "mp3", "libmp3lame")
    async with Fleet(tmp_path, 1) as fleet:
        composer, (generator,) = fleet.replicas_of("composer")[0], fleet.replicas_of("generator")
        async with Client(f"127.0.0.1:{composer.port}") as client:
            events = client.compose(song, StoryOptions(images="raw"))
            async for event in events:
                if isinstance(event, pb.Frame) and event.seq == 30:
                    break
            worked_s = work_s(generator)
            await events.aclose()
        assert worked_s > 0
        async with asyncio.timeout(WAIT_LIMIT_S):
            idle_at, idle_since_s = await wait_until_idle(generator)
        assert idle_since_s - worked_s < IDLE_AFTER_S * (os.cpu_count() or 1)
        await asyncio.sleep(IDLE_S)  # what is to be seen is that nothing happens afterwards
        assert work_s(generator) - idle_since_s < 2 * IDLE_WORK_S
        assert all(end < idle_at for end in read_call_ends(generator, "Generate"))
        assert len(read_call_ends(composer, "Compose")) == 1


async def wait_until_idle(replica: Replica) -> tuple[datetime, float]:
    """Returns when a process had been idle for IDLE_S, and its processor time before.

    A call may end in that time: a painter that is faster than its caller is idle while an answer is on its way.
    """
    while True:
        worked_s = work_s(replica)
        await asyncio.sleep(IDLE_S)
        if work_s(replica) - worked_s < IDLE_WORK_S:
            return datetime.now(UTC), worked_s


def work_s(replica: Replica) -> float:
    """Processor time of a process so far."""
    ticks = Path(f"/proc/{replica.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def read_call_ends(replica: Replica, method: str) -> list[datetime]:
    lines = map(json.loads, replica.log.read_text(encoding="utf-8").splitlines())
    return [datetime.fromisoformat(line["time"]) for line in lines if line.get("rpc", "").endswith(method)]
