"""Stories made by the four real services, as processes on real ports, from every song of the list."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from deepsing.client import Client, Story, StoryOptions
from deepsing.client.errors import DeepsingError, Unavailable
from tests.songs import SONGS, make_song

DEEPSING = str(Path(sys.executable).with_name("deepsing"))
QUICK = StoryOptions(fps=6, size=(64, 64), seed=3)
PLAYABLE = [kind for kind, song in SONGS.items() if not song.error]
REFUSED = [kind for kind, song in SONGS.items() if song.error]


@dataclass(frozen=True)
class Running:
    """The services that `deepsing up` started."""

    target: str
    pids: dict[str, int]


@pytest.fixture(scope="module")
def services() -> Iterator[Running]:
    words = [DEEPSING, "up", "--port", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        try:
            yield Running(said["targets"]["composer"], said["pids"])
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130


async def render(services: Running, song: Path, out: Path, options: StoryOptions = QUICK) -> Story:
    async with Client(services.target, timeout_s=120) as client:
        return await client.render(song, out, options)


def read_frames(story: Story) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = json.loads(story.manifest.read_text(encoding="utf-8"))["frames"]
    return frames


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def lengths_s(video: Path) -> tuple[float, float]:
    with av.open(str(video)) as story:
        pictures, sound = story.streams.video[0], story.streams.audio[0]
        frames = sum(1 for _ in story.decode(pictures))
        return float(frames / pictures.average_rate), float(sound.duration * sound.time_base)


@pytest.mark.parametrize("kind", PLAYABLE)
async def test_a_playable_song_has_a_story_as_long_as_itself(services: Running, tmp_path: Path, kind: str) -> None:
    song, out = SONGS[kind], tmp_path / "story.mp4"
    story = await render(services, make_song(tmp_path, kind), out)
    pictures_s, sound_s = lengths_s(out)
    assert abs(story.end.song.duration_us / 1e6 - song.duration_s) <= song.tolerance_s + 1e-6
    assert abs(pictures_s - story.end.song.duration_us / 1e6) <= 1 / 12 + 1e-6
    assert abs(sound_s - song.duration_s) <= song.tolerance_s + 0.03
    warned = {warning["kind"] for warning in story.to_json()["warnings"]}  # type: ignore[attr-defined]
    assert {str(name).removeprefix("SONG_WARNING_KIND_") for name in warned} == song.warnings
    frames = read_frames(story)
    assert len(frames) == story.end.frame_count
    assert all(-1 <= value <= 1 for frame in frames for value in frame["target"] + frame["expected"])


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_song_without_a_story_is_refused_and_leaves_nothing(
    services: Running, tmp_path: Path, kind: str
) -> None:
    song = make_song(tmp_path, kind)
    with pytest.raises(DeepsingError) as caught:
        await render(services, song, tmp_path / "story.mp4")
    assert caught.value.reason == f"SONG_{SONGS[kind].error.upper()}"
    assert names_in(tmp_path) == [song.name]


async def test_the_same_song_seed_and_settings_give_the_same_frames(services: Running, tmp_path: Path) -> None:
    song = make_song(tmp_path, "cbr_mp3")
    ends = [(await render(services, song, tmp_path / f"{k}.mp4")).end for k in range(2)]
    other = await render(services, song, tmp_path / "other.mp4", StoryOptions(fps=6, size=(64, 64), seed=4))
    assert ends[0].frames_digest == ends[1].frames_digest != other.end.frames_digest
    assert set(ends[0].digests) == {"audio_sentiment", "translator", "engine"}


async def test_the_judge_reads_every_story_and_its_manifest_says_what_its_end_says(
    services: Running, tmp_path: Path
) -> None:
    story = await render(services, make_song(tmp_path, "cbr_mp3"), tmp_path / "story.mp4")
    manifest, end = json.loads(story.manifest.read_text(encoding="utf-8")), story.end
    assert list(end.warnings) == manifest["warnings"] == []
    assert [reading["seq"] for reading in manifest["readings"]] == list(range(0, end.frame_count, 6))
    assert end.achieved.arousal.n == end.achieved.valence.n == len(manifest["readings"]) >= 2
    for name in ("arousal", "valence"):
        said, written = getattr(end.achieved, name), manifest["achieved"][name]
        assert (written["r"], written["ccc"], written["rmse"]) == pytest.approx((said.r, said.ccc, said.rmse))
        assert manifest["achieved"]["judge"][name]["r"] == pytest.approx(getattr(end.achieved.judge, name).r)
        assert getattr(end.achieved.judge, name).n >= 900
    assert all(-1 <= value <= 1 for reading in manifest["readings"] for value in reading["achieved"])
    assert manifest["achieved"]["judge"]["digest"] == end.achieved.judge.digest != ""


def test_a_translator_without_a_judge_leaves_a_whole_story_that_says_so(tmp_path: Path) -> None:
    out = tmp_path / "story.mp4"
    words = [
        DEEPSING,
        "render",
        str(make_song(tmp_path, "cbr_mp3")),
        str(out),
        "--fps",
        "6",
        "--size",
        "64x64",
        "--json",
    ]
    environment = {**os.environ, "DEEPSING_TRANSLATOR_JUDGE": "off"}
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=True)
    said, manifest = json.loads(ended.stdout), json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert said["achieved"] is None
    assert said["story_warnings"] == manifest["warnings"]
    assert "were not read: this translator has no judge of pictures" in said["story_warnings"][0]
    assert len(manifest["frames"]) == said["frames"]
    assert manifest["readings"] == []
    assert lengths_s(out)[0] == pytest.approx(said["duration_s"], abs=0.01)


@pytest.mark.parametrize(("fps", "frames"), [("23.976", 48), ("30000/1001", 60), ("24", 48), ("1", 2)])
async def test_frame_rates_are_exact(services: Running, tmp_path: Path, fps: str, frames: int) -> None:
    song = make_song(tmp_path, "stereo")
    story = await render(services, song, tmp_path / "story.mp4", StoryOptions(fps=fps, size=(64, 64)))
    assert story.end.frame_count == frames
    with av.open(str(story.video)) as video:
        known = {"23.976": Fraction(24000, 1001), "30000/1001": Fraction(30000, 1001)}
        assert video.streams.video[0].average_rate == known.get(fps, Fraction(fps))


async def test_styles_change_the_pictures_and_are_named(services: Running, tmp_path: Path) -> None:
    song, sizes = make_song(tmp_path, "one_window"), (64, 64)
    plain = await render(services, song, tmp_path / "plain.mp4", StoryOptions(fps=6, size=sizes))
    styled = await render(services, song, tmp_path / "styled.mp4", StoryOptions(fps=6, size=sizes, style="auto"))
    assert plain.end.frames_digest != styled.end.frames_digest
    assert all(len(frame["styles"]) >= 1 for frame in read_frames(styled))
    assert "style" in styled.end.digests
    faint = StoryOptions(fps=6, size=sizes, style="auto", style_strength=0)
    bare = await render(services, song, tmp_path / "bare.mp4", faint)
    assert bare.end.frames_digest == plain.end.frames_digest  # no strength, not a byte of difference


def test_own_pictures_are_the_styles_of_a_story(tmp_path: Path) -> None:
    song = make_song(tmp_path, "one_window")
    for name, colour in (("positive", (250, 230, 120)), ("negative", (20, 20, 60))):
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{name}.png")
    words = [DEEPSING, "render", str(song), str(tmp_path / "story.mp4"), "--fps", "6", "--size", "64x64", "--json"]
    ended = subprocess.run([*words, "--style-pictures", str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    frames = json.loads((tmp_path / "story.json").read_text(encoding="utf-8"))["frames"]
    assert {name for frame in frames for name in frame["styles"]} <= {"positive", "negative"}
    assert all(sum(frame["styles"].values()) == pytest.approx(0.6) for frame in frames)


async def test_frames_come_back_as_pictures_with_their_concepts(services: Running, tmp_path: Path) -> None:
    song = make_song(tmp_path, "one_window")
    images = []
    async with Client(services.target) as client:
        async for event in client.compose(song, StoryOptions(fps=6, size="16:9", images="jpeg")):
            if hasattr(event, "image"):
                images.append(event.image)
    assert len(images) == 3
    assert all(image[:2] == b"\xff\xd8" for image in images)


def test_a_killed_service_ends_a_render_with_a_clear_error(tmp_path: Path) -> None:
    song = make_song(tmp_path, "stereo")
    words = [DEEPSING, "render", str(song), str(tmp_path / "story.mp4"), "--fps", "60", "--style", "auto"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "painting" in line:
                break
        os.kill(_child(process.pid, "services.generator"), signal.SIGKILL)
        said = process.stderr.read()
        assert process.wait(60) == 1
    assert "generator" in said
    assert names_in(tmp_path) == [song.name]


def _child(parent: int, module: str) -> int:
    """The process id of a child by what it runs."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                status = (entry / "status").read_text(encoding="utf-8")
            except OSError:
                continue
            if module in line and f"PPid:\t{parent}\n" in status:
                return int(entry.name)
    raise LookupError(module)


async def test_a_composer_that_is_not_there_is_named(tmp_path: Path) -> None:
    song = make_song(tmp_path, "one_window")
    async with Client("127.0.0.1:1", retries=0, timeout_s=20) as client:
        with pytest.raises(Unavailable):
            await client.render(song, tmp_path / "story.mp4", QUICK)


async def test_pictures_larger_than_a_usual_message_arrive(services: Running, tmp_path: Path) -> None:
    options = StoryOptions(fps=4, size=(1920, 1080), files=("video",))
    story = await render(services, make_song(tmp_path, "one_window"), tmp_path / "story.mp4", options)
    assert story.started.size.width_px == 1920
    assert story.end.frame_count == 2
