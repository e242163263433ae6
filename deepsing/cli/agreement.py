"""How closely the pictures follow the song, in one sentence; the numbers are in the JSON and the manifest."""

from deepsing.v1 import sentiment_pb2
from deepsing.v1.composer_pb2 import SessionEnd

__all__ = ["describe_agreement"]

MIN_DURATION_S = 60.0  # a shorter story shows some six concepts or fewer, so few moments decide the correlation
MIN_PAIRS = 30  # frames that were compared
DEGREES = (  # least correlation, and what is said of it
    (0.9, "follow the song's feeling closely"),
    (0.7, "follow the song's feeling"),
    (0.4, "follow the song's feeling loosely"),
    (-1.0, "hardly follow the song's feeling"),
)
RATERS = {
    sentiment_pb2.RATING_SOURCE_PEOPLE: "by people's ratings of what is shown",
    sentiment_pb2.RATING_SOURCE_MODEL: "by a model's ratings of what is shown; nobody was asked",
    sentiment_pb2.RATING_SOURCE_UNSPECIFIED: "by the ratings of what is shown",
}


def describe_agreement(end: SessionEnd) -> str:
    """Says how closely the pictures follow the song; empty where the story is too short to say.

    Args:
        end: of the story. The lower one of its two correlations decides.
    """
    pairs = min(end.arousal.n, end.valence.n)
    if end.duration_us < MIN_DURATION_S * 1e6 or pairs < MIN_PAIRS:
        return ""
    lowest = min(end.arousal.r, end.valence.r)
    words = next(words for least, words in DEGREES if lowest >= least or least == -1.0)
    unknown = RATERS[sentiment_pb2.RATING_SOURCE_UNSPECIFIED]
    return f"The pictures {words} (r {lowest:.2f} {RATERS.get(end.rated_by, unknown)})."
