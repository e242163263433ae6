"""The original's model and the authors' files: made here in their layout."""

import argparse
import pickle
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("librosa")

from tests.unit.audio_sentiment.signals import chords
from training.audio_sentiment.baselines.original import FEATURE_COUNT
from training.audio_sentiment.baselines.perceptron import Perceptron, PublishedFileError, read_published
from training.audio_sentiment.baselines.perceptron_training import Schedule, fit_perceptron, train_perceptron

MEAN, SPREAD = np.array([0.1, -0.2], np.float32), np.array([0.5, 0.25], np.float32)


def state() -> dict[str, Any]:
    shapes = {"fc1.weight": (256, 9156), "fc1.bias": (256,), "fc2.weight": (2, 256), "fc2.bias": (2,)}
    generator = torch.Generator().manual_seed(0)
    return {name: 0.05 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def write_published(
    folder: Path, protocol: int = pickle.HIGHEST_PROTOCOL, kind: type = np.float32
) -> tuple[Path, Path]:
    model, statistics = folder / "mlp.model", folder / "space_statistics.pickle"
    torch.save(state(), model)
    with statistics.open("wb") as file:
        for value in (MEAN, SPREAD):
            pickle.dump(value.astype(kind), file, protocol=protocol)
    return model, statistics


@pytest.mark.parametrize(("protocol", "kind"), [(3, np.float32), (4, np.float32), (5, np.float32), (4, np.float64)])
def test_the_authors_files_read_as_torch_computes_them(protocol: int, kind: type, tmp_path: Path) -> None:
    model = read_published(*write_published(tmp_path, protocol, kind))
    x = torch.randn((5, 9156), generator=torch.Generator().manual_seed(1))
    tensors = state()
    active = torch.sigmoid(x @ tensors["fc1.weight"].T + tensors["fc1.bias"])
    expected = (active @ tensors["fc2.weight"].T + tensors["fc2.bias"]).numpy()
    np.testing.assert_allclose(model.read(x.numpy()), (expected - MEAN) / SPREAD, atol=1e-4)


def test_a_checkpoint_of_torchs_older_format_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "mlp.model"
    torch.save(state(), path, _use_new_zipfile_serialization=False)
    assert read_published(path).hidden.shape == (FEATURE_COUNT, 256)


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    model, statistics = write_published(tmp_path)
    sprung = tmp_path / "sprung"
    torch.save({**state(), "trap": Trap(sprung)}, tmp_path / "trap.model")
    with pytest.raises(PublishedFileError, match="no state dict"):
        read_published(tmp_path / "trap.model")
    with (tmp_path / "trap.pickle").open("wb") as file:
        pickle.dump([Trap(sprung), MEAN], file)
        pickle.dump(SPREAD, file)
    read_published(model, tmp_path / "trap.pickle")
    assert not sprung.exists()
    assert statistics.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc1.bias": None}, "no state dict"),
        ({"fc2.weight": torch.zeros(3, 256)}, r"fc2\.weight is \(3, 256\)"),
    ],
)
def test_another_layout_is_told(change: dict[str, object], message: str, tmp_path: Path) -> None:
    torch.save({**state(), **change}, tmp_path / "mlp.model")
    with pytest.raises(PublishedFileError, match=message):
        read_published(tmp_path / "mlp.model")


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(np.zeros(3)), pickle.dumps(MEAN)])
def test_statistics_that_are_none_are_told(content: bytes, tmp_path: Path) -> None:
    model, statistics = write_published(tmp_path)
    statistics.write_bytes(content)
    with pytest.raises(PublishedFileError, match="two pickled arrays"):
        read_published(model, statistics)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(PublishedFileError, match=r"name the authors' mlp\.model"):
        read_published(tmp_path / "mlp.model")


def test_a_perceptron_finds_a_rule_that_is_there() -> None:
    rng = np.random.default_rng(0)
    felt = rng.uniform(-1, 1, (60, 2))
    pattern = rng.normal(0, 1, (2, FEATURE_COUNT))
    features = [(f @ pattern * 0.05 + rng.normal(0, 0.05, (4, FEATURE_COUNT))).astype(np.float16) for f in felt]
    model = fit_perceptron(
        features, [np.tile(f, (4, 1)) for f in felt], Schedule(epochs=8, windows_per_song=4, batch=32)
    )
    said = np.stack([model.read(x.astype(np.float32)).mean(axis=0) for x in features])
    assert all(np.corrcoef(said[:, i], felt[:, i])[0, 1] > 0.8 for i in range(2))
    np.testing.assert_allclose(said.mean(axis=0), 0, atol=0.2)  # standardised


@pytest.fixture
def options(tmp_path: Path) -> argparse.Namespace:
    for name in ("loud", "soft"):
        (tmp_path / "data" / name).mkdir(parents=True)
        rows = ["file,arousal,valence"]
        for seed in range(3):
            with wave.open(str(tmp_path / "data" / name / f"{seed}.wav"), "wb") as out:
                out.setparams((1, 2, 16_000, 0, "NONE", ""))
                out.writeframes((chords(3.0, seed=seed) * 32767).astype("<i2").tobytes())
            rows.append(f"{seed}.wav,{0.3 * seed - 0.3},{0.1 * seed}")
        (tmp_path / "data" / name / "labels.csv").write_text("\n".join(rows))
    return argparse.Namespace(
        data=tmp_path / "data", cache=tmp_path, weights=None, evaluate=False, checkpoint=None, statistics=None
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_it_is_trained_from_a_folder_and_the_authors_one_reads_the_same_songs(options: argparse.Namespace) -> None:
    options.evaluate = True
    readings = train_perceptron(options)
    assert sorted((name, song.path.name) for name, song, _ in readings) == [
        (name, f"{seed}.wav") for name in ("loud", "soft") for seed in range(3)
    ]
    assert all(reading.course.shape == (6, 2) and np.isfinite(reading.course).all() for _, _, reading in readings)
    with np.load(options.cache / "deepsing-mlp.npz") as arrays:
        assert set(arrays) == set(Perceptron.__annotations__)
        assert arrays["hidden"].shape == (FEATURE_COUNT, 256)
    options.checkpoint, options.statistics = write_published(options.cache)
    assert len(train_perceptron(options)) == 6
