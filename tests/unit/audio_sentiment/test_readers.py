from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from services.audio_sentiment.feature_extractor import Window
from services.audio_sentiment.passages import PassageModel
from services.audio_sentiment.readers import (
    LOOK_AHEAD,
    TRAIL,
    LiveReader,
    Pacing,
    Reading,
    SentimentReader,
    WholeReader,
)
from services.audio_sentiment.sentiment import SILENCE, SentimentModel

HARMONY, TIMBRE = 2, 96


def sentiment_model() -> SentimentModel:
    """Arousal is the first, valence the second value of the harmony; nothing else counts."""
    size = 1 + 4 + 1 + HARMONY + TIMBRE  # hidden, pools, patch, harmony, timbre
    level = np.zeros((size, 2), np.float32)
    level[6, 0] = level[7, 1] = 1.0
    return SentimentModel(
        hidden=np.zeros((4, 1), np.float32),
        hidden_bias=np.zeros(1, np.float32),
        hidden_scale=np.ones(1, np.float32),
        hidden_shift=np.zeros(1, np.float32),
        mean=np.zeros(size, np.float32),
        spread=np.ones(size, np.float32),
        level=level,
        level_bias=np.zeros(2, np.float32),
        view=np.zeros((size, 1), np.float32),
        centres=np.zeros((1, 1), np.float32),
        centre_weights=np.zeros((1, 2), np.float32),
        moves=np.zeros((size, 2), np.float32),
        neutral=np.zeros(2, np.float32),
        doubt=np.array([[0.2, 0.4], [0.2, 0.4]], np.float32),
    )


def passage_model() -> PassageModel:
    """Passages differ by pitches, all other features of the sound are ignored."""
    size = 4 + TIMBRE + 2 + 1 + HARMONY
    view = np.zeros((size, 2), np.float32)
    view[4 + TIMBRE, 0] = view[5 + TIMBRE, 1] = 3.0
    return PassageModel(
        sound_mean=np.zeros(size, np.float32),
        sound_spread=np.full(size, 0.05, np.float32),
        sound_view=view,
        sound_origin=np.zeros(2, np.float32),
        centre_variance=np.full(2, 9.0, np.float32),
    )


def window(arousal: float, valence: float, loudness: float = 0.8) -> Window:
    feeling = np.array([arousal, valence], np.float32)
    pools = np.zeros((2, 2), np.float32)
    return Window(
        pools, np.zeros(1, np.float32), feeling, np.zeros(TIMBRE, np.float32), pools, feeling / 5, loudness, 0.1
    )


def read(reader: SentimentReader, windows: list[Window]) -> list[Reading]:
    return [*(reading for one in windows for reading in reader.read(one)), *reader.finish()]


def live() -> LiveReader:
    return LiveReader(sentiment_model(), passage_model(), Pacing())


def whole() -> WholeReader:
    return WholeReader(sentiment_model(), passage_model(), Pacing())


def trailing(*parts: tuple[float, float, int]) -> list[Window]:
    """Parts (arousal, valence, count); features trail the sound by TRAIL windows, as those of the networks do."""
    feelings = [(arousal, valence) for arousal, valence, count in parts for _ in range(count)]
    windows = []
    for k, (arousal, valence) in enumerate(feelings):
        sound = window(arousal, valence)
        feature = window(*feelings[max(0, k - TRAIL)])
        windows.append(Window(*(vars(feature) | {"pitches": sound.pitches}).values()))
    return windows


def test_the_whole_song_reads_each_passage_at_its_level_from_its_first_window_to_its_last() -> None:
    readings = read(whole(), trailing((0.6, 0.6, 50), (-0.5, -0.6, 50), (0.4, -0.5, 50)))
    assert len(readings) == 150
    for k, (arousal, valence) in ((0, (0.6, 0.6)), (49, (0.6, 0.6)), (50, (-0.5, -0.6)), (99, (-0.5, -0.6))):
        assert readings[k].arousal == pytest.approx(arousal, abs=0.05)
        assert readings[k].valence == pytest.approx(valence, abs=0.05)
    assert [reading.passage for reading in readings] == [0] * 50 + [1] * 50 + [2] * 50


def test_music_that_comes_back_is_the_same_section() -> None:
    parts = [(0.6, 0.6, 40), (-0.5, -0.6, 40), (0.6, 0.6, 40), (0.5, -0.7, 40)]
    sections = [reading.section for reading in read(whole(), trailing(*parts))]
    assert sections == [0] * 40 + [1] * 40 + [0] * 40 + [2] * 40


def test_live_the_old_passage_is_forgotten_in_seconds() -> None:
    readings = read(live(), trailing((0.6, 0.6, 100), (-0.5, -0.6, 40)))
    assert readings[99].arousal == pytest.approx(0.6, abs=0.03)
    assert readings[99 + 14].arousal < -0.3
    assert readings[99 + 14].valence < -0.35
    assert readings[-1].arousal == pytest.approx(-0.5, abs=0.05)
    assert [reading.passage for reading in readings][99::40] == [0, 1]


def test_live_a_reading_does_not_depend_on_what_follows() -> None:
    windows = trailing((0.6, 0.6, 30), (-0.5, -0.6, 30))
    other = [*windows[:40], *trailing((0.1, 0.9, 20))]
    assert read(live(), windows)[:40] == read(live(), other)[:40]


def test_the_whole_song_waits_for_no_more_than_the_look_ahead() -> None:
    reader, windows = whole(), trailing((0.6, 0.6, LOOK_AHEAD + 3))
    counts = [len(list(reader.read(one))) for one in windows]
    assert counts == [0] * LOOK_AHEAD + [1, 1, 1]
    assert len(list(reader.finish())) == LOOK_AHEAD


def test_a_song_of_one_window_is_read() -> None:
    (reading,) = read(whole(), [window(0.5, 0.5)])
    assert 0 < reading.arousal < 0.3
    assert (reading.passage, reading.section) == (0, 0)


@pytest.mark.parametrize("make", [live, whole])
def test_a_reading_of_little_music_is_near_neutral_and_unsure(make: type[SentimentReader]) -> None:
    brief, long = (read(make(), [window(0.4, -0.3)] * count)[-1] for count in (2, 60))
    assert abs(brief.arousal) < 0.2 < long.arousal
    assert 0.5 <= brief.certainty[0] < long.certainty[0] <= 1
    assert 0.5 <= brief.certainty[1] < long.certainty[1] <= 1


@pytest.mark.parametrize("make", [live, whole])
def test_silence_is_calm_and_neutral(make: type[SentimentReader]) -> None:
    reader = make()
    readings = read(reader, [window(0.4, -0.3, loudness=0.0)] * 20)
    assert {(reading.arousal, reading.valence) for reading in readings} == {tuple(SILENCE)}
    assert tuple(reader.song_sentiment()) == tuple(SILENCE)


def test_what_is_kept_does_not_grow_with_the_song() -> None:
    reader = whole()
    windows = trailing((0.6, 0.6, 100), (-0.5, -0.6, 100))
    for _ in range(5):
        for one in windows:
            list(reader.read(one))
    assert len(reader._rows) == reader._rows.maxlen == len(reader._audible)


@pytest.mark.parametrize("kind", [LiveReader, WholeReader])
def test_more_smoothing_moves_less_inside_a_passage(kind: type[SentimentReader]) -> None:
    flat = sentiment_model()
    model = replace(flat, level=np.zeros_like(flat.level), moves=flat.level)
    windows = [window(0.02 * (-1) ** (k // 4), 0.0) for k in range(80)]
    travel = []
    for smoothing_s in (1.0, 30.0):
        readings = read(kind(model, passage_model(), Pacing(smoothing_s=smoothing_s)), windows)
        assert {reading.passage for reading in readings} == {0}
        travel.append(sum(abs(b.arousal - a.arousal) for a, b in pairwise(readings[12:])))
    assert travel[1] < 0.3 * travel[0]
