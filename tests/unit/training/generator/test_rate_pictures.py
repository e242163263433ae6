import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from training.generator.rate_pictures import apply_lines, fill_model, fit_lines, list_doubtful


def test_lines_bring_readings_to_what_people_felt() -> None:
    read = np.array([[-0.2, 0.0], [0.0, 0.1], [0.2, 0.2]])
    felt = np.array([[-0.3, 0.1], [0.1, 0.3], [0.5, 0.5]])
    lines = fit_lines(read, felt)
    assert lines == pytest.approx(np.array([[2.0, 0.1], [2.0, 0.1]]))
    assert apply_lines(read, lines) == pytest.approx(felt)


def test_ratings_stay_on_the_scale() -> None:
    assert apply_lines(np.array([[0.9, -0.9]]), np.array([[2.0, 0.0], [2.0, 0.0]])).tolist() == [[1.0, -1.0]]


def test_a_picture_is_doubtful_where_both_readings_are_clear_and_differ_in_sign() -> None:
    read = np.array([[0.2, 0.3], [0.2, 0.3], [0.05, 0.3]])
    judged = np.array([[-0.2, 0.3], [0.2, -0.09], [-0.4, 0.3]])
    assert list_doubtful(["differs", "hardly", "not clear"], read, judged) == ["differs"]


def test_readings_are_written_with_four_digits() -> None:
    row = {"name": "great wave"}
    fill_model([row], np.array([[-0.09876, 0.4]]), np.array([[-0.002, 0.33333]]))
    assert row == {
        "name": "great wave",
        "arousal": "-0.0988",
        "valence": "0.4000",
        "judge_arousal": "-0.0020",
        "judge_valence": "0.3333",
    }
