import json

import numpy as np
import pytest

from services.translator.catalogue import EMBEDDED
from services.translator.curves import random_walk
from services.translator.evaluate import OriginalRule, main
from services.translator.lexicon import load_lexicon
from services.translator.translate import Passage, translate

LEXICON = load_lexicon(EMBEDDED / "morph_concepts.json")


def test_a_walk_is_seeded_slow_and_stays_where_concepts_reach() -> None:
    walk = random_walk(LEXICON, seed=5, count=60)
    assert np.array_equal(walk, random_walk(LEXICON, seed=5, count=60))
    assert not np.array_equal(walk, random_walk(LEXICON, seed=6, count=60))
    assert np.hypot(*np.diff(walk, axis=0).T).mean() < 0.1
    assert max(LEXICON.blends(point)[1].min() for point in walk) < 1e-5


def test_the_originals_rule_takes_the_nearest_class_of_the_z_scored_song() -> None:
    ratings = LEXICON.ratings[[3, 50, 90, 140]]
    song = (ratings - ratings.mean(0)) * 0.01 + 0.4  # shape alone decides, not level or size
    told = translate(OriginalRule(LEXICON), Passage(song))
    scaled = (ratings - ratings.mean(0)) / ratings.std(0) * LEXICON.ratings.std(0) + LEXICON.ratings.mean(0)
    gaps = np.square((LEXICON.ratings[None] - scaled[:, None]) / LEXICON.ratings.std(0)).sum(-1)
    assert told.class_weights.argmax(1).tolist() == gaps.argmin(1).tolist()


def test_a_constant_song_does_not_break_the_originals_rule() -> None:
    told = translate(OriginalRule(LEXICON), Passage(np.full((5, 2), 0.3)))
    assert told.class_weights.sum(1).tolist() == [1] * 5


def test_the_command_prints_every_translator_beside_the_originals_rule(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json", "--curves", "2", "--points", "40"])
    report = json.loads(capsys.readouterr().out)
    assert next(iter(report)) == "dictionary"
    assert list(report)[-1] == "original-rule"
    dictionary = report["dictionary"]
    assert dictionary["n"] == 80
    for dimension in ("arousal", "valence"):
        assert dictionary[dimension]["r"] > max(0.95, report["original-rule"][dimension]["r"])
    main(["--curves", "1", "--points", "10"])
    assert capsys.readouterr().out.splitlines()[1].startswith("dictionary")
