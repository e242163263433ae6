from collections.abc import Iterator

from services.audio_sentiment.analyser import Point
from services.audio_sentiment.metrics import collect_points
from services.audio_sentiment.readers import Reading
from tests.unit.telemetry.counted import MetricDelta


def test_analysed_audio_and_the_time_it_took_are_counted_in_seconds() -> None:
    delta = MetricDelta()
    point = Point(time_us=0, reading=Reading(0.0, 0.0, 0, 0, (0.5, 0.5)), loudness=0.0, onset_strength=0.0)

    def points() -> Iterator[Point]:
        assert delta("deepsing_listening_audio_seconds_total") == 0
        yield from [point] * 3

    assert collect_points(points()) == [point] * 3
    assert delta("deepsing_listening_audio_seconds_total") == 1.5
    assert 0 < delta("deepsing_listening_compute_seconds_total") < 5
