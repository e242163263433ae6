"""deepsing render as a process: what it prints, what it leaves, and how it ends."""

import asyncio
import hashlib
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deepsing.local.services import find_free_ports
from deepsing.rpc.errors import InvalidArgument, Unavailable
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1.composer_pb2 import ProbeResponse
from tests.e2e.cli.stand_ins import command, deepsing, wait_for_result
from tests.unit.client.fake_composer import (
    Call,
    FakeComposer,
    end_event,
    frames,
    heartbeat,
    serve_composer,
    start_event,
    wait_for_hangup,
    whole_story,
)

SIDE_FILES = (".contact-sheet.png", ".curve.png", ".json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "song.mp3").write_bytes(b"song" * 1000)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"song.mp3"}


async def test_the_files_are_named_and_progress_goes_to_standard_error(folder: Path) -> None:
    async with serve_composer(FakeComposer(whole_story())) as target:
        ended = await deepsing("render", "song.mp3", "story.mp4", "--target", target, root=folder)
    assert ended.status == 0
    assert names(folder) == {"story.mp4", *(f"story{suffix}" for suffix in SIDE_FILES)}
    assert "story.mp4: 1.00 s, 24 frames of 256x256, 24 a second" in ended.out
    assert not any(word in ended.out for word in (" r ", "ccc", "rmse", "arousal"))  # one second says nothing
    assert "note: 1 of 3 pictures were not read: the judge is too slow" in ended.out
    assert "deepsing: painting, frame 12 of 24" in ended.err
    assert "\x1b" not in ended.out + ended.err


async def test_json_is_one_object_and_nothing_else(folder: Path) -> None:
    async with serve_composer(FakeComposer(whole_story())) as target:
        ended = await deepsing("render", "song.mp3", "story.mp4", "--target", target, "--json", root=folder)
    result = json.loads(ended.out)
    assert ended.err == ""
    assert (result["video"], result["curve"]) == ("story.mp4", "story.curve.png")
    assert (result["frames"], result["duration_s"], result["fps"]) == (24, 1.0, "24/1")
    assert result["agreement"]["arousal"] == {"r": 0.97, "ccc": 0.95, "rmse": 0.05, "n": 24}
    assert result["achieved"]["valence"]["r"] == 0.42
    assert result["story_warnings"] == ["1 of 3 pictures were not read: the judge is too slow"]
    assert result["frames_digest"] == "f4a3"
    assert result["warnings"] == []


async def test_options_reach_the_composer(folder: Path) -> None:
    composer = FakeComposer(whole_story())
    options = "--fps 23.976 --size 16:9 --seed 7 --translator dictionary --style auto --style-strength 0.25"
    more = "--mode relative --start 1.5 --duration 20 --engine canvas --title Song"
    async with serve_composer(composer) as target:
        words = [*options.split(), *more.split(), "--target", target]
        assert (await deepsing("render", "song.mp3", "story.mp4", *words, root=folder)).status == 0
    config = composer.calls[0].config
    assert (config.frame_rate.numerator, config.frame_rate.denominator) == (24_000, 1001)
    assert (config.size.width_px, config.size.height_px) == (910, 512)
    assert (config.seed, config.translator, config.style, config.style_strength) == (7, "dictionary", "auto", 0.25)
    assert (config.sentiment_mode, config.start_us, config.duration_us) == (2, 1_500_000, 20_000_000)
    assert (config.engine, config.title) == ("canvas", "Song")


@pytest.mark.parametrize(
    ("song", "out"),
    [("-song.mp3", "-story.mp4"), ("two words.mp3", 'it\'s "so".mp4'), ("🎵.mp3", "🖼.mp4"), ("caf\udce9.mp3", "o.mp4")],
)
async def test_any_file_name_will_do(folder: Path, song: str, out: str) -> None:
    (folder / "song.mp3").rename(folder / song)
    async with serve_composer(FakeComposer(whole_story())) as target:
        ended = await deepsing("render", "--target", target, "--json", "--", song, out, root=folder)
    assert (ended.status, ended.err) == (0, "")
    assert json.loads(ended.out)["video"] == out
    assert names(folder) - {song} == {out, *(f"{out[:-4]}{suffix}" for suffix in SIDE_FILES)}


async def test_a_refusal_is_the_servers_line_and_status_2(folder: Path) -> None:
    refusal = InvalidArgument(
        "the song is 0.200 s long; send at least 0.5 s", reason=reasons.ERROR_REASON_SONG_TOO_SHORT
    )
    async with serve_composer(FakeComposer([refusal])) as target:
        ended = await deepsing("render", "song.mp3", "story.mp4", "--target", target, root=folder)
    assert (ended.status, ended.out) == (2, "")
    assert ended.line == "deepsing: the song is 0.200 s long; send at least 0.5 s"
    assert names(folder) == set()


async def test_a_composer_that_fails_is_status_1(folder: Path) -> None:
    gone = Unavailable(
        "generator does not answer", reason=reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE, retry_after_s=0.01
    )
    async with serve_composer(FakeComposer([start_event(), gone])) as target:
        ended = await deepsing("render", "song.mp3", "story.mp4", "--target", target, root=folder)
    assert (ended.status, ended.line) == (1, "deepsing: generator does not answer")
    assert "deepsing: generator does not answer; retry 8 of 8 in 0.01 s\n" in ended.err
    assert names(folder) == set()


async def test_nobody_at_the_target_is_status_1(folder: Path) -> None:
    ended = await deepsing("probe", "song.mp3", "--target", "127.0.0.1:1", "--wait", "0", root=folder)
    assert ended.status == 1
    assert "127.0.0.1:1 does not answer" in ended.line


@asynccontextmanager
async def start_endless_render(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    composer = FakeComposer([start_event(), heartbeat(1, 24), wait_for_hangup])
    async with (
        serve_composer(composer) as target,
        command("render", "song.mp3", "story.mp4", "--target", target, root=folder) as process,
    ):
        assert process.stderr
        while b"painting" not in await asyncio.wait_for(process.stderr.readline(), 20):
            pass
        yield process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
async def test_a_signal_ends_it_and_nothing_half_written_remains(
    folder: Path, number: signal.Signals, status: int
) -> None:
    async with start_endless_render(folder) as process:
        assert len(names(folder)) == 4
        process.send_signal(number)
        ended = await wait_for_result(process)
    assert (ended.status, ended.out) == (status, "")
    assert "Traceback" not in ended.err
    assert names(folder) == set()


async def test_the_time_allowed_ends_it(folder: Path) -> None:
    async with serve_composer(FakeComposer([start_event(), wait_for_hangup])) as target:
        words = ("render", "song.mp3", "story.mp4", "--target", target, "--timeout", "0.5")
        ended = await deepsing(*words, root=folder)
    assert ended.status == 1
    assert "was not done in the time allowed" in ended.line


async def test_a_probe_prints_the_facts(folder: Path) -> None:
    async with serve_composer(FakeComposer([start_event(), end_event(0)])) as target:
        ended = await deepsing("probe", "song.mp3", "--json", "--target", target, root=folder)
        lines = await deepsing("probe", "song.mp3", "--target", target, root=folder)
    facts = json.loads(ended.out)
    assert (facts["song"], facts["frames"], facts["warnings"]) == ("song.mp3", 24, [])
    assert "frames          24" in lines.out
    assert (facts["render_time_s"], facts["generator_time_s"], facts["measured_frames"]) == (None, None, 0)
    assert "render_time_s   not known yet (nothing was painted)" in lines.out


async def test_a_probe_measures_on_frames_painted_with_the_options_of_the_story(folder: Path) -> None:
    async def pause(call: Call) -> None:
        await asyncio.sleep(0.5)

    composer = FakeComposer([start_event(), *frames(0, 8), pause, *frames(8, 16), end_event(16)])
    composer.probe = ProbeResponse(frame_count=2400)
    async with serve_composer(composer) as target:
        look = ("--size", "512x288", "--style", "auto", "--engine", "canvas")
        words = (*look, "--mode", "relative", "--start", "3", "--json")
        ended = await deepsing("probe", "song.mp3", *words, "--target", target, root=folder)
    facts = json.loads(ended.out)
    assert facts["measured_frames"] == 16
    assert 0.5 / 8 * 2400 <= facts["render_time_s"] < 3 * 0.5 / 8 * 2400  # 8 frames in half a second
    config = composer.calls[0].config
    assert (config.size.width_px, config.style, config.engine) == (512, "auto", "canvas")
    assert (config.start_us, config.duration_us, config.sentiment_mode) == (3_000_000, 2_000_000, 1)


async def test_a_composer_that_starts_a_moment_later_is_waited_for(folder: Path) -> None:
    port = find_free_ports({"composer": 0})["composer"]
    words = ("render", "song.mp3", "story.mp4", "--target", f"127.0.0.1:{port}", "--wait", "20")
    async with command(*words, root=folder) as process:
        assert process.stderr
        waiting = await asyncio.wait_for(process.stderr.readline(), 20)
        assert waiting == f"deepsing: 127.0.0.1:{port} does not answer yet; waiting up to 20 s for it\n".encode()
        async with serve_composer(FakeComposer(whole_story()), port):
            assert (await wait_for_result(process)).status == 0


async def test_again_makes_the_story_of_a_manifest_and_compares_the_frames(folder: Path) -> None:
    parameters = {
        "seed": 7, "frame_rate": "24000/1001", "size": "512x288", "engine": "canvas", "translator": "labeller",
        "style": "auto", "style_strength": 0.25, "sentiment_mode": "relative", "truncation": 0.5,
        "start_us": 1_500_000, "duration_us": 20_000_000,
    }  # fmt: skip
    manifest = {
        "title": "Song",
        "parameters": parameters,
        "song_digest": hashlib.sha256(b"song" * 1000).hexdigest(),
        "frames_digest": "f4a3",
        "digests": {"engine": "old"},
    }
    (folder / "first.json").write_text(json.dumps(manifest))
    composer = FakeComposer(whole_story())
    async with serve_composer(composer) as target:
        words = ("again", "first.json", "song.mp3", "story.mp4", "--target", target)
        same = await deepsing(*words, root=folder)
        (folder / "first.json").write_text(json.dumps({**manifest, "frames_digest": "other"}))
        other = await deepsing(*words, "--json", root=folder)
    assert (same.status, same.out.splitlines()[-1]) == (0, "the same frames as before, bit for bit")
    config = composer.calls[0].config
    assert (config.seed, config.frame_rate.numerator, config.size.width_px) == (7, 24_000, 512)
    assert (config.engine, config.translator, config.style, config.style_strength) == (
        "canvas",
        "labeller",
        "auto",
        0.25,
    )
    assert (config.sentiment_mode, config.start_us, config.duration_us) == (2, 1_500_000, 20_000_000)
    assert (config.title, config.truncation) == ("Song", 0.5)
    assert (config.motion, config.react, config.paint_rate) == (0, 0, 60), "as releases that had no film made it"
    facts = json.loads(other.out)
    assert (other.status, facts["same_frames"], facts["differing_models"]) == (1, False, ["engine"])
