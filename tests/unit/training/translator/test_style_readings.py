"""What styles do to readings, and the sentiments that follow from it."""

from pathlib import Path

import numpy as np
import pytest

from services.translator.lexicon import Lexicon
from training.translator.styles.evaluate import format_table, write_table
from training.translator.styles.readings import (
    StyleReadings,
    build_report,
    feeling_correlation,
    nearest_styles,
    style_sentiments,
)

COUNT = 60


def read_concept_pictures(*shifts: tuple[float, float], share: float = 1.0, seed: int = 0) -> StyleReadings:
    """Readings of COUNT pictures that each style moves by its shift, after taking away all but a share of them."""
    plain = np.random.default_rng(seed).normal(0, 0.2, (COUNT, 2))
    return StyleReadings(plain, np.stack([plain * share + np.array(shift) for shift in shifts]))


def lexicon(ratings: np.ndarray) -> Lexicon:
    names = tuple(f"concept {row}" for row in range(COUNT))
    themes = tuple(f"theme {row // 2}" for row in range(COUNT))
    return Lexicon("tiny", names, themes, ratings, "", ratings, np.zeros((len(names), len(names))))


def test_a_style_that_only_shifts_keeps_all_and_one_that_covers_keeps_nothing() -> None:
    one = read_concept_pictures((0.3, -0.2))
    assert feeling_correlation(one.plain, one.styled[0]) == pytest.approx(1)
    noise = np.random.default_rng(5).normal(size=(COUNT, 2))
    assert abs(feeling_correlation(one.plain, noise)) < 0.3


def test_a_sentiment_is_as_unusual_among_ratings_as_its_readings_are() -> None:
    ratings = np.random.default_rng(1).normal((0.1, 0.2), (0.3, 0.4), (COUNT, 2)).clip(-1, 1)
    one = read_concept_pictures((-0.1, -0.4), (0.0, -0.3), (0.1, -0.2))
    table, step = style_sentiments(one, ratings), ratings.std(0) * 0.1 / one.plain.std(0)
    assert table[1] == pytest.approx(ratings.mean(0))  # the typical style, though it lowers every reading of valence
    assert table[2] == pytest.approx(ratings.mean(0) + step)
    assert table[0] == pytest.approx(ratings.mean(0) - step)
    assert style_sentiments(read_concept_pictures((-3.0, 0.0), (3.0, 0.0)), ratings)[:, 0].tolist() == [-1, 1]


def test_each_feeling_takes_the_nearest_style() -> None:
    table = np.array([(0.0, 0.5), (0.0, -0.5)])
    assert nearest_styles(np.array([(0.4, 0.1), (-0.4, -0.1)]), table).tolist() == [0, 1]


def test_styles_that_agree_with_the_feeling_raise_its_reading_and_random_ones_lower_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    both = read_concept_pictures((0.2, 0.2), (-0.2, -0.2), (0.2, -0.2), (-0.2, 0.2), share=0.5)
    ratings = (both.plain + rng.normal(0, 0.2, (COUNT, 2))).clip(-1, 1)
    report = build_report(both, both, lexicon(ratings), (1.0, 0.6, 1.0, 1.0))
    r = {name: row["arousal"]["r"] for name, row in report["chosen"].items() if name != "auto_less_none"}
    assert r["auto"] > r["none"] > r["random"]
    assert report["chosen"]["auto_less_none"]["arousal"]["r_95"][0] > 0
    first = report["styles"][0]
    assert first["shift"]["arousal"]["mean"] == pytest.approx(0.2 - 0.5 * both.plain[:, 0].mean())
    low, high = first["shift"]["arousal"]["mean_95"]
    assert low < first["shift"]["arousal"]["mean"] < high
    assert sum(style["taken"] for style in report["styles"]) == report["n"] == COUNT
    names = ("a", "b", "c", "d")
    write_table(tmp_path / "styles.csv", {}, names, report)
    lines = (tmp_path / "styles.csv").read_text().splitlines()
    assert lines[0] == "name,share,arousal,valence"
    assert lines[2].startswith("b,0.6,-")
    write_table(tmp_path / "own.csv", {name: tmp_path / f"{name}.jpg" for name in names}, names, report)
    assert (tmp_path / "own.csv").read_text().splitlines()[2].startswith("b.jpg,b,0.6,-")
    shown = format_table(names, report).splitlines()
    assert shown[0] == f"n = {COUNT} pictures a style"
    assert [line.split(" |")[0] for line in shown[4:8]] == ["| none", "| auto", "| random", "| auto less none"]
    assert shown[12].startswith("| b | -")
    assert len({line.count("|") for line in shown[9:]}) == 1
