import math
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from deepsing.telemetry.summary import Scrape, build_scrape, summarize


def scrape(text: str, at_s: float = 0.0) -> Scrape:
    return build_scrape(text_string_to_metric_families(text), at_s)


def waits(*counts: int, name: str = "deepsing_first_frame_seconds") -> str:
    """A histogram's text: how many were at most 1, 2, 4 s, and in all."""
    ends = ("1.0", "2.0", "4.0", "+Inf")
    lines = [f'{name}_bucket{{le="{end}"}} {count}' for end, count in zip(ends, counts, strict=True)]
    return "\n".join([f"# TYPE {name} histogram", *lines, f"{name}_sum 9", f"{name}_count {counts[-1]}"]) + "\n"


COMPOSER = """
deepsing_serving{service="composer"} 1
deepsing_sessions{state="active"} 3
deepsing_sessions{state="pending"} 2
deepsing_frames_dropped_total 7
deepsing_errors_total{reason="A"} 2
deepsing_errors_total{reason="B"} 3
"""


def figures(*texts: str, before: str = "", seconds: float = 2.0) -> Any:
    return summarize(scrape("".join(texts), seconds), scrape(before) if before else None)


def test_a_composer_tells_its_sessions_drops_and_errors() -> None:
    found = figures(COMPOSER)
    assert (found.service, found.serving) == ("composer", True)
    assert (found.sessions_active, found.sessions_pending) == (3, 2)
    assert (found.dropped, found.errors, found.queue, found.realtime) == (7, 5, None, None)


def test_frames_a_second_need_two_looks_at_the_same_process() -> None:
    before = COMPOSER + 'deepsing_frames_made_total{pacing="live"} 10\nprocess_start_time_seconds 5\n'
    after = COMPOSER + 'deepsing_frames_made_total{pacing="live"} 58\n'
    assert figures(after).frames_per_s is None
    assert figures(after, "process_start_time_seconds 5\n", before=before).frames_per_s == 24
    assert figures(after, "process_start_time_seconds 6\n", before=before).frames_per_s is None


def test_a_quantile_is_linear_inside_its_bucket() -> None:
    found = figures(COMPOSER, waits(0, 50, 99, 100))
    assert found.p50_s == 2.0
    assert found.p99_s == 4.0
    assert figures(COMPOSER, waits(100, 100, 100, 100)).p50_s == 0.5


def test_what_lies_above_the_last_bucket_counts_as_its_end() -> None:
    assert figures(COMPOSER, waits(0, 0, 0, 10)).p50_s == 4.0


def test_quantiles_are_those_of_the_time_between_two_looks_if_anything_happened_in_it() -> None:
    before = COMPOSER + waits(100, 100, 100, 100)
    assert figures(COMPOSER, waits(100, 200, 200, 200), before=before).p50_s == 1.5
    assert figures(COMPOSER, waits(100, 100, 100, 100), before=before).p50_s == 0.5


def test_nothing_measured_is_none_not_zero() -> None:
    found = figures(COMPOSER, waits(0, 0, 0, 0))
    assert (found.p50_s, found.p99_s, found.lag_p99_s, found.arousal_r) == (None, None, None, None)


def test_the_agreement_is_the_mean_of_the_stories() -> None:
    text = """
deepsing_story_r_count{dimension="arousal"} 4
deepsing_story_r_sum{dimension="arousal"} 3
deepsing_story_r_count{dimension="valence"} 0
"""
    found = figures(COMPOSER, text)
    assert (found.arousal_r, found.valence_r) == (0.75, None)


def test_other_services_wait_by_their_unary_calls_only() -> None:
    name = "grpc_server_handling_seconds"
    text = 'deepsing_serving{service="generator"} 1\ndeepsing_batch_queue_jobs 4\n'
    unary = waits(0, 10, 10, 10, name=name).replace('{le="', '{grpc_type="unary",le="')
    stream = "\n".join(
        line.replace('grpc_type="unary"', 'grpc_type="bidi_stream"').replace(" 10", " 900")
        for line in unary.splitlines()
        if "_bucket" in line
    )
    found = figures(text, unary, stream, "\n")
    assert (found.queue, found.p50_s) == (4, 1.5)


def test_real_time_is_seconds_of_song_in_a_second_of_work() -> None:
    text = "deepsing_listening_audio_seconds_total 120\ndeepsing_listening_compute_seconds_total 0.5\n"
    assert math.isclose(figures(text).realtime, 240)
