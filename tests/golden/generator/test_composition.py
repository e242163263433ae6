import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.generator.anchors import anchor_fields
from training.generator.composition import FIELD_PX, NOISE_SPREAD, SLOTS, concept_shares, noise_basis
from training.generator.train import widen

RNG = np.random.default_rng(5)
TABLE = RNG.standard_normal((7, 12)).astype(np.float32) * np.linspace(3, 0.5, 12, dtype=np.float32)
BASIS = noise_basis(TABLE, 9)
PICTURES = torch.from_numpy(RNG.uniform(size=(6, 3, 128, 128)).astype(np.float32))
FIELDS = anchor_fields(PICTURES)


def test_fields_rank_the_places_of_each_picture_evenly() -> None:
    assert FIELDS.shape == (6, FIELD_PX, FIELD_PX)
    assert FIELDS.flatten(1).mean(1) == pytest.approx(0.5, abs=1e-3)
    assert float(FIELDS.min()) == 0
    assert float(FIELDS.max()) == 1


def test_the_thing_in_a_plain_picture_is_where_it_shows_most() -> None:
    plain = torch.full((1, 3, 128, 128), 0.5)
    plain[:, 0, 40:88, 8:56] = 1.0
    field = anchor_fields(plain)[0]
    assert float(field[10:22, 2:14].mean()) > float(field[10:22, 18:30].mean()) + 0.3


def test_a_one_hot_row_gives_its_concept_the_whole_picture() -> None:
    chosen, shares = concept_shares(torch.eye(6), FIELDS)
    assert chosen[:, 0].tolist() == list(range(6))
    assert bool((shares[:, 0] == 1).all())
    assert bool((shares[:, 1:] == 0).all())


def test_shares_sum_to_one_and_no_more_than_four_concepts_show() -> None:
    chosen, shares = concept_shares(torch.from_numpy(RNG.dirichlet(np.ones(6), 20).astype(np.float32)), FIELDS)
    assert shares.shape == (20, SLOTS, FIELD_PX, FIELD_PX)
    assert shares.sum(1).numpy() == pytest.approx(1, abs=1e-5)
    assert all(len(set(row)) == SLOTS for row in chosen.tolist())


@pytest.mark.parametrize("weight", [0.2, 0.35, 0.5, 0.65, 0.8])
def test_the_area_of_a_concept_is_about_its_weight(weight: float) -> None:
    rows = torch.zeros(30, 6)
    for row, pair in enumerate((a, b) for a in range(6) for b in range(6) if a != b):
        rows[row, pair[0]], rows[row, pair[1]] = weight, 1 - weight
    chosen, shares = concept_shares(rows, FIELDS)
    of_first = torch.stack([shares[row, chosen[row].tolist().index(int(rows[row].argmax()))] for row in range(30)])
    assert float(of_first.mean()) == pytest.approx(max(weight, 1 - weight), abs=0.06)


def test_noise_at_full_truncation_has_its_share_of_the_anchors_spread() -> None:
    noise = RNG.standard_normal((20_000, 9)).astype(np.float32)
    moved = (noise @ BASIS) / TABLE.std(axis=0)
    assert float(np.sqrt(np.square(moved).mean())) == pytest.approx(NOISE_SPREAD, rel=0.02)


def test_the_directions_of_noise_are_orthogonal_before_the_stretch_and_always_the_same() -> None:
    directions = BASIS / TABLE.std(axis=0)
    gram = directions @ directions.T
    assert gram == pytest.approx(np.eye(9) * gram[0, 0], abs=1e-5)
    assert np.array_equal(BASIS, noise_basis(TABLE, 9))


@pytest.mark.parametrize("size", [0, 13])
def test_a_noise_size_that_the_latents_cannot_hold_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"noise size is {size}; choose 1 to the latent size, 12"):
        noise_basis(TABLE, size)


def test_an_older_weight_keeps_its_numbers_in_a_wider_network() -> None:
    older, newer = torch.ones(2, 3), torch.full((4, 5), 7.0)
    grown = widen("conv.weight", older, newer)
    assert grown.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [7, 7, 7, 7, 7], [7, 7, 7, 7, 7]]
    scales_then_shifts = widen("blocks.0.film.bias", torch.tensor([1.0, 2.0]), torch.zeros(4))
    assert scales_then_shifts.tolist() == [1, 0, 2, 0]


def test_a_weight_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"seed\.weight is \(4, 5\); it does not fit into \(4, 3\)"):
        widen("seed.weight", torch.zeros(4, 5), torch.zeros(4, 3))
