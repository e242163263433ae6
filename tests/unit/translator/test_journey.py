import base64
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.translator.catalogue import EMBEDDED, open_translators, table_path
from services.translator.lexicon import encode_distances, load_lexicon
from services.translator.translate import MEMORY, DictionaryTranslator, JourneyTranslator, Passage, translate
from training.agreement import measure_dimensions
from training.translator.evaluate import random_walk

LEXICON = load_lexicon(table_path("canvas", EMBEDDED))
JOURNEY, DICTIONARY = JourneyTranslator(LEXICON), DictionaryTranslator(LEXICON)


def walk_sentiments(translator: DictionaryTranslator, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A walk of 100 sentiments and the concepts chosen for it."""
    walk = random_walk(LEXICON, seed, 100)
    return walk, translate(translator, Passage(walk, seed=seed)).class_weights.argmax(1)


def load_distances(folder: Path, rows: list[dict[str, object]], distances: str) -> np.ndarray:
    path = folder / "toy_concepts.json"
    path.write_text(json.dumps({"engine": "toy", "distances": distances, "concepts": rows}))
    return load_lexicon(path).distances


def test_a_journey_goes_smoother_than_the_dictionary_and_is_as_true_and_varied() -> None:
    jumps, distinct, agreement, walks = {}, {}, {}, []
    for name, translator in (("journey", JOURNEY), ("dictionary", DICTIONARY)):
        ways = [walk_sentiments(translator, seed) for seed in range(5)]
        walks = [walk for walk, _ in ways]
        jumps[name] = np.mean([LEXICON.distances[way[:-1], way[1:]].mean() for _, way in ways])
        distinct[name] = np.mean([len(set(way.tolist())) for _, way in ways])
        agreement[name] = measure_dimensions(
            np.concatenate(walks), LEXICON.ratings[np.concatenate([way for _, way in ways])]
        )
    assert jumps["journey"] < 0.92 * jumps["dictionary"]
    assert distinct["journey"] > 0.9 * distinct["dictionary"]
    for dimension in ("arousal", "valence"):
        assert agreement["journey"][dimension]["r"] >= max(0.95, agreement["dictionary"][dimension]["r"] - 0.01)


@given(st.integers(1, 59), st.integers(0, 2**64 - 1))
@settings(max_examples=5, deadline=None)
def test_a_journey_cut_into_requests_is_the_same_journey(cut: int, seed: int) -> None:
    walk = random_walk(LEXICON, seed=1, count=60)
    whole = translate(JOURNEY, Passage(walk, seed=seed, first_index=7))
    shown = tuple(int(concept) for concept in whole.class_weights[:cut].argmax(1))[-MEMORY:]
    rest = translate(JOURNEY, Passage(walk[cut:], seed=seed, first_index=7 + cut, recent_concepts=shown))
    assert np.array_equal(rest.class_weights, whole.class_weights[cut:])
    assert np.array_equal(rest.noise, whole.noise[cut:])


@pytest.mark.parametrize("corner", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_no_concept_comes_twice_in_a_row_on_a_journey(corner: tuple[int, int]) -> None:
    translation = translate(JOURNEY, Passage(np.tile(np.array(corner, dtype=float), (30, 1))))
    mains = translation.class_weights.argmax(1)
    assert (mains[1:] != mains[:-1]).all()
    assert len(set(mains.tolist())) >= 4


def test_a_journey_has_a_digest_of_its_own_that_follows_the_table() -> None:
    other = JourneyTranslator(dataclasses.replace(LEXICON, digest="0" * 64))
    assert len({JOURNEY.digest, DICTIONARY.digest, other.digest}) == 3


def test_a_table_without_distances_offers_no_journey(tmp_path: Path) -> None:
    table = json.loads(table_path("canvas", EMBEDDED).read_text(encoding="utf-8"))
    del table["distances"]
    (tmp_path / "canvas_concepts.json").write_text(json.dumps(table))
    assert "journey" in open_translators(table_path("canvas", EMBEDDED))
    assert "journey" not in open_translators(tmp_path / "canvas_concepts.json")


def test_distances_are_kept_to_a_hundredth_of_their_mean(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(9, 3))
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    apart /= apart[np.triu_indices(9, 1)].mean()
    rows = [{"name": str(row), "theme": "", "arousal": 0, "valence": 0} for row in range(9)]
    assert len(base64.b64decode(encode_distances(apart))) == 36
    read = load_distances(tmp_path, rows, encode_distances(apart))
    assert read == pytest.approx(apart, abs=0.006)
    assert np.array_equal(read, read.T)


def test_distances_of_other_concepts_are_refused(tmp_path: Path) -> None:
    rows = [{"name": name, "theme": "", "arousal": 0, "valence": 0} for name in "abc"]
    with pytest.raises(ValueError, match=r"has 1 distances for 3 pairs; run training\.translator\.read_concepts"):
        load_distances(tmp_path, rows, encode_distances(np.ones((2, 2))))
