import dataclasses
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from services.translator.catalogue import EMBEDDED, table_path
from services.translator.lexicon import F64, Lexicon, load_lexicon
from services.translator.translate import (
    MEMORY,
    NOISE_LIMIT,
    NOISE_SIZE,
    DictionaryTranslator,
    Passage,
    Translation,
    translate,
)
from training.agreement import measure_dimensions
from training.translator.evaluate import random_walk

LEXICON = load_lexicon(table_path("canvas", EMBEDDED))
DICTIONARY = DictionaryTranslator(LEXICON)
axis = st.floats(-1, 1, width=32)
planes = st.lists(st.tuples(axis, axis), min_size=1, max_size=6).map(lambda rows: np.array(rows, dtype=np.float64))
seeds = st.integers(0, 2**64 - 1)


def translate_all(sentiments: ArrayLike, **choices: object) -> Translation:
    return translate(DICTIONARY, Passage(np.asarray(sentiments, dtype=np.float64), **choices))  # type: ignore[arg-type]


@given(planes, seeds, seeds)
@settings(max_examples=40, deadline=None)
def test_any_feeling_becomes_one_concept(plane: F64, seed: int, index: int) -> None:
    translation = translate_all(plane, seed=seed, first_index=index)
    weights = translation.class_weights
    assert weights.shape == (len(plane), len(LEXICON.names))
    assert (weights.sum(1) == 1).all()
    assert (weights.max(1) == 1).all()


@given(planes, seeds)
@settings(max_examples=20, deadline=None)
def test_noise_is_truncated_standard_normal(plane: F64, seed: int) -> None:
    noise = translate_all(plane, seed=seed).noise
    assert noise.shape == (len(plane), NOISE_SIZE)
    assert noise.dtype == np.float32
    assert (np.abs(noise) <= NOISE_LIMIT).all()
    assert noise.std() == pytest.approx(0.88, abs=0.25)


def test_noise_has_the_moments_of_a_normal_truncated_at_two() -> None:
    noise = translate_all(np.zeros((300, 2))).noise
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(0.8796, abs=0.01)


def test_feelings_between_concepts_are_followed_by_what_people_rated() -> None:
    walk = np.concatenate([random_walk(LEXICON, seed=seed, count=100) for seed in range(3)])
    translation = translate_all(walk, seed=3)
    measures = measure_dimensions(walk, translation.expected.astype(np.float64))
    for dimension in ("arousal", "valence"):
        assert measures[dimension]["r"] >= 0.92
        assert measures[dimension]["rmse"] <= 0.12
    assert len(set(translation.class_weights.argmax(1))) >= 20


def test_expected_is_what_people_rated() -> None:
    translation = translate_all([[0.2, -0.4], [-0.6, 0.1]])
    assert translation.expected == pytest.approx(translation.class_weights @ LEXICON.ratings, abs=1e-6)


@pytest.mark.parametrize("corner", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_a_feeling_beyond_every_picture_goes_to_the_nearest_one_there_is(corner: tuple[int, int]) -> None:
    reached = translate_all([corner]).expected[0]
    nearest = LEXICON.ratings[np.square(LEXICON.ratings - corner).sum(-1).argmin()]
    assert np.hypot(*(reached - corner)) <= np.hypot(*(nearest - corner)) + 0.2


def test_a_feeling_that_stays_gets_other_concepts_over_time() -> None:
    mains = translate_all(np.tile([0.1, 0.2], (30, 1))).class_weights.argmax(1)
    assert len(set(mains)) >= 10


@pytest.mark.parametrize("corner", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_no_concept_comes_twice_in_a_row_even_where_few_are_near(corner: tuple[int, int]) -> None:
    mains = translate_all(np.tile(np.array(corner, dtype=float), (30, 1))).class_weights.argmax(1)
    assert (mains[1:] != mains[:-1]).all()
    assert len(set(mains)) >= 3


def test_concepts_shown_before_the_passage_are_left_to_rest() -> None:
    first = int(translate_all([[0.4, 0.5]]).class_weights[0].argmax())
    second = int(translate_all([[0.4, 0.5]], recent_concepts=(first,)).class_weights[0].argmax())
    assert second != first


@given(st.integers(1, 59), seeds)
@settings(max_examples=5, deadline=None)
def test_a_story_cut_into_requests_is_the_same_story(cut: int, seed: int) -> None:
    walk = random_walk(LEXICON, seed=1, count=60)
    whole = translate_all(walk, seed=seed, first_index=7)
    shown = tuple(int(main) for main in whole.class_weights[:cut].argmax(1))[-MEMORY:]
    rest = translate_all(walk[cut:], seed=seed, first_index=7 + cut, recent_concepts=shown)
    assert np.array_equal(rest.class_weights, whole.class_weights[cut:])
    assert np.array_equal(rest.noise, whole.noise[cut:])
    assert np.array_equal(rest.expected, whole.expected[cut:])


def test_equal_passages_give_equal_answers_and_another_seed_another_story() -> None:
    walk = random_walk(LEXICON, seed=2, count=40)
    one, again, other = translate_all(walk, seed=1), translate_all(walk, seed=1), translate_all(walk, seed=2)
    assert np.array_equal(one.class_weights, again.class_weights)
    assert np.array_equal(one.noise, again.noise)
    assert not np.array_equal(one.class_weights, other.class_weights)
    assert not np.array_equal(one.noise, other.noise)


def test_the_digest_changes_with_the_ratings() -> None:
    other = DictionaryTranslator(dataclasses.replace(LEXICON, digest="0" * 64))
    assert len(DICTIONARY.digest) == 64
    assert DICTIONARY.digest != other.digest


def test_of_concepts_that_are_rated_alike_the_one_that_reads_so_is_shown() -> None:
    lexicon = dataclasses.replace(LEXICON, readings=LEXICON.readings.copy())
    concept = int(np.square(LEXICON.ratings - [0.0, 0.2]).sum(-1).argmin())
    lexicon.readings[:] = LEXICON.ratings
    lexicon.readings[concept] = -1
    translation = translate(DictionaryTranslator(lexicon), Passage(np.tile([0.0, 0.2], (8, 1))))
    assert concept not in translation.class_weights.argmax(1)


def test_a_thousand_concepts_and_feelings_take_seconds() -> None:
    rng = np.random.default_rng(0)
    ratings = rng.uniform(-1, 1, (1000, 2))
    names = tuple(map(str, range(1000)))
    many = Lexicon("many", names, names, ratings, "0" * 64, ratings, np.zeros((len(names), len(names))))
    began = time.process_time()
    translation = translate(DictionaryTranslator(many), Passage(rng.uniform(-1, 1, (1024, 2))))
    assert time.process_time() - began < 5
    assert translation.class_weights.shape == (1024, 1000)
