"""What a canvas engine decodes, keeps and asks its graph to mix."""

from typing import Any

import numpy as np
import pytest

from services.generator import canvas
from services.generator.canvas import Canvas, choose_pairs

WINDOW = (2, 3)
PLACE_PX, NOISE_SIZE = 4, 5


class Graph:
    """Decodes concept k to pictures full of k; paints the first of each pair, plus its area times the second."""

    def __init__(self) -> None:
        self.decoded: list[int] = []

    def run(self, output_names: Any, given: Any) -> list[Any]:
        (concepts, pairs) = given["concepts"], given["pairs"]
        assert given["window"].tolist() == list(WINDOW)
        if output_names == ["decoded"]:
            assert not pairs.size
            self.decoded += concepts.tolist()
            shape = (1, 3, PLACE_PX * WINDOW[0], PLACE_PX * WINDOW[1])
            return [np.full(shape, concepts[0], np.float32)]
        assert output_names == ["pictures"]
        assert not concepts.size
        mixed = given["left"] + given["area"][:, None, None, None] * given["grown"]
        assert given["left"][:, 0, 0, 0].tolist() == pairs[:, 0].tolist()
        painted = np.concatenate([mixed, given["alone"]]) + given["noise"][:, :1, None, None]
        return [painted.transpose(0, 2, 3, 1)]

    def get_outputs(self) -> list[Any]:
        return []

    def get_modelmeta(self) -> Any:
        return None


def paint(made: Canvas, rows: list[list[float]], noise: list[float] | None = None) -> list[float]:
    moves = np.zeros((len(rows), NOISE_SIZE), np.float32)
    moves[:, 0] = noise or 0
    pictures = made.paint(np.array(rows, np.float32), moves, np.ones(len(rows), np.float32), WINDOW)
    assert pictures.shape == (len(rows), 8, 12, 3)
    return [float(one) for one in pictures[:, 0, 0, 0]]


@pytest.mark.parametrize(
    ("weights", "pair", "area"),
    [
        ([0, 1, 0, 0], [1, 0], 0),
        ([0.3, 0, 0.7, 0], [2, 0], (0.3 - 0.02) / 0.96),
        ([0.5, 0.5, 0, 0], [0, 1], 0.5),
        ([0.99, 0, 0, 0.01], [0, 3], 0),  # too little to be decoded
        ([0.6, 0.2, 0.2, 0], [0, 1], 0),  # the third is taken off both
        ([0.5, 0.1, 0.4, 0], [0, 2], (0.3 / 0.7 - 0.02) / 0.96),
    ],
)
def test_a_picture_mixes_its_two_strongest_concepts(weights: list[float], pair: list[int], area: float) -> None:
    pairs, areas = choose_pairs(np.array([weights], np.float32))
    assert pairs[0].tolist() == pair
    assert areas[0] == pytest.approx(area, abs=1e-6)


def test_pictures_come_in_the_order_of_their_rows_with_their_own_noise() -> None:
    rows = [[0, 1, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0, 1], [0, 0.5, 0, 0.5]]
    made = Canvas(Graph(), PLACE_PX, NOISE_SIZE)
    assert paint(made, rows, [0.1, 0.2, 0.3, 0.4]) == pytest.approx([1.1, 3.7, 3.3, 2.9])


def test_a_concept_is_decoded_once_and_its_pictures_stay_the_same() -> None:
    graph = Graph()
    made = Canvas(graph, PLACE_PX, NOISE_SIZE)
    first = paint(made, [[0, 0, 0.5, 0.5], [0, 0, 1, 0]])
    assert paint(made, [[0, 0, 0.5, 0.5], [0, 0, 1, 0]]) == first == [3.5, 2]
    assert graph.decoded == [2, 3]


def test_what_was_used_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph()
    made = Canvas(graph, PLACE_PX, NOISE_SIZE)
    picture_bytes = 3 * 8 * 12 * 4
    monkeypatch.setattr(canvas, "KEPT_BYTES", 2 * picture_bytes)
    alone = np.eye(4).tolist()
    assert paint(made, [alone[0], alone[1], alone[0], alone[2], alone[0], alone[1]]) == [0, 1, 0, 2, 0, 1]
    assert graph.decoded == [0, 1, 2, 1]
