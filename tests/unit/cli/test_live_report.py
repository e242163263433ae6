"""What `deepsing live` prints of a story: a line for people, JSON for programs."""

import json

import pytest

from deepsing.cli import live as module
from deepsing.cli.live import LiveReport
from deepsing.v1.composer_pb2 import Frame, FramesDropped, Heartbeat, SessionEnd


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    now = {"s": 1000.0}
    monkeypatch.setattr(module.time, "monotonic", lambda: now["s"])
    return now


def feed_report(report: LiveReport, clock: dict[str, float]) -> None:
    """Three seconds at 10 frames a second, each 0.2 s late; frame 5 is missing."""
    for seq in range(30):
        clock["s"] = 1000.2 + seq / 10
        if seq == 5:
            report.take(FramesDropped(first_seq=5, frame_count=1), 1000.0)
        else:
            report.take(Frame(seq=seq, pts_us=seq * 100_000), 1000.0)
        report.take(Heartbeat(lag_us=150_000), 1000.0)
    report.finish(SessionEnd(duration_us=3_000_000))


def test_programs_get_a_line_a_second_and_one_at_the_end(
    clock: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    feed_report(LiveReport(as_json=True), clock)
    *lines, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [line["frames"] for line in lines] == [8, 18, 28]
    assert lines[-1] == {
        "time_s": 2.8,
        "frames": 28,
        "frames_per_second": 10.5,
        "lag_s": 0.2,
        "composer_lag_s": 0.15,
        "dropped": 1,
    }
    assert last == {
        "end": True,
        "duration_s": 3.0,
        "frames": 29,
        "dropped": 1,
        "lag_p50_s": 0.2,
        "lag_p99_s": 0.2,
        "lag_longest_s": 0.2,
        "lags": 29,
        "warnings": [],
    }


def test_people_get_a_summary_on_standard_error(clock: dict[str, float], capsys: pytest.CaptureFixture[str]) -> None:
    feed_report(LiveReport(as_json=False), clock)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "3.0 s of live story: 29 frames, 1 dropped; lag 0.20 s (median), 0.20 s (99 %), 0.20 s (longest)\n"
    )


def test_what_a_viewer_should_know_of_the_story_is_said_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    end = SessionEnd(duration_us=3_000_000, warnings=["nothing of what may be shown feels sad", "two pictures"])
    LiveReport(as_json=False).finish(end)
    assert capsys.readouterr().err.splitlines()[1:] == [
        "note: nothing of what may be shown feels sad",
        "note: two pictures",
    ]
    LiveReport(as_json=True).finish(end)
    assert json.loads(capsys.readouterr().out)["warnings"] == list(end.warnings)
