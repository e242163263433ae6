"""From an engine's file to views that are served: by the commands that users run, on a toy engine of plain colours."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

onnx, torch = pytest.importorskip("onnx"), pytest.importorskip("torch")

from onnx import TensorProto, helper, numpy_helper

from services.translator.catalogue import EMBEDDED, open_catalogue
from services.translator.judge.model import BLOCKS, PictureFeatures, load_judge
from services.translator.lexicon import F32, load_lexicon
from services.translator.translate import NOISE_SIZE, Passage, translate
from services.translator.views import TEMPERATURE, View
from training.translator import read_concepts, train
from training.translator.judge import backbone
from training.translator.judge import evaluate as evaluate_judge
from training.translator.network import ViewNetwork, to_numpy

COLOURS = {"night": (0.05, 0.05, 0.1), "fire": (0.9, 0.3, 0.1), "meadow": (0.3, 0.8, 0.2), "snow": (0.95, 0.95, 1.0)}
RATINGS = {"night": (-0.3, -0.5), "fire": (0.6, -0.2), "meadow": (-0.2, 0.7), "snow": (-0.5, 0.2)}


def encode_floats(values: F32) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")


def plain_engine(path: Path) -> None:
    """Paints 64 × 64 pictures of one colour: the concepts' mixture, moved by the first three values of the noise."""
    latents = np.zeros((len(COLOURS), NOISE_SIZE), np.float32)
    latents[:, :3] = list(COLOURS.values())
    constants = {
        "colours": np.array(list(COLOURS.values()), dtype=np.float32) * 255,
        "pick": np.eye(NOISE_SIZE, 3, dtype=np.float32) * 25.5,
        "down": np.array([-1, 1]),
        "low": np.float32(0),
        "high": np.float32(255),
        "shape": np.array([-1, 1, 1, 3]),
        "repeats": np.array([1, 64, 64, 1]),
    }
    nodes = [
        helper.make_node("MatMul", ["class_weights", "colours"], ["mixture"]),
        helper.make_node("MatMul", ["noise", "pick"], ["moves"]),
        helper.make_node("Reshape", ["truncation", "down"], ["strength"]),
        helper.make_node("Mul", ["moves", "strength"], ["moved"]),
        helper.make_node("Add", ["mixture", "moved"], ["colour"]),
        helper.make_node("Clip", ["colour", "low", "high"], ["clipped"]),
        helper.make_node("Reshape", ["clipped", "shape"], ["pixel"]),
        helper.make_node("Tile", ["pixel", "repeats"], ["plain"]),
        helper.make_node("Cast", ["plain"], ["pictures"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "plain",
        [
            helper.make_tensor_value_info("class_weights", TensorProto.FLOAT, ["n", len(COLOURS)]),
            helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["n", NOISE_SIZE]),
            helper.make_tensor_value_info("truncation", TensorProto.FLOAT, ["n"]),
        ],
        [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["n", 64, 64, 3])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    concepts = json.dumps([[name, *RATINGS[name]] for name in COLOURS])
    facts = {"latents": encode_floats(latents), "noise_size": str(NOISE_SIZE), "concepts": concepts}
    helper.set_model_props(model, facts)
    onnx.save(model, path)


@pytest.fixture(scope="module")
def backbone_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("eyes") / "backbone.onnx"
    backbone.main(["--out", str(path)])
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A weights folder with the shipped judges and the toy engine's concepts."""
    for name in ("judge.npz", "labeller.npz"):
        (tmp_path / name).write_bytes((EMBEDDED / name).read_bytes())
    rows = [{"name": name, "theme": name, "arousal": a, "valence": v} for name, (a, v) in RATINGS.items()]
    (tmp_path / "plain_concepts.json").write_text(json.dumps({"engine": "plain", "concepts": rows}))
    plain_engine(tmp_path / "plain.onnx")
    return tmp_path


def test_an_engine_gets_views_by_one_command(
    folder: Path, backbone_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--engine", str(folder / "plain.onnx"), "--backbone", str(backbone_path), "--weights", str(folder)]
    train.main([*files, "--views", "2", "--per-concept", "4", "--steps", "40"])
    report = json.loads(capsys.readouterr().out)
    assert report["samples"] == 16
    assert len(report["views"]) == 2
    translators = open_catalogue([folder])["plain"]
    assert list(translators) == ["dictionary", "original", "view-1", "view-2"]
    translation = translate(translators["view-2"], Passage(np.zeros((3, 2))))
    assert translation.class_weights.shape == (3, len(COLOURS))
    assert json.loads((folder / "plain_views.json").read_text())["metrics"] == report


def test_an_engine_that_nobody_rated_gets_a_table_and_views_from_the_labeller_alone(
    folder: Path, backbone_path: Path
) -> None:
    (folder / "plain_concepts.json").unlink()
    files = ["--engine", str(folder / "plain.onnx"), "--backbone", str(backbone_path), "--weights", str(folder)]
    train.main([*files, "--unrated", "--views", "1", "--per-concept", "4", "--steps", "40"])
    lexicon = load_lexicon(folder / "plain_concepts.json")
    assert lexicon.names == tuple(COLOURS)
    assert (lexicon.ratings.std(0) > 0).all()
    assert "--trust 0.0" in json.loads((folder / "plain_views.json").read_text())["command"]
    assert list(open_catalogue([folder])["plain"]) == ["dictionary", "original", "view-1"]


def test_an_engine_of_other_concepts_is_refused(folder: Path, backbone_path: Path) -> None:
    other = (EMBEDDED / "canvas_concepts.json").read_text().replace('"canvas"', '"plain"')
    (folder / "plain_concepts.json").write_text(other)
    with pytest.raises(SystemExit):
        train.main(["--engine", str(folder / "plain.onnx"), "--backbone", str(backbone_path), "--weights", str(folder)])


def test_an_engines_pictures_are_read_into_its_table_by_one_command(folder: Path, backbone_path: Path) -> None:
    before = load_lexicon(folder / "plain_concepts.json")
    files = ["--engine", str(folder / "plain.onnx"), "--backbone", str(backbone_path), "--weights", str(folder)]
    read_concepts.main([*files, "--per-concept", "1"])
    after = load_lexicon(folder / "plain_concepts.json")
    assert np.array_equal(after.ratings, before.ratings)
    assert not np.allclose(after.readings, after.ratings)
    assert after.readings.mean(0) == pytest.approx(after.ratings.mean(0), abs=2e-3)
    assert after.readings.std(0) == pytest.approx(after.ratings.std(0), abs=2e-3)


def test_readers_are_measured_on_an_engines_pictures(folder: Path, backbone_path: Path) -> None:
    lexicon = load_lexicon(folder / "plain_concepts.json")
    painted = evaluate_judge.sample_engine(folder / "plain.onnx", PictureFeatures(backbone_path), lexicon)
    assert list(painted) == [0.2, 0.5]
    report = evaluate_judge.measure_painted(load_judge(folder / "judge.npz"), lexicon, painted[0.2])
    assert report["n"] == 8
    assert -1 <= report["valence"]["r"] <= 1


def test_an_engine_is_not_measured_by_ratings_of_other_concepts(folder: Path, backbone_path: Path) -> None:
    shipped = load_lexicon(EMBEDDED / "canvas_concepts.json")
    with pytest.raises(ValueError, match=r"plain\.onnx has other concepts than canvas_concepts\.json"):
        evaluate_judge.sample_engine(folder / "plain.onnx", PictureFeatures(backbone_path), shipped)


def test_numpy_evaluates_a_view_as_torch_does() -> None:
    torch.manual_seed(0)
    network = ViewNetwork(10, NOISE_SIZE)
    layers = [to_numpy(layer) for layer in (network.first, network.second, network.logits, network.noise)]
    view = View(np.arange(10), np.zeros(2, np.float32), np.ones(2, np.float32), tuple(layers[:2]), layers[2], layers[3])
    feeling = np.array([0.3, -0.8])
    with torch.no_grad():
        logits, noise = network(torch.tensor(feeling, dtype=torch.float32)[None])
        shares = torch.softmax(logits / TEMPERATURE, dim=1)[0].numpy()
    own_shares, own_noise = view.forward(feeling)
    assert own_shares == pytest.approx(shares, abs=1e-5)
    assert own_noise == pytest.approx(np.clip(noise[0].numpy() / noise[0].numpy().std(), -2, 2), abs=1e-5)


def test_the_exported_backbone_sees_what_pytorch_sees(backbone_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    networks = backbone.Backbone([backbone.load_published(name) for name in backbone.VARIANTS])
    with torch.no_grad():
        expected = networks(torch.from_numpy(picture)[None]).numpy()
    seen = PictureFeatures(backbone_path).extract([picture])
    assert seen.shape == expected.shape == (1, max(block.stop for block in BLOCKS.values()))
    for block in BLOCKS.values():
        assert np.corrcoef(seen[0, block], expected[0, block])[0, 1] > 0.95  # weights are stored in 8 bits


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth does not hold this network"):
        backbone.load_weights(backbone.Classifier(backbone.VARIANTS["lite2"]), tmp_path / "other.pth")
