"""deepsing eval story: what is measured of a story, and how stories are summed up."""

import numpy as np

from deepsing.v1 import composer_pb2 as pb
from deepsing.v1.sentiment_pb2 import AffectPoint, Judge, JudgeAgreement, Sentiment
from training.stories.figures import Figures, format_table, summarize

WAVE = np.sin(np.arange(20) / 3) / 2
JUDGE = Judge(digest="ee", arousal=JudgeAgreement(r=0.8, n=900), valence=JudgeAgreement(r=0.5, n=900))


def sentiment(arousal: float, valence: float) -> Sentiment:
    return Sentiment(arousal=arousal, valence=valence)


def frame(seq: int, value: float, weights: dict[str, float], shade: int = 0) -> pb.Frame:
    concepts = [pb.NamedWeight(name=name, weight=weight) for name, weight in weights.items()]
    target, image = sentiment(value, -value), bytes([shade]) * 12
    return pb.Frame(seq=seq, target=target, expected=sentiment(value, value), concepts=concepts, image=image)


def story(name: str = "a.mp3", *, shift: float = 0.0, judged: bool = True) -> Figures:
    figures = Figures(name, "")
    end = pb.SessionEnd(duration_us=30_000_000, flashes_per_second=2, warnings=["a warning"])
    for seq, value in enumerate(WAVE + shift):
        figures.take(frame(seq, value, {f"c{seq // 5}": 1.0}))
        if judged:
            achieved = sentiment(value / 2, -value if seq % 2 else value)
            point = pb.AchievedPoint(
                seq=seq, target=sentiment(value, value), expected=sentiment(value, 0.1), achieved=achieved
            )
            figures.take(point)
            end.achieved.arousal.r = 1
            end.achieved.judge.CopyFrom(JUDGE)
    figures.take(end)
    return figures


def test_steps_are_taken_from_one_frame_to_the_next() -> None:
    figures = Figures("a.mp3", "")
    shown = [({"lake": 1.0}, 0), ({"lake": 0.75, "storm": 0.25}, 51), ({"storm": 1.0}, 51)]
    for seq, (weights, shade) in enumerate(shown):
        figures.take(frame(seq, 0.0, weights, shade))
    figures.take(pb.SessionEnd(duration_us=60_000_000))
    facts = figures.facts()
    assert facts["latent_step"] == {"mean": 0.5, "max": 0.75}
    assert facts["pixel_step"] == facts["light_step"] == {"mean": 0.1, "max": 0.2}
    assert (facts["concepts"], facts["concepts_per_minute"]) == (2, 2.0)


def test_a_story_of_one_frame_has_no_steps() -> None:
    figures = Figures("a.mp3", "")
    figures.take(frame(0, 0.1, {"lake": 1.0}))
    assert figures.facts()["latent_step"] == {"mean": 0.0, "max": 0.0}


def test_facts_name_variety_flashes_and_warnings_and_that_nothing_was_read() -> None:
    facts = story(judged=False).facts()
    assert facts["by_judge"] is None
    assert (facts["concepts_per_minute"], facts["flashes_per_second"]) == (8.0, 2)
    assert facts["warnings"] == ["a warning"]


def test_stories_are_pooled_over_songs_with_the_ceiling_and_the_share_of_it() -> None:
    total = summarize([story("a.mp3"), story("b.mp3", shift=0.2), story("c.mp3", shift=-0.1)])
    arousal, valence = total["by_judge"]["arousal"], total["by_judge"]["valence"]
    assert (total["songs"], arousal["n"], total["by_ratings"]["arousal"]["n"]) == (3, 60, 60)
    assert (arousal["r"], arousal["ceiling"], arousal["share"]) == (1.0, {"r": 0.8, "n": 900}, 1.25)
    assert arousal["judge_with_ratings"] == 1.0
    assert abs(valence["r"]) < 0.3
    assert valence["r_95"][0] <= valence["r"] <= valence["r_95"][1]
    assert total["by_ratings"]["arousal"]["r"] == 1.0
    assert total["by_ratings"]["valence"]["r"] == -1.0
    assert total["by_ratings"]["valence"]["song_r"] == {"median": -1.0, "quartiles": [-1.0, -1.0]}
    assert total["concepts_per_minute"]["median"] == 8.0
    assert total["flashes_per_second"] == 2


def test_stories_that_nobody_read_have_no_numbers_of_the_judge() -> None:
    assert summarize([story(judged=False)])["by_judge"] is None
    assert "by the judge: not read" in format_table("", [story(judged=False)], "2")


def test_the_table_has_a_line_for_each_song_and_the_whole() -> None:
    said = format_table("dictionary", [story("a.mp3"), story("b.mp3", shift=0.2)], "2")
    assert said.startswith("translator: dictionary (2 songs, 2 frames a second)")
    assert [line.split()[0] for line in said.splitlines()[2:4]] == ["a.mp3", "b.mp3"]
    assert "by the judge, arousal: r 1.000" in said
    assert "125% of its ceiling 0.800 (photos, n 900)" in said


def test_a_concept_that_comes_back_is_counted_unless_the_music_comes_back_too() -> None:
    figures = Figures("a.mp3", "")
    for passage, (time_s, section) in enumerate([(0, 0), (11, 1), (21, 0)]):
        figures.take(AffectPoint(time_us=time_s * 1_000_000, passage=passage, section=section))
    led = ["lake", "lake", "storm", "lake", "fog", "storm", "lake"]  # one frame every 4 s
    for seq, name in enumerate(led):
        shown = frame(seq, 0.1, {name: 1.0})
        shown.pts_us = seq * 4_000_000
        figures.take(shown)
    figures.take(pb.SessionEnd(duration_us=28_000_000))
    assert figures.measure_returns_s() == [8.0, 12.0]  # lake twice; storm comes back with the music, passage 2
    assert figures.facts()["soonest_return_s"] == 8.0
    assert figures.facts()["soon_returns"] == 2
    figures.take(AffectPoint(time_us=25_000_000, passage=3, section=1))
    assert figures.measure_returns_s() == [8.0]  # now the last lake comes back with the music
