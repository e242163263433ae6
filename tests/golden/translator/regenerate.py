"""Writes the concepts that the dictionary chooses for a fixed story: `python -m tests.golden.translator.regenerate`.

Change it on purpose only: a story that changes is another story to everybody who keeps a manifest.
"""

import json
from pathlib import Path

import numpy as np

from services.translator.catalogue import EMBEDDED, table_path
from services.translator.lexicon import load_lexicon
from services.translator.translate import DictionaryTranslator, Passage, translate

STORY = Path(__file__).parent / "story.json"
# From calm and sad over tense to excited and happy, then beyond what any picture reaches.
CURVE = [
    (-0.5, -0.4),
    (-0.4, -0.4),
    (-0.2, -0.5),
    (0.1, -0.5),
    (0.2, -0.2),
    (0.2, 0.2),
    (0.3, 0.5),
    (0.9, 0.9),
    (1, -1),
]
SEED, FIRST_INDEX, RECENT = 20, 100, (3, 14)


def translate_story() -> list[dict[str, object]]:
    """The story, a row per feeling: concepts with their weights, the first noise values, the expected feeling."""
    dictionary = DictionaryTranslator(load_lexicon(table_path("canvas", EMBEDDED)))
    passage = Passage(np.array(CURVE, dtype=np.float64), SEED, FIRST_INDEX, RECENT)
    translation = translate(dictionary, passage)
    return [
        {
            "concepts": {
                dictionary.lexicon.names[concept]: round(float(row[concept]), 5) for concept in np.flatnonzero(row)
            },
            "noise": [round(float(value), 5) for value in noise[:4]],
            "expected": [round(float(value), 5) for value in expected],
        }
        for row, noise, expected in zip(translation.class_weights, translation.noise, translation.expected, strict=True)
    ]


if __name__ == "__main__":
    STORY.write_text(json.dumps(translate_story(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
