import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from services.audio_sentiment.feature_extractor import Window
from training.audio_sentiment.labels import RatedSong, assign_fold
from training.audio_sentiment.report import Reading

pytest.importorskip("tqdm")
pytest.importorskip("onnx")

from services.audio_sentiment.readers import LiveReader, Pacing
from services.audio_sentiment.sentiment import SentimentModel
from training.audio_sentiment.corpus import WindowedSong
from training.audio_sentiment.export import write_sentiment_model
from training.audio_sentiment.fit import Recipe, compute_features, fit_sentiment_model, targets
from training.audio_sentiment.passages import fit_passage_model
from training.audio_sentiment.validation import cross_validate, fit_doubt, tabulate

CHANNELS, HIDDEN = 4, 6
DENSE = {
    "hidden": np.random.default_rng(0).normal(0, 1, (2 * CHANNELS, HIDDEN)).astype(np.float32),
    "hidden_bias": np.full(HIDDEN, 0.5, np.float32),
    "hidden_scale": np.ones(HIDDEN, np.float32),
    "hidden_shift": np.zeros(HIDDEN, np.float32),
}


def rate(index: int, arousal: float, valence: float, kind: str, **more: object) -> RatedSong:
    row = {"file": f"{index}", **dict(more.pop("row", {}))}  # type: ignore[call-overload]
    return RatedSong(Path(f"{index}"), arousal, valence, kind, f"group {index // 2}", row, **more)  # type: ignore[arg-type]


def make_song(index: int, rng: np.random.Generator) -> WindowedSong:
    """A song whose bright windows are rated as exciting and whose embedding decides the valence."""
    arousal, valence = rng.uniform(-0.5, 0.5, 2)
    course = 0.3 * np.sin(np.arange(60) / 9)
    windows = [
        Window(
            np.stack([np.full(CHANNELS, valence), np.full(CHANNELS, 0.2)]).astype(np.float32),
            rng.normal(0, 1, 3).astype(np.float32),
            np.full(2, course[k], np.float32),
            (arousal + course[k] + rng.normal(0, 0.1, 96)).astype(np.float32),
            rng.normal(valence, 0.2, (2, CHANNELS)).astype(np.float32),
            rng.normal(0, 0.1, 17).astype(np.float32),
            0.7,
            0.1,
        )
        for k in range(60)
    ]
    curve = np.stack([arousal + course, np.full(60, valence)], axis=1)[::3]
    rating = rate(index, arousal, valence, "rating", curve=curve, duration_s=30.0)
    return WindowedSong(rating, "games", assign_fold(rating.group), windows)


@pytest.fixture(scope="module")
def songs() -> list[WindowedSong]:
    rng = np.random.default_rng(1)
    return [make_song(index, rng) for index in range(60)]


def test_cross_validation_finds_a_rule_that_is_there(songs: list[WindowedSong]) -> None:
    studied = compute_features(songs, DENSE, Recipe())
    middles = [song.windows[20:40] for song in songs]
    readings = cross_validate(studied, middles, DENSE, Recipe())
    whole, table = tabulate(readings["whole"]), tabulate(readings["live"])
    assert whole["games"]["arousal"] == table["games"]["arousal"]
    assert whole["games"]["dynamics_unshifted"]["arousal"] > 0.5
    assert table["games"]["n"] == 60
    assert table["games"]["arousal"]["r"] > 0.9
    assert table["games"]["valence"]["r"] > 0.9
    assert table["games"]["context_10s"]["valence"]["r"] > 0.8
    assert table["games"]["dynamics_unshifted"]["arousal"] > 0.5


def test_a_kind_of_feature_without_a_ridge_is_left_out(songs: list[WindowedSong]) -> None:
    recipe = Recipe(level_ridge=(("hidden", 0.1),), moves_ridge=(("harmony", 1.0), ("time", 1.0)))
    model = fit_sentiment_model(compute_features(songs[:20], DENSE, recipe), DENSE, recipe)
    assert np.abs(model.level[:HIDDEN]).max() > 0
    assert not model.level[HIDDEN:].any()
    harmony = slice(HIDDEN + 2 * CHANNELS + 3, HIDDEN + 2 * CHANNELS + 5)
    assert np.abs(model.moves[harmony]).max() > 0
    assert np.count_nonzero(model.moves) == np.count_nonzero(model.moves[harmony])


def test_a_written_head_reads_as_the_fitted_one(songs: list[WindowedSong], tmp_path: Path) -> None:
    fitted = fit_sentiment_model(compute_features(songs, DENSE, Recipe()), DENSE, Recipe())
    path = write_sentiment_model(vars(fitted), tmp_path, {"command": "x"})
    with np.load(path, allow_pickle=False) as arrays:
        written = SentimentModel.from_arrays(arrays)
    assert json.loads(path.with_suffix(".json").read_text())["file"] == "head.npz"
    passages = fit_passage_model(songs)
    readers = [LiveReader(model, passages, Pacing()) for model in (fitted, written)]
    for window in songs[0].windows:
        one, other = (next(reader.read(window)) for reader in readers)
        np.testing.assert_allclose((one.arousal, one.valence), (other.arousal, other.valence), atol=5e-3)  # float16


def test_equal_heads_make_equal_files(songs: list[WindowedSong], tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        model = fit_sentiment_model(compute_features(songs[:20], DENSE, Recipe()), DENSE, Recipe())
        files.append(write_sentiment_model(vars(model), tmp_path / name, {}).read_bytes())
    assert files[0] == files[1]


def test_targets_bring_every_kind_of_rating_to_one_scale() -> None:
    tags = [{"tag_arousal": str(a), "tag_valence": str(v)} for a, v in ((0.3, 0.5), (0.1, -0.5), (-0.2, -0.4))]
    signs = [(1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)]
    songs = [
        *(rate(i, *signs[i], "quadrant", row=tags[i]) for i in range(3)),
        *(rate(i, 0.1 * i, 0.3 + 0.01 * i, "emotions") for i in range(3, 6)),
        rate(6, 0.2, -0.1, "rating"),
    ]
    found = targets(songs, Recipe(spread=0.4, rating_gain=2.0))
    np.testing.assert_allclose(found[:3].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(found[:3].std(axis=0), 0.4, atol=1e-6)
    np.testing.assert_allclose(found[3:6].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(found[6], [0.4, -0.2])


def test_doubt_is_what_readings_are_wrong_by() -> None:
    rng = np.random.default_rng(4)
    truth = rng.normal(0, 0.4, (400, 2))
    readings = [
        ("x", rate(k, 0, 0, "rating"), Reading(np.zeros(2), target + rng.normal(0, 0.3, (60, 2))))
        for k, target in enumerate(truth)
    ]
    featured = compute_features([make_song(k, rng) for k in range(20)], DENSE, Recipe())
    fitted = fit_sentiment_model(featured, DENSE, Recipe())
    model = dataclasses.replace(fitted, neutral=np.zeros(2, np.float32))
    doubt = fit_doubt(readings, truth, model)
    # Of a reading r, truth is normal around .64 r with a deviation of .24: its sign is right as with an error of .375.
    assert doubt[:, 0] == pytest.approx(0.375, abs=0.06)
    assert (doubt[:, 1] < 0.4).all()
