"""`make chaos`: stories continue with identical frames while services and connections are killed."""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest.mock import patch

from deepsing.client import StoryOptions
from deepsing.client import resumable_story as telling
from deepsing.client.errors import DeepsingError
from tests.chaos.fleet import Fleet, Replica
from tests.chaos.proxy import Proxy
from tests.chaos.stories import HANG_S, STARVE_S, CountedSession, StoryResult, counts, frame_came, render
from tests.encoding import encode, tone

STORIES = 4  # different ones; streams take them in turn
SONG_S = 5.0
KINDS = {"kill": 6, "term": 4, "freeze": 3, "reset": 4, "silence": 3}  # and how often each is drawn
MEAN_PAUSE_FRAMES = 28  # frames between kills, so that kills do not depend on the machine's speed
FREEZE_S = (0.5, 25.0)  # shorter and longer than a connection's patience


class Chaos:
    """One run.

    Args:
        seed: decides which kinds of kills come after which pauses; whom they meet also depends on who is up.
        kill_count: of them.
        stream_count: least streams; more are begun for as long as kills are to come.
        at_once: streams rendered at a time.
    """

    def __init__(self, seed: int, kill_count: int, stream_count: int, at_once: int) -> None:
        self.kinds, self.victims = random.Random(seed), random.Random(seed)
        self.kill_count, self.stream_count, self.at_once = kill_count, stream_count, at_once
        self.kills: Counter[str] = Counter()
        self.faults: list[str] = []
        self.frame_count = self.begun = self.done = 0
        self.slowest_s = 0.0

    async def run(self, folder: Path) -> None:
        """Renders each story undisturbed, then streams of them during kills; records every difference."""
        songs = [folder / f"{place}.mp3" for place in range(STORIES)]
        for place, song in enumerate(songs):
            song.write_bytes(encode(tone(SONG_S + 0.37 * place), 44_100, "mp3", "libmp3lame"))
        async with Fleet(folder, 2) as fleet, Proxy([one.port for one in fleet.replicas_of("composer")]) as proxy:
            plain = fleet.replicas_of("composer")[0]
            whole = [await self._run_story(f"127.0.0.1:{plain.port}", song, place) for place, song in enumerate(songs)]
            async with asyncio.TaskGroup() as group:
                kills = group.create_task(self._kill_all(fleet, proxy))
                for _ in range(self.at_once):
                    group.create_task(self._run_streams(proxy.target, songs, whole, kills))

    async def _run_story(self, target: str, song: Path, place: int) -> StoryResult:
        return await render(target, song, StoryOptions(fps=24, size=(64, 64), images="raw", seed=place))

    async def _run_streams(
        self, target: str, songs: list[Path], whole: list[StoryResult], kills: asyncio.Task[None]
    ) -> None:
        """Renders one story after another until all kills are done and enough streams have ended."""
        while not kills.done() or self.begun < self.stream_count:
            number, place = self.begun, self.begun % STORIES
            self.begun += 1
            began = time.monotonic()
            try:
                result = await self._run_story(target, songs[place], place)
            except TimeoutError:
                self.faults.append(
                    f"stream {number} hangs: no frame in {HANG_S:g} s of a session or {STARVE_S:g} s of several"
                )
            except DeepsingError as error:
                self.faults.append(f"stream {number} failed: {error.code.name} {error.reason}: {error}")
            else:
                self._compare(number, result, whole[place])
            took_s = time.monotonic() - began
            self.slowest_s = max(self.slowest_s, took_s)
            sys.stderr.write(f"stream {number} ended after {took_s:.0f} s; {self.kills.total()} kills so far\n")

    def _compare(self, number: int, result: StoryResult, whole: StoryResult) -> None:
        self.done += 1
        self.frame_count += len(result.seqs)
        lost, doubled = set(whole.seqs) - set(result.seqs), len(result.seqs) - len(set(result.seqs))
        if lost or doubled or result.seqs != sorted(result.seqs):
            self.faults.append(f"stream {number}: {len(lost)} frames lost, {doubled} doubled")
        if (result.digest, result.frame_count) != (whole.digest, whole.frame_count):
            self.faults.append(f"stream {number}: {result.digest[:12]}, undisturbed {whole.digest[:12]}")

    async def _kill_all(self, fleet: Fleet, proxy: Proxy) -> None:
        ways: dict[str, Callable[[Replica], Awaitable[None]]] = {
            "kill": lambda replica: replica.restart(signal.SIGKILL),
            "term": lambda replica: replica.restart(signal.SIGTERM),
            "freeze": lambda replica: replica.stop_for(self.victims.uniform(*FREEZE_S)),
        }
        async with asyncio.TaskGroup() as returns:
            while self.kills.total() < self.kill_count:
                next_kill = counts["frames"] + self.kinds.expovariate(1 / MEAN_PAUSE_FRAMES)
                while counts["frames"] < next_kill:
                    frame_came.clear()
                    await frame_came.wait()
                (kind,) = self.kinds.choices(list(KINDS), list(KINDS.values()))
                if kind in ways:
                    there = [replica for replica in fleet.replicas if replica.serving]
                    if not there:
                        continue
                    victim = self.victims.choice(there)
                    returns.create_task(ways[kind](victim))  # type: ignore[arg-type]
                    kind = f"{kind} {victim.service}"
                elif not (proxy.reset(self.victims) if kind == "reset" else proxy.silence(self.victims)):
                    continue
                self.kills[kind] += 1


def main() -> int:
    """Runs it and prints the result; returns 1 if anything was lost, repeated, different, or hung."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=5)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))  # so that no process is left behind
    chaos = Chaos(chosen.seed, chosen.kills, chosen.streams, chosen.at_once)
    began = time.monotonic()
    with (
        patch.object(telling, "Session", CountedSession),
        tempfile.TemporaryDirectory(prefix="deepsing-chaos-", ignore_cleanup_errors=True) as folder,
    ):
        asyncio.run(chaos.run(Path(folder)))
    say = sys.stdout.write
    say(f"seed {chosen.seed}: {chaos.kills.total()} kills over {chaos.begun} streams, ")
    say(f"{time.monotonic() - began:.0f} s\n")
    for kind, count in sorted(chaos.kills.items()):
        say(f"  {count:3d}  {kind}\n")
    say(f"{chaos.done} streams complete, {chaos.frame_count} frames, the slowest in {chaos.slowest_s:.0f} s; ")
    resumes = counts["sessions"] - chaos.begun - STORIES
    say(f"{resumes} resumes, {counts['songs held']} of them with the song still held\n")
    say("".join(f"FAULT {fault}\n" for fault in chaos.faults) or "0 frames lost, doubled or different; 0 hangs\n")
    return 1 if chaos.faults else 0


if __name__ == "__main__":
    sys.exit(main())
