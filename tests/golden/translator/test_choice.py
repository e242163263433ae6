import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from services.translator.catalogue import EMBEDDED
from services.translator.judge.model import BLOCKS, load_judge
from services.translator.lexicon import load_lexicon
from services.translator.translate import NOISE_SIZE, Passage, translate
from services.translator.views import ViewTranslator
from training.agreement import measure_dimensions
from training.translator.network import train_view
from training.translator.sampling import Samples
from training.translator.train import label_samples, train_views
from training.translator.training_set import build_training_set

FEATURES = max(block.stop for block in BLOCKS.values())
LEXICON = load_lexicon(EMBEDDED / "canvas_concepts.json")


@pytest.fixture(scope="module")
def samples() -> Samples:
    rng = np.random.default_rng(0)
    concepts = np.tile(np.arange(len(LEXICON.names)), 4)
    noise = rng.normal(size=(len(concepts), NOISE_SIZE)).astype(np.float32)
    return Samples(concepts, noise, rng.normal(size=(len(concepts), FEATURES)).astype(np.float32))


@pytest.mark.parametrize("trust", [0.0, 0.5, 1.0])
def test_what_samples_make_people_feel_has_the_spread_of_peoples_ratings(samples: Samples, trust: float) -> None:
    sentiments = label_samples(LEXICON, load_judge(EMBEDDED / "labeller.npz"), samples, trust)
    assert sentiments.mean(0) == pytest.approx(LEXICON.ratings.mean(0), abs=1e-6)
    assert sentiments.std(0) == pytest.approx(LEXICON.ratings.std(0), abs=1e-6)
    follows = measure_dimensions(LEXICON.ratings[samples.concepts], sentiments)["valence"]["r"]
    assert {0.0: follows < 0.3, 0.5: 0.3 < follows < 0.95, 1.0: follows > 0.999}[trust]


def test_the_views_that_are_kept_follow_people_where_labels_are_theirs(samples: Samples) -> None:
    sentiments = LEXICON.ratings[samples.concepts]
    views = train_views(LEXICON, samples, sentiments, count=2, seed=1, steps=60)
    assert len(views) == 2
    for view in views:
        translation = translate(ViewTranslator(LEXICON, view, 1, ""), Passage(LEXICON.ratings))
        measures = measure_dimensions(LEXICON.ratings, translation.expected.astype(np.float64))
        assert measures["arousal"]["r"] > 0.6
        assert measures["valence"]["r"] > 0.6


def test_a_trained_view_chooses_the_class_whose_samples_felt_so() -> None:
    rng = np.random.default_rng(3)
    places = np.array([[-1.5, -1.5], [1.5, -1.5], [-1.5, 1.5], [1.5, 1.5]])
    concepts = np.repeat(np.array([7, 40, 90, 120]), 20)
    sentiments = np.repeat(places, 20, axis=0) + rng.normal(0, 0.1, (80, 2))
    taught = build_training_set(concepts, sentiments, rng.normal(size=(80, NOISE_SIZE)).astype(np.float32), seed=1)
    view = train_view(taught, np.zeros(2, np.float32), np.ones(2, np.float32), seed=1, steps=150)
    translation = translate(ViewTranslator(LEXICON, view, 1, "0"), Passage(places * 0.6))
    nearest = dict(zip([7, 40, 90, 120], range(4), strict=True))
    assert [nearest[int(concept)] for concept in translation.class_weights.argmax(1)] == [0, 1, 2, 3]
