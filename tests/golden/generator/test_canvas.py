"""The canvas engine from pictures to a file: trained for seconds on small pictures, exported, painted with."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from services.generator.canvas import choose_pairs
from services.generator.engine import Engine
from tests.unit.generator.opened import session
from tests.unit.training.generator.discs import make_pictures
from training.generator.canvas import mixing
from training.generator.canvas.codes import CODES, LinearEncoder, expand_codes
from training.generator.canvas.export import build_graph, write_canvas
from training.generator.canvas.graph import NOISE_SIZE
from training.generator.canvas.network import fit_principal_parts, round_values
from training.generator.canvas.pictures import find_focus, load_pictures
from training.generator.canvas.train import Recipe, Trainer, encode_pictures, load_networks, paint_values, train
from training.generator.evaluate import psnr_db
from training.generator.pictures import Window, read_list

SIZE_PX = (160, 128)  # width, height
RECIPE = Recipe(minutes=0.02, batch=2, crop_places=4, feature_weight=0)
FOCUS = np.array([[0.5, 0.5], [0.5, 0.2], [0.9, 0.5], [0.1, 1.0]], np.float32)  # down, across


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("canvas") / "checkpoint.pt"
    trainer = Trainer(make_pictures(), RECIPE)
    trainer.start()
    train(trainer, path)
    return path


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> Engine:
    graph, encoder = build_graph(checkpoint, make_pictures(), FOCUS)
    concepts = json.dumps([[f"disc {place}", 0.1 * place, 0] for place in range(4)])
    facts = {"concepts": concepts, "noise_size": str(NOISE_SIZE), "encoder": encoder.to_text()}
    path = checkpoint.parent / "canvas.onnx"
    write_canvas(graph, facts, path)
    return Engine("canvas", "", session(path))


def paint(
    engine: Engine, weights: list, truncation: float = 0, seed: int = 0, shape_px: tuple[int, int] | None = None
) -> np.ndarray:
    rows = np.asarray(weights, np.float32)
    noise = np.random.default_rng(seed).standard_normal((1, NOISE_SIZE)).astype(np.float32).repeat(len(rows), 0)
    return engine.paint(rows, noise, np.full(len(rows), truncation, np.float32), shape_px)


def test_principal_parts_alone_paint_a_picture() -> None:
    pictures = make_pictures()
    trainer = Trainer(pictures, RECIPE)
    trainer.start()
    made = paint_values(trainer.decoder, encode_pictures(trainer.encoder, pictures))
    assert psnr_db(made, pictures).min() > 22


def test_principal_parts_come_in_order() -> None:
    parts = fit_principal_parts(make_pictures(), every=1)
    assert parts.vectors.T @ parts.vectors == pytest.approx(np.eye(CODES), abs=1e-4)
    assert (np.diff(parts.scales[8:40]) <= 1e-6).all()  # what little is left after these is rounding


def test_a_stopped_training_goes_on(checkpoint: Path) -> None:
    trainer = Trainer(make_pictures(), RECIPE)
    trainer.restore(checkpoint)
    before, passed_s = trainer.step, trainer.passed_s
    assert before > 0
    assert trainer.done >= 1
    trainer.recipe = replace(RECIPE, minutes=2 * passed_s / 60)
    assert trainer.done == pytest.approx(0.5)
    train(trainer, checkpoint.with_name("longer.pt"))
    assert trainer.step > before
    assert trainer.passed_s > passed_s


def test_numpy_encodes_as_training_does(checkpoint: Path) -> None:
    encoder, _ = load_networks(checkpoint)
    with torch.no_grad():
        wanted = round_values(encode_pictures(encoder, make_pictures())).permute(0, 2, 3, 1).numpy()
    got = expand_codes(encoder.to_linear().encode(make_pictures()))
    assert (np.abs(got - wanted) > 1e-4).mean() < 5e-3  # a value between two codes may go either way


def test_the_file_says_its_size_and_paints_what_was_trained(engine: Engine, checkpoint: Path) -> None:
    assert engine.native_size_px == SIZE_PX
    made = paint(engine, np.eye(4).tolist())
    assert (made.shape, made.dtype) == ((4, 128, 160, 3), np.uint8)
    assert psnr_db(made, make_pictures()).min() > 22
    encoder, decoder = load_networks(checkpoint)
    trained = paint_values(decoder, encode_pictures(encoder, make_pictures()))
    assert psnr_db(made, trained).min() > 40  # weights of 16 bits, and codes that may round either way


def test_places_meet_at_the_border_as_everywhere(engine: Engine) -> None:
    made = paint(engine, np.eye(4).tolist()).astype(float)
    off = np.abs(made - make_pictures()).mean(axis=(0, 3))
    assert off[:4].mean() < 1.5 * off[4:-4, 4:-4].mean() + 2


@pytest.mark.parametrize(
    ("shape", "painted"), [((1920, 1080), (96, 160)), ((108, 192), (128, 80)), ((50, 40), (128, 160))]
)
def test_another_shape_is_cut_around_each_concept_alone(engine: Engine, shape: tuple, painted: tuple) -> None:
    whole, cut = (paint(engine, np.eye(4).tolist(), shape_px=one) for one in (None, shape))
    assert cut.shape[1:3] == painted
    for place, (down, across) in enumerate(FOCUS):
        top, left = (
            min(max(round(16 * round((focus * extent - size) / 16 + size / 32)) // 1, 0), extent - size)
            for focus, extent, size in zip((down, across), (128, 160), painted, strict=True)
        )
        near = [
            np.abs(
                whole[place, top + dy : top + dy + painted[0], left + dx : left + dx + painted[1]].astype(int)
                - cut[place]
            )
            for dy in (-16, 0, 16)
            for dx in (-16, 0, 16)
            if 0 <= top + dy <= 128 - painted[0] and 0 <= left + dx <= 160 - painted[1]
        ]
        assert min(np.median(one) for one in near) <= 1


def test_a_row_is_the_same_alone_and_in_a_batch(engine: Engine) -> None:
    rows = [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0.3, 0.7], [0.4, 0.3, 0.2, 0.1]]
    together = paint(engine, rows, truncation=0.5)
    for row, picture in zip(rows, together, strict=True):
        assert np.abs(paint(engine, [row], truncation=0.5)[0].astype(int) - picture).max() <= 3


def test_the_area_of_a_concept_is_its_weight() -> None:
    lead, areas = torch.randn(3, 16, 20, generator=torch.Generator().manual_seed(1)), torch.tensor([0.0, 0.3, 0.5])
    level, low, high = mixing.area_front(lead, areas)
    share = mixing.soft_step((lead - level[:, None, None]) / mixing.SOFTNESS).mean((1, 2))
    assert share.tolist() == pytest.approx([0, 0.3, 0.5], abs=0.01)
    assert (low < lead.amin((1, 2))).all()
    assert mixing.soft_step((high - level)[:1] / mixing.SOFTNESS).item() < 1e-4  # without a weight nothing shows


def test_the_pair_is_continuous_where_the_third_overtakes_the_second() -> None:
    before, after = ([0.6, 0.2 + d, 0.2 - d, 0.0] for d in (1e-4, -1e-4))
    _, areas = choose_pairs(np.array([before, after], np.float32))
    assert areas.tolist() == [0, 0]


def test_two_concepts_that_change_the_lead_do_not_jump(engine: Engine) -> None:
    made = paint(engine, [[0.501, 0.499, 0, 0], [0.499, 0.501, 0, 0]], truncation=1).astype(float)
    assert np.abs(made[1] - made[0]).mean() < 1


@pytest.mark.parametrize("share", [0.0, 0.01, 0.02, 0.1, 0.3, 0.49, 0.8, 0.97])
def test_a_small_step_of_the_weights_is_a_small_step_of_the_picture(engine: Engine, share: float) -> None:
    made = paint(engine, [[1 - s, s, 0, 0] for s in (share, share + 0.01)]).astype(float)
    assert np.abs(made[1] - made[0]).mean() < 5


def test_a_mixture_shows_each_concept_by_its_weight(engine: Engine) -> None:
    first, half, last = paint(engine, [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 1, 0, 0]]).astype(float)
    area = (np.abs(half - last).sum(axis=2) < np.abs(half - first).sum(axis=2)).mean()
    assert area == pytest.approx(0.5, abs=0.15)
    alone = np.minimum(np.abs(half - first).max(axis=2), np.abs(half - last).max(axis=2)) < 8
    assert alone.mean() > 0.3  # and no double exposure all over


def test_where_neither_stands_out_the_front_is_wide_and_soft() -> None:
    share = mixing.soft_step(torch.linspace(-1, 1, 201))
    assert share[[0, 50, 100, 150, 200]].tolist() == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-6)
    assert share.diff().min() >= 0
    assert share.diff().max() < 0.016  # the steepest slope is 3/2


def test_noise_moves_light_and_front_by_truncation_and_not_without(engine: Engine) -> None:
    for row in ([0, 1, 0, 0], [0, 0.5, 0.5, 0]):
        still, other = paint(engine, [row], 0, seed=1), paint(engine, [row], 0, seed=2)
        assert np.array_equal(still, other)
        near, far = (np.abs(paint(engine, [row], t, seed=1).astype(float) - still).mean() for t in (0.3, 1))
        assert 0.3 < near < far < 60


def test_light_leaves_black_and_white_as_they_are() -> None:
    waves = mixing.Waves(mixing.LIGHT_WAVES, 12, 16)
    amounts = mixing.light_amounts(torch.randn(2, 1 + len(mixing.LIGHT_WAVES)))
    gain = waves(amounts, torch.tensor([12, 16]))
    assert gain.shape == (2, 3, 12, 16)
    assert gain.abs().max() < 1  # x + g x (1 - x) rises with x for all |g| < 1
    warm = (amounts[:, 0, 0] - amounts[:, 2, 0]) / (2 * mixing.WARMTH)
    assert (gain[:, 0] - gain[:, 2]).mean((1, 2)).tolist() == pytest.approx(
        (2 * mixing.WARMTH * warm).tolist(), abs=1e-5
    )


def test_waves_have_mean_nought_and_variance_one() -> None:
    waves = mixing.Waves(mixing.FRONT_WAVES, 64, 80)
    alone = waves(torch.eye(len(mixing.FRONT_WAVES))[:, None], torch.tensor([64, 80]))
    assert alone.mean((1, 2, 3)).abs().max() < 1e-5
    assert alone.square().mean((1, 2, 3)).sum().item() == pytest.approx(1, abs=1e-4)
    part = waves(torch.eye(len(mixing.FRONT_WAVES))[:, None], torch.tensor([40, 80]))
    assert torch.equal(part, alone[:, :, :40])


def test_a_list_says_names_feelings_and_what_is_shown(tmp_path: Path) -> None:
    red = np.zeros((64, 100, 3), np.uint8)
    red[:, 50:] = (200, 0, 0)
    Image.fromarray(red).save(tmp_path / "a.png")
    rows = [
        {"file": "a.png", "name": "red", "arousal": "0.2", "valence": "-0.1", "rated_by": "model", "left": "0.5"},
        {"file": "a.png", "name": "black", "arousal": "-0.2", "valence": "0.1", "left": "0"},
    ]
    rows[0] |= {"theme": "sky", "also": "night"}
    with (tmp_path / "list.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "top", "width", "height"])
        writer.writeheader()
        writer.writerows(row | {"top": "0", "width": "0.5", "height": "1"} for row in rows)
    listed = read_list(tmp_path / "list.csv")
    assert [(one.name, one.arousal, one.rated_by) for one in listed] == [
        ("red", 0.2, "model"),
        ("black", -0.2, "people"),
    ]
    assert [(one.theme, one.also) for one in listed] == [("sky", "night"), ("", "")]
    made = load_pictures(tmp_path, listed, (32, 32))
    assert made[:, 8:-8, 8:-8, 0].mean((1, 2)).tolist() == [200, 0]
    off_middle = replace(listed[0], focus=(0.9, 0.5), window=Window())
    assert find_focus(off_middle, tmp_path) == pytest.approx((0.5, 0.875))  # of 80 x 64 px, from 20 on


def test_a_list_with_one_name_twice_or_without_ratings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("file,name,arousal,valence\na.png,sea,0,0\nb.png,sea,0,0\n")
    with pytest.raises(ValueError, match="two pictures are called 'sea'"):
        read_list(path)
    path.write_text("file,name,arousal,valence\na.png,sea,,\n")
    with pytest.raises(ValueError, match=r"a\.png has no rating"):
        read_list(path)
    assert read_list(path, rated=False)[0].name == "sea"


def test_an_encoder_is_read_from_the_file_of_its_engine(engine: Engine, checkpoint: Path) -> None:
    facts = session(checkpoint.parent / "canvas.onnx").get_modelmeta().custom_metadata_map
    codes = LinearEncoder.from_text(facts["encoder"]).encode(make_pictures(1))
    assert codes.shape == (1, 8, 10, CODES)
