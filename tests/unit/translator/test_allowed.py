"""A translation in which only some concepts may be chosen."""

import numpy as np
import pytest

from services.translator.catalogue import EMBEDDED, open_translators, table_path
from services.translator.lexicon import load_lexicon
from services.translator.translate import DictionaryTranslator, Passage, Translator, translate
from services.translator.views import LEAST_SHARE, View, ViewTranslator
from training.translator.evaluate import random_walk

TABLE = table_path("canvas", EMBEDDED)
TRANSLATORS = open_translators(TABLE)
LEXICON = load_lexicon(TABLE)
SEA = tuple(number for number, name in enumerate(LEXICON.names) if "sea" in name or "wave" in name)
WALK = random_walk(LEXICON, seed=4, count=60)
SAD, JOYFUL = LEXICON.ratings.sum(1).argmin(), LEXICON.ratings.sum(1).argmax()


def make_view(shares: list[float]) -> ViewTranslator:
    """A view that gives its classes 0, 1, 2 … these shares at any sentiment."""
    nothing = np.zeros((2, 4), np.float32), np.zeros(4, np.float32)
    logits = np.zeros((4, len(shares)), np.float32), 0.05 * np.log(np.array(shares, np.float32))
    noise = np.zeros((4, 128), np.float32), np.linspace(-1, 1, 128, dtype=np.float32)
    scale = np.zeros(2, np.float32), np.ones(2, np.float32)
    return ViewTranslator(LEXICON, View(np.arange(len(shares)), *scale, (nothing,), logits, noise), 1, "0")


@pytest.mark.parametrize("translator", TRANSLATORS.values(), ids=TRANSLATORS)
def test_what_is_not_allowed_has_no_weight_at_all(translator: Translator) -> None:
    assert 3 <= len(SEA) < 60
    weights = translate(translator, Passage(WALK, seed=4, allowed_concepts=SEA)).class_weights
    assert (np.delete(weights, SEA, axis=1) == 0).all()
    assert weights.sum(1) == pytest.approx(1, abs=1e-6)
    assert len(set(weights.argmax(1))) >= 3
    assert np.delete(translate(translator, Passage(WALK, seed=4)).class_weights, SEA, axis=1).sum() > 30


@pytest.mark.parametrize("name", ["dictionary", "journey"])
def test_no_concept_comes_twice_in_a_row_even_of_three_that_lie_far_apart(name: str) -> None:
    near = int(np.argsort(np.square(LEXICON.ratings - LEXICON.ratings[JOYFUL]).sum(1))[1])
    target = np.tile(LEXICON.ratings[SAD], (30, 1))
    chosen = translate(TRANSLATORS[name], Passage(target, allowed_concepts=(int(SAD), int(JOYFUL), near)))
    mains = chosen.class_weights.argmax(1)
    assert (mains[1:] != mains[:-1]).all()
    assert (mains == SAD).sum() == 15


@pytest.mark.parametrize("name", ["dictionary", "journey", "original"])
def test_to_allow_all_is_to_allow_as_without_a_choice(name: str) -> None:
    everything = tuple(range(len(LEXICON.names)))
    chosen = translate(TRANSLATORS[name], Passage(WALK, seed=4, allowed_concepts=everything))
    assert np.array_equal(chosen.class_weights, translate(TRANSLATORS[name], Passage(WALK, seed=4)).class_weights)


def test_a_sentiment_far_from_all_that_is_allowed_does_not_get_one_of_them_again_and_again() -> None:
    pleasant = tuple(int(one) for one in np.argsort(-LEXICON.ratings[:, 1])[:20])
    passage = Passage(np.tile([-0.5, -0.9], (30, 1)), allowed_concepts=pleasant)
    assert len(set(translate(TRANSLATORS["dictionary"], passage).class_weights.argmax(1))) >= 5


def test_the_original_takes_the_nearest_that_is_allowed() -> None:
    target = LEXICON.ratings[SAD]
    allowed = tuple(number for number in range(len(LEXICON.names)) if number != SAD)
    chosen = translate(TRANSLATORS["original"], Passage(target[None], allowed_concepts=allowed)).class_weights.argmax()
    apart = np.square((LEXICON.ratings - target) / LEXICON.ratings.std(0)).sum(1)
    assert chosen == np.argsort(apart)[1]


def test_a_view_shares_its_weight_among_the_classes_that_are_allowed() -> None:
    passage = Passage(np.zeros((2, 2)), allowed_concepts=(0, 1, 200))
    weights = translate(make_view([0.1, 0.3, 0.6]), passage).class_weights
    assert weights[:, [0, 1, 2, 200]] == pytest.approx(np.tile([0.25, 0.75, 0, 0], (2, 1)), abs=1e-5)


def test_a_view_that_would_show_next_to_nothing_of_what_is_allowed_leaves_the_choice_to_the_dictionary() -> None:
    view = make_view([0.9 * LEAST_SHARE, 0.5, 0.5 - 0.9 * LEAST_SHARE])
    passage = Passage(WALK, seed=4, recent_concepts=(200,), allowed_concepts=(0, 200, 201, 202))
    weights = translate(view, passage).class_weights
    expected = translate(DictionaryTranslator(LEXICON), passage).class_weights
    assert np.array_equal(weights, expected)
    assert np.array_equal(translate(view, passage).noise, translate(view, Passage(WALK)).noise)


@pytest.mark.parametrize("translator", TRANSLATORS.values(), ids=TRANSLATORS)
def test_a_story_of_some_concepts_is_the_same_however_it_is_cut(translator: Translator) -> None:
    steps = Passage(WALK[:20], seed=4, allowed_concepts=SEA)
    one_by_one, shown = [], ()
    for number, sentiment in enumerate(WALK[:20]):
        alone = Passage(sentiment[None], 4, number, shown, SEA)
        one_by_one.append(translate(translator, alone).class_weights)
        shown = (*shown, int(one_by_one[-1].argmax()))
    if translator.description != TRANSLATORS["original"].description:  # it z-scores each request by itself
        assert np.array_equal(np.concatenate(one_by_one), translate(translator, steps).class_weights)
    assert set(shown) <= set(SEA)
