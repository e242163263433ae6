"""The translator weighs concepts that the generator paints: same names, same order, same sentiments."""

import numpy as np
import pytest

from services.translator.catalogue import EMBEDDED
from services.translator.lexicon import load_lexicon
from tests.unit.training.generator.test_painting import SHIPPED
from training.generator.painting import open_engine
from training.generator.pictures import load_pictures


def test_the_translators_concepts_are_the_engines_in_their_order() -> None:
    painted = open_engine(SHIPPED).concepts
    lexicon = load_lexicon(EMBEDDED / "canvas_concepts.json")
    assert lexicon.names == tuple(concept.name for concept in painted)
    assert lexicon.names == tuple(picture.name for picture in load_pictures())
    felt = [(concept.arousal, concept.valence) for concept in painted]
    assert lexicon.ratings == pytest.approx(np.array(felt), abs=0.0006)  # the table keeps three decimals
    assert [concept.themes for concept in painted] == [picture.themes for picture in load_pictures()]
    assert [concept.rated_by == "people" for concept in painted] == list(lexicon.by_people)
