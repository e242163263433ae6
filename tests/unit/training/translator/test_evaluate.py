import json

import numpy as np
import pytest

from services.translator.catalogue import EMBEDDED
from services.translator.lexicon import load_lexicon
from services.translator.translate import OriginalTranslator, Passage, translate
from training.translator.evaluate import main, random_walk, smoothness

LEXICON = load_lexicon(EMBEDDED / "canvas_concepts.json")


def test_a_walk_is_seeded_slow_and_stays_between_concepts() -> None:
    walk = random_walk(LEXICON, seed=5, count=60)
    assert np.array_equal(walk, random_walk(LEXICON, seed=5, count=60))
    assert not np.array_equal(walk, random_walk(LEXICON, seed=6, count=60))
    assert np.hypot(*np.diff(walk, axis=0).T).mean() < 0.1
    assert (walk.max(0) <= LEXICON.ratings.max(0)).all()
    assert (walk.min(0) >= LEXICON.ratings.min(0)).all()


def test_the_originals_rule_takes_the_nearest_class_of_the_z_scored_song() -> None:
    ratings = LEXICON.ratings[[3, 50, 90, 120]]
    song = (ratings - ratings.mean(0)) * 0.01 + 0.4  # shape alone decides, not level or size
    translation = translate(OriginalTranslator(LEXICON), Passage(song))
    scaled = (ratings - ratings.mean(0)) / ratings.std(0) * LEXICON.ratings.std(0) + LEXICON.ratings.mean(0)
    gaps = np.square((LEXICON.ratings[None] - scaled[:, None]) / LEXICON.ratings.std(0)).sum(-1)
    assert translation.class_weights.argmax(1).tolist() == gaps.argmin(1).tolist()


def test_a_lone_or_constant_feeling_is_told_on_the_concepts_own_scale() -> None:
    nearest = np.square((LEXICON.ratings - 0.3) / LEXICON.ratings.std(0)).sum(-1).argmin()
    for count in (1, 5):
        translation = translate(OriginalTranslator(LEXICON), Passage(np.full((count, 2), 0.3)))
        assert translation.class_weights.argmax(1).tolist() == [nearest] * count


def test_a_path_along_a_line_is_smoother_than_the_same_points_anyhow() -> None:
    line = np.linspace(0, 1, 20, dtype=np.float32)[:, None] * np.ones((1, 5), np.float32)
    assert smoothness(np.eye(20, dtype=np.float32), line) < 0.2
    assert smoothness(np.eye(20, dtype=np.float32)[:1].repeat(4, 0), line) == 1.0


def test_the_command_prints_every_translator_beside_the_originals_rule(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json", "--curves", "2", "--points", "40"])
    report = json.loads(capsys.readouterr().out)
    assert next(iter(report)) == "dictionary"
    assert list(report)[1] == "original"
    dictionary = report["dictionary"]
    assert dictionary["n"] == 80
    for dimension in ("arousal", "valence"):
        assert dictionary[dimension]["r"] > max(0.9, report["original"][dimension]["r"])
    main(["--curves", "1", "--points", "10"])
    assert capsys.readouterr().out.splitlines()[1].startswith("dictionary")
