"""deepsing eval story as a process: a folder of songs becomes a table, whatever lies in the folder."""

import json
from pathlib import Path

import pytest

from deepsing.rpc.errors import InvalidArgument, Unavailable
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1.sentiment_pb2 import Sentiment
from tests.e2e.cli.stand_ins import deepsing
from tests.unit.client.fake_composer import (
    FakeComposer,
    Step,
    end_event,
    serve_composer,
    start_event,
    wait_for_song_end,
)

UNREADABLE = InvalidArgument("the song cannot be read; send mp3", reason=reasons.ERROR_REASON_SONG_UNREADABLE)
NO_ORIGINAL = InvalidArgument("translator is 'original'; choose", reason=reasons.ERROR_REASON_TRANSLATOR_UNKNOWN)


def story_steps(slope: float = 1.0) -> list[Step]:
    """A story of four frames that are all read."""
    steps: list[Step] = [start_event(), wait_for_song_end]
    for seq in range(4):
        value = Sentiment(arousal=seq / 10, valence=-seq / 10)
        concepts = [pb.NamedWeight(name=f"c{seq // 2}", weight=1)]
        frame = pb.Frame(seq=seq, target=value, expected=value, concepts=concepts, image=bytes(12))
        read = Sentiment(arousal=slope * seq / 20, valence=-slope * seq / 20)
        point = pb.AchievedPoint(seq=seq, pts_us=seq * 500_000, target=value, expected=value, achieved=read)
        steps += [pb.ComposeResponse(frame=frame), pb.ComposeResponse(achieved_point=point)]
    return [*steps, end_event(4)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "songs" / "more").mkdir(parents=True)
    for name in ("a.mp3", "b.txt", "more/c.ogg", ".hidden"):
        (tmp_path / "songs" / name).write_bytes(b"song" * 1000)
    return tmp_path


async def test_every_song_is_measured_with_every_translator_and_what_is_no_song_is_skipped(folder: Path) -> None:
    composer = FakeComposer(story_steps(), story_steps(-1), [UNREADABLE], story_steps(), story_steps(-1))
    async with serve_composer(composer) as target:
        words = ["--songs", "songs", "--target", target, "--limit-s", "20", "--style", "auto", "--json"]
        result = await deepsing("eval", "story", *words, root=folder)
    assert (result.status, result.err) == (0, "")
    said = json.loads(result.out)
    assert said["skipped"] == {"b.txt": "the song cannot be read; send mp3"}
    assert list(said["translators"]) == ["default", "original"]
    best, other = said["translators"]["default"], said["translators"]["original"]
    assert [song["song"] for song in best["songs"]] == ["a.mp3", "more/c.ogg"]
    assert (best["all"]["by_judge"]["valence"]["r"], other["all"]["by_judge"]["valence"]["r"]) == (1.0, -1.0)
    assert best["all"]["by_judge"]["arousal"]["ceiling"] == {"r": 0.7, "n": 900}
    assert best["songs"][0]["by_ratings"]["arousal"]["r"] == 0.97
    configs = [call.config for call in composer.calls]
    assert [config.translator for config in configs] == ["", "original", "", "", "original"]
    assert {(c.send_achieved, c.frame_rate.numerator, c.duration_us, c.style) for c in configs} == {
        (True, 2, 20_000_000, "auto")
    }


async def test_a_service_without_the_originals_rule_is_measured_without_it(folder: Path) -> None:
    composer = FakeComposer(story_steps(), [NO_ORIGINAL], [UNREADABLE], story_steps())
    async with serve_composer(composer) as target:
        result = await deepsing("eval", "story", "--songs", "songs", "--target", target, root=folder)
    assert result.status == 0
    assert "translator: the default (2 songs" in result.out
    assert "original" not in result.out
    assert "skipped: b.txt: the song cannot be read; send mp3" in result.out
    assert "deepsing: 1 of 3 songs, 0 s left: a.mp3; default r(A) 0.51 r(V) 0.42" in result.err
    assert "deepsing: 2 of 3 songs, 0 s left: b.txt: the song cannot be read" in result.err


@pytest.mark.parametrize(
    ("words", "script", "status", "said"),
    [
        (["--songs", "songs", "--translator", "original"], [NO_ORIGINAL], 2, "translator is 'original'; choose"),
        (["--songs", "songs"], [UNREADABLE], 2, "none of the 3 files in songs has a story: a.mp3: the song cannot be"),
        (["--songs", "nowhere"], story_steps(), 2, "nowhere is no folder; say where the songs are"),
        (["--songs", "songs", "--fps", "99"], story_steps(), 2, "frame rate is '99'"),
        (
            ["--songs", "songs"],
            [
                Unavailable(
                    "generator does not answer",
                    reason=reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE,
                    retry_after_s=0.01,  # the client tries a few times more
                )
            ],
            1,
            "generator does not answer",
        ),
    ],
)
async def test_what_cannot_be_measured_is_told_in_one_line(
    folder: Path, words: list[str], script: list[Step], status: int, said: str
) -> None:
    async with serve_composer(FakeComposer(script)) as target:
        result = await deepsing("eval", "story", *words, "--target", target, root=folder)
    assert (result.status, result.out) == (status, "")
    assert result.line.startswith(f"deepsing: {said}")
