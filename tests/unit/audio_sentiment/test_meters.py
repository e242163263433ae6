from collections.abc import Iterator

from services.audio_sentiment.meters import listened
from services.audio_sentiment.sentiment import Point
from tests.unit.telemetry.counted import Counted


def test_what_is_heard_is_counted_in_seconds_of_song_and_of_work() -> None:
    counted = Counted()
    point = Point(time_us=0, arousal=0.0, valence=0.0, loudness=0.0, onset_strength=0.0)

    def heard() -> Iterator[Point]:
        assert counted("deepsing_listening_audio_seconds_total") == 0
        yield from [point] * 3

    assert listened(heard()) == [point] * 3
    assert counted("deepsing_listening_audio_seconds_total") == 1.5
    assert 0 < counted("deepsing_listening_compute_seconds_total") < 5
