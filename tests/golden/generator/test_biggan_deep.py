"""BigGAN-deep from a small checkpoint of the public layout: what is folded equals what it was folded from."""

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from services.generator.concepts import Concept
from services.generator.engine import Engine
from tests.golden.generator.biggan_checkpoint import PUBLISHED, TINY, write_checkpoint
from tests.unit.generator.opened import session
from training.generator.biggan_deep.checkpoint import load_network
from training.generator.biggan_deep.export import CLASSES, NOISE_REACH, EngineGraph, export, read_classes
from training.generator.biggan_deep.layout import read_layout

CONCEPTS = [Concept("tench", 0.0, 0.0), Concept("goldfish", 0.2, 0.4), Concept("shark", 0.6, -0.5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("biggan"), TINY)


@pytest.fixture(scope="module")
def checkpoint_tensors(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "pytorch_model.bin", weights_only=True)


def export_and_open(folder: Path, path: Path, **more: Any) -> Engine:
    network, embeddings = load_network(folder)
    export(network, embeddings, CONCEPTS, path, **more)
    return Engine("tiny", "0" * 64, session(path), kind="biggan-deep")


def rows(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    weights = rng.dirichlet(np.ones(3), count).astype(np.float32)
    noise = rng.standard_normal((count, TINY["z_dim"]), dtype=np.float32)
    return weights, noise, rng.uniform(0, 1, count).astype(np.float32)


def test_the_published_sizes_have_the_published_numbers_of_blocks_and_statistics(tmp_path: Path) -> None:
    for size_px, config in PUBLISHED.items():
        (tmp_path / "config.json").write_text(json.dumps(config))
        layout = read_layout(tmp_path / "config.json")
        assert (layout.size_px, len(layout.layers), layout.steps) == (size_px, {128: 10, 256: 12, 512: 14}[size_px], 51)
        tensors = layout.tensor_shapes()
        assert tensors["generator.gen_z.weight_orig"] == (32768, 256)
        assert tensors["generator.layers.0.bn_0.running_means"] == (51, 2048)
        assert tensors["generator.layers.8.snconv1x1_theta.weight_v"] == (layout.attention_channels,)
        assert tensors["generator.conv_to_rgb.weight_orig"] == (128, 128, 3, 3)


def test_a_weight_is_divided_by_its_stored_spectral_norm(folder: Path, checkpoint_tensors: dict[str, Any]) -> None:
    name = "generator.layers.1.conv_1"  # 3 x 3
    weight = checkpoint_tensors[f"{name}.weight_orig"].double().numpy()
    left, right = (checkpoint_tensors[f"{name}.weight_{side}"].double().numpy() for side in "uv")
    sigma = sum(left[o] * (weight[o].ravel() @ right) for o in range(len(left)))
    assert 0 < sigma <= np.linalg.svd(weight.reshape(len(left), -1))[1][0] + 1e-6
    network, _ = load_network(folder)
    assert network.blocks[1].convolutions[1].weight.numpy() == pytest.approx(weight / sigma, abs=1e-6)


def test_a_normalisation_is_folded_into_one_scale_and_one_shift(
    folder: Path, checkpoint_tensors: dict[str, Any]
) -> None:
    network, _ = load_network(folder)
    name, step = "generator.layers.0.bn_2", 20
    condition, features = torch.randn(1, 12), torch.randn(1, network.normalisations.widths[2], 5, 5)
    kept = {kind: checkpoint_tensors[f"{name}.running_{kind}"][step].view(1, -1, 1, 1) for kind in ("means", "vars")}
    modulation = {}
    for kind in ("scale", "offset"):
        weight, left, right = (checkpoint_tensors[f"{name}.{kind}.weight_{part}"] for part in ("orig", "u", "v"))
        modulation[kind] = (condition @ (weight / (left @ weight @ right)).T).view(1, -1, 1, 1)
    normal = (features - kept["means"]) / torch.sqrt(kept["vars"] + TINY["eps"])
    scale, shift = network.normalisations(condition, torch.tensor([0.4]))[2]
    assert torch.allclose(
        features * scale + shift, normal * (1 + modulation["scale"]) + modulation["offset"], atol=1e-5
    )


@pytest.mark.parametrize(
    ("truncation", "weights"),
    [(0.4, {20: 1.0}), (0.58, {29: 1.0}), (1.0, {50: 1.0}), (0.43, {21: 0.5, 22: 0.5}), (0.425, {21: 0.25, 22: 0.75})],
)
def test_statistics_are_those_of_the_truncation(folder: Path, truncation: float, weights: dict[int, float]) -> None:
    norms = load_network(folder)[0].normalisations
    expected = sum(share * norms.means[step] for step, share in weights.items())
    means, _ = norms._statistics(torch.tensor([truncation]))
    assert torch.allclose(means[0], expected, atol=1e-3)


def test_no_truncation_uses_the_smallest_that_was_measured(folder: Path) -> None:
    norms = load_network(folder)[0].normalisations
    assert torch.equal(norms._statistics(torch.zeros(1))[0][0], norms.means[1])


def test_the_file_paints_what_pytorch_paints(folder: Path, tmp_path: Path) -> None:
    engine = export_and_open(folder, tmp_path / "tiny.onnx")
    weights, noise, truncation = rows(5)
    made = engine.paint(weights, noise, truncation)
    network, embeddings = load_network(folder)
    expected = EngineGraph(network, embeddings)(*map(torch.from_numpy, (weights, noise, truncation))).numpy()
    assert (made.shape, made.dtype) == ((5, 16, 16, 3), np.uint8)
    assert expected.std() > 20
    assert np.abs(made.astype(int) - expected).max() <= 1
    assert (made == expected).mean() > 0.999


@pytest.mark.parametrize(("precision", "most"), [("stored16", 3), ("float16", 6)])
def test_halved_files_paint_nearly_the_same(folder: Path, tmp_path: Path, precision: str, most: int) -> None:
    full, halved = (
        export_and_open(folder, tmp_path / f"{kind}.onnx", precision=kind) for kind in ("float32", precision)
    )
    difference = np.abs(full.paint(*rows(4)).astype(int) - halved.paint(*rows(4)))
    assert difference.max() <= most
    assert (tmp_path / f"{precision}.onnx").stat().st_size < (tmp_path / "float32.onnx").stat().st_size


def test_a_folded_truncation_is_used_whatever_is_asked_for(folder: Path, tmp_path: Path) -> None:
    kept, folded = (
        export_and_open(folder, tmp_path / "a.onnx"),
        export_and_open(folder, tmp_path / "b.onnx", truncation=0.5),
    )
    weights, _, _ = rows(2)
    still = np.zeros((2, 6), np.float32)
    at = {value: np.full(2, value, np.float32) for value in (0.5, 0.9)}
    assert np.array_equal(folded.paint(weights, still, at[0.9]), kept.paint(weights, still, at[0.5]))
    assert not np.array_equal(kept.paint(weights, still, at[0.9]), kept.paint(weights, still, at[0.5]))


def test_a_picture_does_not_depend_on_its_company(folder: Path, tmp_path: Path) -> None:
    engine = export_and_open(folder, tmp_path / "tiny.onnx")
    weights, noise, truncation = rows(4)
    others = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    others[2] = weights[2]
    whole = engine.paint(weights, noise, truncation)
    assert np.array_equal(engine.paint(others, noise, truncation)[2], whole[2])


def test_noise_beyond_its_reach_is_cut(folder: Path, tmp_path: Path) -> None:
    engine = export_and_open(folder, tmp_path / "tiny.onnx")
    weights, _, _ = rows(1)
    painted = [engine.paint(weights, np.full((1, 6), z, np.float32), np.float32([0.7])) for z in (NOISE_REACH, 9, 1)]
    assert np.array_equal(painted[0], painted[1])
    assert not np.array_equal(painted[0], painted[2])


def damage(folder: Path, tmp_path: Path, change: Any) -> Path:
    """A copy of the checkpoint with other tensors."""
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    torch.save(change(tensors), tmp_path / "pytorch_model.bin")
    return tmp_path


NAME = "generator.layers.0.conv_0.bias"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: {n: v for n, v in t.items() if n != NAME}, f"has no {NAME}; config.json asks for it"),
        (lambda t: {**t, "extra": torch.zeros(1)}, "holds extra, which config.json does not ask for"),
        (lambda t: {**t, NAME: torch.zeros(3)}, rf"{NAME} in .* is \(3,\); config.json asks for \(16,\)"),
        (lambda t: {**t, NAME: torch.full((16,), math.nan)}, f"{NAME} in .* holds a value that is not finite"),
        (lambda t: {**t, NAME: torch.zeros(16, dtype=torch.int64)}, f"{NAME} in .* is of torch.int64"),
        (lambda t: {**t, "generator.gen_z.weight_u": torch.zeros(1024)}, "the spectral norm of generator.gen_z is 0"),
        (lambda t: list(t.values()), "holds list; it must be a table of tensors"),
        (lambda t: {"code": Path("x")}, "holds more or less than tensors"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(folder: Path, tmp_path: Path, change: Any, said: str) -> None:
    if "gen_z" in said:
        assert torch.load(folder / "pytorch_model.bin", weights_only=True)["generator.gen_z.weight_u"].shape == (1024,)
    with pytest.raises(ValueError, match=said):
        load_network(damage(folder, tmp_path, change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"z_dim": "128"}, "z_dim in config.json is '128'; it must be a positive int"),
        ({"eps": 0}, "eps in config.json is 0; it must be a positive float"),
        ({"layers": [[0, 16, 8]]}, r"layers\[0\] in config.json is \[0, 16, 8\]"),
        ({"output_dim": 32}, "output_dim in config.json is 32; it must be 16, as the layers make it"),
        ({"class_embed_dim": 5}, "class_embed_dim in config.json is 5; it must be equal to z_dim"),
        ({"attention_layer_position": 9}, "attention_layer_position in config.json is 9"),
        ({"layers": [[False, 16, 16], [True, 8, 8]]}, r"layers\[1\] in config.json"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**TINY, **change}))
    with pytest.raises(ValueError, match=said):
        read_layout(tmp_path / "config.json")


def test_classes_have_names_of_their_own_and_take_sentiments_from_a_table(tmp_path: Path) -> None:
    table = tmp_path / "felt.csv"
    table.write_text("concept,arousal,valence\ntench,0.25,-0.5\n")
    concepts = read_classes(table)
    assert len({concept.name for concept in concepts}) == 1000
    assert [concepts[0], concepts[1]] == [Concept("tench", 0.25, -0.5), Concept("goldfish", 0.0, 0.0)]
    for row, said in (("no such fish,0,0", "names 'no such fish'"), ("tench,2,0", r"line 2 holds \(2, 0\)")):
        table.write_text(f"concept,arousal,valence\n{row}\n")
        with pytest.raises(ValueError, match=said):
            read_classes(table)


def test_the_command_makes_an_engine_of_a_thousand_classes(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "source", {**TINY, "num_classes": 1000})
    command = [sys.executable, "-m", "training.generator.biggan_deep.export", "--checkpoint", str(tmp_path / "source")]
    subprocess.run(
        [*command, "--out", str(tmp_path), "--precision", "stored16"],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    manifest = json.loads((tmp_path / "biggan-deep-16.json").read_text())
    assert (manifest["engine"], manifest["rated"], manifest["precision"]) == ("biggan-deep", False, "stored16")
    engine = Engine("x", manifest["sha256"], session(tmp_path / manifest["file"]), kind="biggan-deep")
    with CLASSES.open(encoding="utf-8") as lines:
        assert [concept.name for concept in engine.concepts] == [row["concept"] for row in csv.DictReader(lines)]
    assert (engine.native_size_px, engine.noise_size) == ((16, 16), 6)
