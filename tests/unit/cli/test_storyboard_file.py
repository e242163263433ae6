"""The file of a storyboard: written and read again, what stays when a story is planned again, and what is refused."""

import argparse
import tomllib
from pathlib import Path

import pytest

from deepsing.cli.story_options import add_story_options, story_options
from deepsing.cli.storyboard_file import format_storyboard, locate_faults, read_storyboard
from deepsing.client import StoryboardKey, StoryOptions
from deepsing.client.errors import Refused
from deepsing.local.failures import CommandError

KEYS = (
    StoryboardKey(0.0, {"green field": 1.0}, "none", 0.5, locked=False),
    StoryboardKey(7.5, {'a "quoted" \\ name': 0.6, "träge Kühe": 0.4}, "indigo print", 0.25, locked=True),
    StoryboardKey(12.3456, {"wall of fire": 1.0}, "none", 0.5, locked=False),
)
PLANNED = {
    "seed": 3,
    "style": "auto",
    "style_strength": 0.25,
    "engine": "",
    "translator": None,
    "mode": "absolute",
    "theme": ["sea,sky"],
    "only": [],
    "mood": ["darker=0.3", "calmer"],
}


@pytest.fixture
def board(tmp_path: Path) -> Path:
    path = tmp_path / "board.toml"
    path.write_text(format_storyboard("son\ng.mp3", PLANNED, KEYS, ["one", "two", "three"]), encoding="utf-8")
    return path


def parse(*words: object) -> StoryOptions:
    parser = argparse.ArgumentParser()
    add_story_options(parser)
    return story_options(parser.parse_args([str(word) for word in words]))


def test_what_is_written_is_read_again(board: Path) -> None:
    text = board.read_text(encoding="utf-8")
    assert tomllib.loads(text)["key"][1]["concept"] == {'a "quoted" \\ name': 0.6, "träge Kühe": 0.4}
    assert text.startswith("# Storyboard of son g.mp3. Change it, then: deepsing render SONG story.mp4 --storyboard")
    assert "[[key]]  # two\ntime = 7.500\n" in text
    read = read_storyboard(board)
    assert read.keys == (*KEYS[:2], StoryboardKey(12.346, {"wall of fire": 1.0}, "none", 0.5, locked=False))
    assert read.options == {name: value for name, value in PLANNED.items() if value}
    assert read.list_changed() == []


def test_with_the_options_of_the_file_every_key_is_kept_and_they_need_not_be_given(board: Path) -> None:
    options = parse("--storyboard", board)
    assert (options.seed, options.style, options.style_strength, options.mode) == (3, "auto", 0.25, "absolute")
    assert (list(options.themes), list(options.only)) == (["sea", "sky"], [])
    assert options.to_config().mood == parse("--mood", "darker=0.3", "--mood", "calmer").to_config().mood
    assert [key.locked for key in options.storyboard] == [True, True, True]
    assert [key.concepts for key in options.storyboard] == [key.concepts for key in KEYS]
    assert (
        parse("--storyboard", board, "--seed", 3, "--style", "auto", "--size", "16:9").storyboard == options.storyboard
    )
    message = options.to_config().storyboard[1]
    assert (message.time_us, message.style, message.motion, message.locked) == (7_500_000, "indigo print", 0.25, True)
    assert [(one.name, round(one.weight, 4)) for one in message.concepts] == [*KEYS[1].concepts.items()]


@pytest.mark.parametrize(
    "words",
    [
        ("--seed", 4),
        ("--style", "none"),
        ("--mode", "relative"),
        ("--motion", "still"),
        ("--engine", "mine"),
        ("--theme", "sea"),
        ("--without", "sea"),
        ("--mood", "darker"),
    ],
)
def test_with_other_options_only_what_is_locked_or_was_changed_is_kept(words: tuple[object, ...], board: Path) -> None:
    board.write_text(board.read_text(encoding="utf-8").replace("wall of fire", "sea"), encoding="utf-8")
    keys = parse("--storyboard", board, *words).storyboard
    assert keys[0] == StoryboardKey(0.0, locked=False)
    assert keys[1] == KEYS[1]
    assert (keys[2].concepts, keys[2].locked) == ({"sea": 1.0}, True)


def test_without_a_storyboard_the_options_are_as_ever() -> None:
    assert parse() == StoryOptions(mode="absolute")
    assert parse("--seed", 5, "--mode", "adaptive") == StoryOptions(seed=5, mode="adaptive")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("time = 7.500", 'time = "soon"', "time is 'soon'; give seconds of the song"),
        ("time = 7.500", "time = inf", "time is inf"),
        ("time = 7.500\n", "", "time is None"),
        ('concept = "wall of fire"', "concept = 3", "concept is 3; give a name"),
        ('concept = "wall of fire"', 'concept = {"sea" = "much"}', "give a name, or {"),
        ("motion = 0.25", "motion = true", "motion is True; give a number from 0 to 1"),
        ("locked = true", "locked = 1", "locked is 1; give true or false"),
        ("locked = true", "lokced = true", "a key has no 'lokced'; did you mean locked?"),
        ("locked = true", "colour = 1", "a key has time, concept, style, motion, locked"),
        ('style = "indigo print"', "style = 1", "style is 1; give a name"),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, words: str, board: Path) -> None:
    text = board.read_text(encoding="utf-8")
    assert text.count(old) == 1
    line = text[: text.index(old)].count("\n") + bool(new)  # what is missing is told of the line above, [[key]]
    board.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(CommandError) as caught:
        parse("--storyboard", board)
    assert str(caught.value).startswith(f"{board}, line {line}: ")
    assert words in str(caught.value)
    assert caught.value.status == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no [[key]]"),
        (b"key = 3", "has no [[key]]"),
        (b"key = [3]", "has no [[key]]"),
        (b"[[key]\n", "is not TOML: "),
        (b"\xff\xfe", "is not TOML: "),
        (b"a = " + b"[" * 100_000, "is not TOML: "),
        (b"#" * (4 * 2**20 + 1), "has more than 4194304 bytes"),
        (b'[options]\nseed = "x"\n[[key]]\n', "the option seed = 'x' is none of a storyboard"),
        (b"[options]\nsize = 3\n[[key]]\n", "the option size = 3 is none of a storyboard"),
    ],
)
def test_what_is_no_storyboard_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_bytes(content)
    with pytest.raises(CommandError) as caught:
        parse("--storyboard", path)
    assert words in str(caught.value)
    with pytest.raises(FileNotFoundError):
        parse("--storyboard", tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("field", "start"),
    [
        ("storyboard[1].concepts[1]", 'concept = { "a'),
        ("storyboard[2].time_us", "time = 12"),
        ("storyboard[1]", "[[key]]  # two"),
    ],
)
def test_a_refusal_of_the_composer_is_told_with_its_line(field: str, start: str, board: Path) -> None:
    lines = board.read_text(encoding="utf-8").splitlines()
    line = next(number for number, line in enumerate(lines, 1) if line.startswith(start))
    with pytest.raises(Refused) as caught, locate_faults(board):
        raise Refused("the rule", reason="CONCEPT_UNKNOWN", metadata={"field": field})
    assert (str(caught.value), caught.value.reason) == (f"{board}, line {line}: the rule", "CONCEPT_UNKNOWN")
    with pytest.raises(Refused, match=r"^the rule$"), locate_faults(board):
        raise Refused("the rule", metadata={"field": "seed"})
    with pytest.raises(Refused, match=r"^the rule$"), locate_faults(None):
        raise Refused("the rule", metadata={"field": field})


def test_a_time_that_the_contract_cannot_hold_is_refused() -> None:
    for time_s in (float("nan"), 1e300):
        with pytest.raises(Refused, match="choose a time within the song"):
            StoryOptions(storyboard=[StoryboardKey(time_s, {"sea": 1})]).to_config()
