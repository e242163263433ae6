import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("librosa")

from training.audio_sentiment.baselines.linear import clip_statistics, cross_validate


def test_the_baseline_finds_a_rule_that_is_there() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 20))
    ratings = features[:, :2] @ np.array([[1.0, 0.2], [0.1, 1.0]])
    said = cross_validate(features, ratings, [k % 10 for k in range(200)])
    assert all(np.corrcoef(said[:, i], ratings[:, i])[0, 1] > 0.9 for i in range(2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_clip_has_mean_and_deviation_of_the_originals_436_features() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 21_504 * 12).astype(np.float32)
    statistics = clip_statistics(noise)
    assert statistics.shape == (2 * (40 + 384 + 12),)
    assert np.isfinite(statistics).all()
