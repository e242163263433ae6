import pytest

from services.generator.concepts import Concept, concepts_from_json, concepts_to_json, from_rating


def test_the_neutral_of_the_rating_scale_is_zero_and_its_ends_are_one() -> None:
    assert [from_rating(rating) for rating in (1, 4, 7, 5.5)] == [-1, 0, 1, 0.5]


@pytest.mark.parametrize("rating", [0.9, 7.1, float("nan")])
def test_a_rating_off_the_scale_is_refused(rating: float) -> None:
    with pytest.raises(ValueError, match="ratings lie from 1 to 7"):
        from_rating(rating)


def test_concepts_survive_the_way_through_a_file() -> None:
    concepts = [Concept("autumn lake", -0.25, 0.75), Concept("Nebel – grau", 0.0, -0.1)]
    assert concepts_from_json(concepts_to_json(concepts)) == tuple(concepts)


@pytest.mark.parametrize("pair", ["[1.5, 0]", "[0, -2]", "[NaN, 0]"])
def test_a_sentiment_off_the_plane_is_refused(pair: str) -> None:
    with pytest.raises(ValueError, match="the sentiment of 'fog'"):
        concepts_from_json(f'[["fog", {pair[1:-1]}]]')


def test_a_name_must_name_one_concept() -> None:
    with pytest.raises(ValueError, match="two concepts are called 'fog'"):
        concepts_from_json('[["fog", 0, 0], ["fog", 0, 1]]')


def test_themes_and_the_rater_survive_the_way_through_a_file() -> None:
    concepts = [
        Concept("autumn lake", -0.25, 0.75, ("water", "woods"), "people"),
        Concept("fog", 0.0, -0.1, (), "model"),
        Concept("storm", 0.5, -0.5, ("sea",)),
    ]
    assert concepts_from_json(concepts_to_json(concepts)) == tuple(concepts)


def test_concepts_of_which_no_more_is_known_are_written_as_before() -> None:
    assert concepts_to_json([Concept("fog", 0.0, -0.1)]) == '[["fog", 0.0, -0.1]]'


@pytest.mark.parametrize("more", ['["sea"]', '["sea"], "nobody"', '["sea"], "people", 1'])
def test_a_row_of_another_length_or_an_unknown_rater_is_refused(more: str) -> None:
    with pytest.raises(ValueError, match=r"rated by 'nobody'; use people or model|values to unpack"):
        concepts_from_json(f'[["fog", 0, 0, {more}]]')
