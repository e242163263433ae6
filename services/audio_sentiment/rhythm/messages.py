"""Converts what is heard of the rhythm into messages of the contract."""

from deepsing.v1 import sentiment_pb2
from services.audio_sentiment.rhythm.tracker import Beat, RhythmWindow, Tempo

__all__ = ["encode_rhythm", "encode_tempo"]


def encode_rhythm(window: RhythmWindow) -> sentiment_pb2.Rhythm:
    """The message of a window."""
    low, middle, high = window.onsets.T
    return sentiment_pb2.Rhythm(
        low_onsets=low.tobytes(),
        middle_onsets=middle.tobytes(),
        high_onsets=high.tobytes(),
        beats=map(_encode_beat, window.beats),
        forecast=map(_encode_beat, window.forecast),
        tempo=encode_tempo(window.tempo),
    )


def encode_tempo(tempo: Tempo | None) -> sentiment_pb2.Tempo | None:
    """The message of a tempo; None if there is none."""
    if tempo is None:
        return None
    return sentiment_pb2.Tempo(
        beats_per_minute=tempo.beats_per_minute, beats_per_bar=tempo.beats_per_bar, certainty=tempo.certainty
    )


def _encode_beat(beat: Beat) -> sentiment_pb2.Beat:
    return sentiment_pb2.Beat(time_us=beat.time_us, position=beat.position, certainty=beat.certainty)
