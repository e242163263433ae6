from pathlib import Path

import numpy as np
import pytest

from services.translator.catalogue import EMBEDDED
from services.translator.lexicon import load_lexicon
from services.translator.translate import NOISE_LIMIT, NOISE_SIZE, Passage, translate
from services.translator.views import View, ViewTranslator, load_views, save_views
from training.translator.training_set import build_training_set, kmeans

LEXICON = load_lexicon(EMBEDDED / "canvas_concepts.json")
RNG = np.random.default_rng(3)


def random_view(classes: int = 10) -> View:
    def layer(inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
        weights = RNG.normal(0, inputs**-0.5, (inputs, outputs)).astype(np.float16).astype(np.float32)
        return weights, np.zeros(outputs, np.float32)

    chosen = np.sort(RNG.choice(len(LEXICON.names), classes, replace=False))
    scale = np.array([0.1, -0.1], np.float32), np.array([0.3, 0.4], np.float32)
    return View(chosen, *scale, (layer(2, 64), layer(64, 256)), layer(256, classes), layer(256, NOISE_SIZE))


def test_a_view_uses_only_its_classes_on_the_simplex_with_unit_noise() -> None:
    view = random_view()
    translation = translate(ViewTranslator(LEXICON, view, 1, "0"), Passage(RNG.uniform(-1, 1, (50, 2))))
    assert translation.class_weights.sum(1) == pytest.approx(1, abs=1e-5)
    assert set(np.flatnonzero(translation.class_weights.sum(0))) <= set(view.classes.tolist())
    assert (np.abs(translation.noise) <= NOISE_LIMIT).all()
    assert translation.noise.std(axis=1) == pytest.approx(0.95, abs=0.07)


def test_a_view_answers_a_feeling_alike_wherever_it_stands() -> None:
    translator, plane = ViewTranslator(LEXICON, random_view(), 1, "0"), RNG.uniform(-1, 1, (9, 2))
    whole = translate(translator, Passage(plane, seed=1))
    alone = translate(translator, Passage(plane[4:5], seed=2, first_index=7, recent_concepts=(3,)))
    assert np.array_equal(whole.class_weights[4:5], alone.class_weights)
    assert np.array_equal(whole.noise[4:5], alone.noise)


def test_saved_views_give_the_same_answers(tmp_path: Path) -> None:
    views = [random_view(), random_view(7)]
    save_views(views, LEXICON.names, tmp_path / "views.npz")
    again = load_views(tmp_path / "views.npz", LEXICON.names)
    assert len(again) == 2
    for before, after in zip(views, again, strict=True):
        for one, other in zip(before.forward(np.array([0.2, -0.3])), after.forward(np.array([0.2, -0.3])), strict=True):
            assert np.array_equal(one, other)


def test_views_of_other_concepts_are_refused(tmp_path: Path) -> None:
    save_views([random_view()], LEXICON.names, tmp_path / "views.npz")
    with pytest.raises(ValueError, match="trained for other concepts; train it again"):
        load_views(tmp_path / "views.npz", LEXICON.names[::-1])


def test_kmeans_finds_groups_that_lie_apart() -> None:
    centres = np.array([[0, 0], [5, 0], [0, 5]])
    points = np.repeat(centres, 30, axis=0) + RNG.normal(0, 0.2, (90, 2))
    groups = kmeans(points, 3, np.random.default_rng(0)).reshape(3, 30)
    assert (groups == groups[:, :1]).all()
    assert len(set(groups[:, 0])) == 3


@pytest.mark.parametrize("points", [np.zeros((20, 2)), np.zeros((3, 2)), RNG.normal(size=(1, 2))])
def test_kmeans_takes_constant_and_few_points(points: np.ndarray) -> None:
    assert len(kmeans(points, 10, np.random.default_rng(0))) == len(points)


def test_a_lesson_has_at_most_ten_distinct_classes_and_means_of_their_samples() -> None:
    concepts = np.repeat(np.arange(30), 12)
    sentiments = RNG.normal(size=(30, 2))[concepts] + RNG.normal(0, 0.1, (360, 2))
    noise = RNG.normal(size=(360, NOISE_SIZE)).astype(np.float32)
    taught = build_training_set(concepts, sentiments, noise, seed=4)
    assert 1 < len(taught.classes) == len(set(taught.classes.tolist())) <= 10
    assert taught.labels.max() == len(taught.classes) - 1
    for label, concept in enumerate(taught.classes):
        rows = taught.labels == label
        assert rows.sum() <= 10
        own = sentiments[concepts == concept]
        assert np.abs(taught.sentiments[rows].mean(0) - own.mean(0)).max() < 0.3
    assert np.array_equal(build_training_set(concepts, sentiments, noise, seed=4).classes, taught.classes)
