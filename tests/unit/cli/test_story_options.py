"""What is written on the command line reaches the message to the composer."""

import pytest

from deepsing.cli.__main__ import build_parser
from deepsing.cli.story_options import build_options, story_options
from deepsing.v1 import composer_pb2 as pb

WORDS = ["--theme", "sea, sky", "--theme", "storm", "--only", "fox, red", "--without", "a", "--without", "b"]


def read_config(*words: str) -> pb.StoryConfig:
    return story_options(build_parser().parse_args(words)).to_config()


@pytest.mark.parametrize("command", [["render", "s.mp3", "o.mp4"], ["stories", "create", "s.mp3"], ["probe", "s.mp3"]])
def test_a_choice_and_a_mood_are_sent_by_every_command_that_makes_a_story(command: list[str]) -> None:
    config = read_config(*command, *WORDS, "--mood", "darker", "--mood", "calmer=1")
    assert list(config.themes) == ["sea", "sky", "storm"]  # commas part themes, but names of concepts may have some
    assert (list(config.only), list(config.without)) == (["fox, red"], ["a", "b"])
    assert (config.mood.arousal, config.mood.valence) == pytest.approx((-0.45, -0.35))
    plain = read_config(*command)
    assert (list(plain.themes), list(plain.only), list(plain.without), plain.HasField("mood")) == ([], [], [], False)


def test_live_stories_take_the_same_options_with_other_defaults() -> None:
    words = [*WORDS, "--mood", "calmer", "--motion", "still", "--react", "0.25", "--style", "auto", "--seed", "4"]
    live = build_options(build_parser().parse_args(["live", "s.mp3", *words, "--fps", "30"])).to_config()
    whole = read_config("render", "s.mp3", "o.mp4", *words, "--fps", "30")
    assert live == whole
    plain = build_options(build_parser().parse_args(["live", "s.mp3"])).to_config()
    assert (plain.frame_rate.numerator, plain.style, plain.seed, plain.size.width_px) == (12, "none", 0, 0)
