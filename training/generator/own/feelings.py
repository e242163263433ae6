"""Words for feelings, as names of folders, and where they lie: arousal and valence of pictures that people call so.

Source: the circumplex of affect (Russell 1980), for the order of words around the circle. Differs: distances from the
middle are those of rated photos, whose arousal seldom leaves -0.7 to 0.5.
"""

from collections.abc import Mapping

__all__ = ["FEELINGS", "find_feeling"]

FEELINGS: Mapping[str, tuple[float, float]] = {  # word → arousal, valence, each in [-1, 1]
    "joyful": (0.4, 0.7),
    "happy": (0.3, 0.7),
    "cheerful": (0.35, 0.65),
    "playful": (0.4, 0.55),
    "bright": (0.2, 0.5),
    "hopeful": (0.1, 0.5),
    "romantic": (0.05, 0.6),
    "excited": (0.6, 0.5),
    "energetic": (0.6, 0.4),
    "triumphant": (0.55, 0.6),
    "wild": (0.65, 0.1),
    "tense": (0.5, -0.35),
    "nervous": (0.45, -0.3),
    "anxious": (0.5, -0.45),
    "angry": (0.6, -0.6),
    "aggressive": (0.65, -0.5),
    "scary": (0.6, -0.65),
    "fearful": (0.55, -0.6),
    "threatening": (0.5, -0.55),
    "stormy": (0.5, -0.2),
    "dark": (0.1, -0.45),
    "eerie": (0.2, -0.35),
    "mysterious": (0.1, -0.1),
    "sad": (-0.3, -0.55),
    "gloomy": (-0.2, -0.45),
    "lonely": (-0.35, -0.4),
    "melancholic": (-0.4, -0.3),
    "bored": (-0.6, -0.2),
    "neutral": (0.0, 0.0),
    "nostalgic": (-0.3, 0.1),
    "dreamy": (-0.45, 0.3),
    "quiet": (-0.6, 0.2),
    "calm": (-0.55, 0.4),
    "relaxed": (-0.55, 0.5),
    "peaceful": (-0.6, 0.55),
    "serene": (-0.6, 0.5),
    "tender": (-0.3, 0.55),
    "warm": (-0.1, 0.5),
}
NOUNS = {  # other forms of a word above
    "joy": "joyful",
    "happiness": "happy",
    "excitement": "excited",
    "energy": "energetic",
    "tension": "tense",
    "anxiety": "anxious",
    "anger": "angry",
    "fear": "fearful",
    "darkness": "dark",
    "sadness": "sad",
    "loneliness": "lonely",
    "melancholy": "melancholic",
    "nostalgia": "nostalgic",
    "calmness": "calm",
    "peace": "peaceful",
    "serenity": "serene",
    "tenderness": "tender",
    "warmth": "warm",
}


def find_feeling(word: str) -> tuple[float, float] | None:
    """Arousal and valence that a word stands for, in any case; None where it names no feeling."""
    plain = word.strip().lower()
    return FEELINGS.get(NOUNS.get(plain, plain))
