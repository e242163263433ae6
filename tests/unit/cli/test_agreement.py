"""What is said of how closely the pictures follow the song: one sentence, and none where it would mean nothing."""

import pytest

from deepsing.cli.render import describe_agreement, describe_mood
from deepsing.client import StoryOptions
from deepsing.v1 import sentiment_pb2
from deepsing.v1.composer_pb2 import Agreement, SessionEnd


def end(arousal: float, valence: float, duration_s: float = 75.5, n: int = 1812) -> SessionEnd:
    return SessionEnd(
        duration_us=round(duration_s * 1e6), arousal=Agreement(r=arousal, n=n), valence=Agreement(r=valence, n=n)
    )


@pytest.mark.parametrize(
    ("arousal", "valence", "words"),
    [
        (0.97, 0.96, "The pictures follow the song's feeling closely (r 0.96 by"),
        (0.97, 0.75, "The pictures follow the song's feeling (r 0.75 by"),
        (0.41, 0.96, "The pictures follow the song's feeling loosely (r 0.41 by"),
        (0.97, 0.0, "The pictures hardly follow the song's feeling (r 0.00 by"),
        (-1.0, 1.0, "The pictures hardly follow the song's feeling (r -1.00 by"),
    ],
)
def test_the_lower_correlation_decides(arousal: float, valence: float, words: str) -> None:
    assert describe_agreement(end(arousal, valence)).startswith(words)


@pytest.mark.parametrize(
    ("rated_by", "words"),
    [
        (sentiment_pb2.RATING_SOURCE_PEOPLE, "(r 0.96 by people's ratings of what is shown)."),
        (sentiment_pb2.RATING_SOURCE_MODEL, "(r 0.96 by a model's ratings of what is shown; nobody was asked)."),
        (sentiment_pb2.RATING_SOURCE_MIXED, "(r 0.96 by ratings of what is shown, of people or of a model)."),
        (sentiment_pb2.RATING_SOURCE_UNSPECIFIED, "(r 0.96 by the ratings of what is shown)."),
    ],
)
def test_who_rated_is_said(rated_by: sentiment_pb2.RatingSource.ValueType, words: str) -> None:
    story = end(0.97, 0.96)
    story.rated_by = rated_by
    assert describe_agreement(story).endswith(words)


@pytest.mark.parametrize(("duration_s", "n"), [(10.0, 240), (30.0, 720), (59.9, 1437), (60.0, 29)])
def test_nothing_is_said_of_a_story_that_is_too_short(duration_s: float, n: int) -> None:
    assert describe_agreement(end(-0.83, 0.97, duration_s, n)) == ""


def test_from_a_minute_on_it_is_said() -> None:
    assert describe_agreement(end(0.95, 0.95, 60.0, 30)) != ""


def test_a_mood_is_told_beside_the_agreement() -> None:
    assert describe_mood(StoryOptions()) == ""
    assert describe_mood(StoryOptions(mood=("darker", "wilder=0.2"))) == (
        "mood: arousal +0.09, valence -0.35; what the pictures follow is the song's feeling shifted by this"
    )
