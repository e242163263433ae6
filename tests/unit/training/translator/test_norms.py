import json
from pathlib import Path

import pytest

from services.translator.lexicon import load_lexicon
from training.translator.build_concepts import WordNet, main, rate_classes, read_class_names, read_norms

NORMS = """,Word,V.Mean.Sum,A.Mean.Sum,D.Mean.Sum
1,cat,7,5,5
2,tiger,6,8,5
3,Dog,8,6,5
4,animal,6,5,5
5,coffee,7,6,5
"""
# One noun under another: husky, dog, animal.
SYNSETS = (("husky", "dog"), ("dog", "animal"), ("animal", ""))


@pytest.fixture
def norms(tmp_path: Path) -> Path:
    (tmp_path / "norms.csv").write_text(NORMS)
    return tmp_path / "norms.csv"


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    """Three nouns in WordNet's own form; places are byte offsets."""
    head, lines = "  1 the licence stands here\n", {}
    places, at = {}, len(head)
    for name, above in reversed(SYNSETS):
        pointer = f"001 @ {places[above]:08d} n 0000" if above else "000"
        words = "02 dog 0 domestic_dog 0" if name == "dog" else f"01 {name} 0"
        lines[name] = f"{at:08d} 05 n {words} {pointer} | what it is  \n"
        places[name] = at
        at += len(lines[name])
    (tmp_path / "data.noun").write_text(head + "".join(lines.values()))
    index = [f"{name} n 1 1 @ 1 0 {place:08d}  " for name, place in sorted(places.items())]
    (tmp_path / "index.noun").write_text(head + "\n".join(index) + "\n")
    return tmp_path


def test_norms_move_from_one_to_nine_to_minus_one_to_one(norms: Path) -> None:
    assert read_norms(norms)["dog"] == (0.25, 0.75)


def test_a_class_feels_as_the_mean_of_its_words(norms: Path) -> None:
    rated = rate_classes(["tiger cat", "espresso", "Dog, domestic animal"], read_norms(norms), None)
    assert rated["tiger cat"] == pytest.approx((0.375, 0.375))
    assert rated["espresso"] is None
    assert rated["Dog, domestic animal"] == pytest.approx((0.125, 0.5))


def test_a_name_without_norms_takes_the_nearest_broader_term(norms: Path, wordnet: Path) -> None:
    terms = WordNet(wordnet)
    assert terms.broader_terms("husky") == [["dog", "domestic dog"], ["animal"]]
    assert terms.broader_terms("unheard of") == []
    rated = rate_classes(["Siberian husky", "spoon"], read_norms(norms), terms)
    assert rated == {"Siberian husky": (0.25, 0.75), "spoon": None}


def test_a_table_for_an_engine_of_named_classes_is_built_by_one_command(norms: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("class,concept\n0,tabby cat\n1,tiger cat\n2,espresso\n3,crane (bird)\n")
    out = tmp_path / "dreams-128_concepts.json"
    main(["--classes", str(tmp_path / "classes.csv"), "--norms", str(norms), "--out", str(out)])
    lexicon = load_lexicon(out)
    assert lexicon.engine == "dreams-128"
    assert lexicon.names == ("tabby cat", "tiger cat", "espresso", "crane (bird)")
    assert lexicon.themes == ("cat", "cat", "espresso", "crane")
    assert lexicon.ratings[0].tolist() == [0, 0.5]
    assert lexicon.ratings[2] == pytest.approx(lexicon.ratings[:2].mean(0), abs=1e-3)
    assert json.loads(out.read_text())["unknown"] == ["espresso", "crane (bird)"]


def test_names_may_stand_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("goldfish\n\n great white shark \n")
    assert read_class_names(tmp_path / "names.txt") == ["goldfish", "great white shark"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Word,V.Mean.Sum\ncat,5\n", r"has no column A\.Mean\.Sum; give Word"),
        ("Word,V.Mean.Sum,A.Mean.Sum\ncat,5,nan\n", "rates 'cat' outside 1 to 9"),
    ],
)
def test_broken_norms_are_refused_with_the_rule_and_the_value(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "norms.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_norms(tmp_path / "norms.csv")


def test_classes_none_of_which_is_known_are_refused(norms: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("zzz\n")
    files = ["--classes", str(tmp_path / "names.txt"), "--norms", str(norms), "--out", str(tmp_path / "t.json")]
    with pytest.raises(ValueError, match="none of 1 classes has a word with a norm"):
        main(files)


def test_a_table_needs_ratings_of_photos_or_norms_of_words(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path / "t.json")])
