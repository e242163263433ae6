"""What `deepsing render` says of the music."""

from pathlib import Path

import pytest

from deepsing.cli.render import describe_music
from deepsing.client import Story
from deepsing.v1.composer_pb2 import SessionEnd, SessionStarted
from deepsing.v1.sentiment_pb2 import Tempo


def make_story(sections: str, beats_per_minute: float, certainty: float = 0.5) -> Story:
    path, tempo = Path("story.mp4"), Tempo(beats_per_minute=beats_per_minute, certainty=certainty)
    end = SessionEnd(sections=list(sections), tempo=tempo if beats_per_minute else None)
    return Story(path, path, path, path, SessionStarted(), end, 1.0)


@pytest.mark.parametrize(
    ("sections", "tempo", "words"),
    [
        ("ABAC", 112.2, "4 passages (A B A C), 112 beats a minute"),
        ("AB", 0.0, "2 passages (A B)"),
        ("A", 90.0, "1 passage, 90 beats a minute"),
        ("", 0.0, ""),
        ("AB" * 20, 0.0, f"40 passages ({' '.join('AB' * 12)} …)"),
    ],
)
def test_the_summary_names_passages_and_tempo(sections: str, tempo: float, words: str) -> None:
    assert describe_music(make_story(sections, tempo)) == words


def test_a_tempo_that_the_music_does_not_keep_is_not_named() -> None:
    assert describe_music(make_story("AB", 147.0, certainty=0.49)) == "2 passages (A B)"


def test_json_has_sections_and_tempo() -> None:
    facts = make_story("ABA", 112.25).to_json()
    assert (facts["sections"], facts["beats_per_minute"]) == (["A", "B", "A"], 112.25)
    assert make_story("A", 0.0).to_json()["beats_per_minute"] is None
