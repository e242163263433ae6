import json

import pytest

from tests.golden.translator.regenerate import STORY, translate_story


def test_the_dictionary_tells_the_story_that_was_agreed_on() -> None:
    agreed, now = json.loads(STORY.read_text(encoding="utf-8")), translate_story()
    assert [set(row["concepts"]) for row in now] == [set(row["concepts"]) for row in agreed]  # type: ignore[call-overload]
    for row, golden in zip(now, agreed, strict=True):
        assert row["concepts"] == pytest.approx(golden["concepts"], abs=2e-5)
        assert row["noise"] == pytest.approx(golden["noise"], abs=2e-5)
        assert row["expected"] == pytest.approx(golden["expected"], abs=2e-5)
