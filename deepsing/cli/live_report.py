"""Progress of a live story: frames a second, lag and dropped frames, on a line that updates or as JSON lines."""

import json
import sys
import time
from collections import deque

from deepsing.v1.composer_pb2 import Frame, FramesDropped, Heartbeat, SessionEnd

__all__ = ["LiveReport"]

SPAN_S = 2.0  # over which frames a second are counted
LINE_EVERY_S, TERMINAL_EVERY_S, JSON_EVERY_S = 5.0, 0.25, 1.0
MAX_LAGS = 200_000  # of the last frames, over which the summary is made


class LiveReport:
    """Counts the events of a live story and prints the counts now and then.

    Args:
        as_json: JSON lines on standard output; else a line on standard error.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._terminal = sys.stderr.isatty() and not as_json
        self._every_s = JSON_EVERY_S if as_json else TERMINAL_EVERY_S if self._terminal else LINE_EVERY_S
        self._next_s = time.monotonic() + self._every_s
        self._arrivals_s: deque[float] = deque()
        self._lags_s: deque[float] = deque(maxlen=MAX_LAGS)
        self._time_s = self._composer_lag_s = 0.0
        self._frames = self._dropped = 0

    def take(self, event: object, began_s: float) -> None:
        """Counts an event of the story; `began_s` is when the sound began, on the monotonic clock."""
        now_s = time.monotonic()
        match event:
            case Frame():
                self._time_s, self._frames = event.pts_us / 1e6, self._frames + 1
                self._lags_s.append(max(0.0, now_s - began_s - self._time_s))
                self._arrivals_s.append(now_s)
            case FramesDropped():
                self._dropped += event.frame_count
            case Heartbeat():
                self._composer_lag_s = event.lag_us / 1e6
        while self._arrivals_s and self._arrivals_s[0] < now_s - SPAN_S:
            self._arrivals_s.popleft()
        if now_s >= self._next_s and self._lags_s:
            self._next_s = now_s + self._every_s
            self._print_line()

    def _print_line(self) -> None:
        facts = {
            "time_s": round(self._time_s, 3),
            "frames": self._frames,
            "frames_per_second": round(len(self._arrivals_s) / SPAN_S, 2),
            "lag_s": round(self._lags_s[-1], 3),
            "composer_lag_s": round(self._composer_lag_s, 3),
            "dropped": self._dropped,
        }
        if self._as_json:
            print(json.dumps(facts), flush=True)
            return
        clock = f"{int(self._time_s) // 60}:{int(self._time_s) % 60:02d}"
        line = (
            f"{clock}  {facts['frames_per_second']:.1f} frames/s  lag {facts['lag_s']:.2f} s  {self._dropped} dropped"
        )
        print(
            f"\r{line}   " if self._terminal else line, end="" if self._terminal else "\n", file=sys.stderr, flush=True
        )

    def finish(self, end: SessionEnd) -> None:
        """Prints the summary of the story."""
        lags = sorted(self._lags_s) or [0.0]
        middle_s, high_s = (lags[min(len(lags) - 1, round(share * len(lags)))] for share in (0.5, 0.99))
        facts = {
            "end": True,
            "duration_s": end.duration_us / 1e6,
            "frames": self._frames,
            "dropped": self._dropped,
            "lag_p50_s": round(middle_s, 3),
            "lag_p99_s": round(high_s, 3),
            "lag_longest_s": round(lags[-1], 3),
            "lags": len(self._lags_s),
        }
        if self._as_json:
            print(json.dumps(facts), flush=True)
            return
        start = "\r" if self._terminal else ""
        print(
            f"{start}{facts['duration_s']:.1f} s of live story: {self._frames} frames, {self._dropped} dropped; "
            f"lag {middle_s:.2f} s (median), {high_s:.2f} s (99 %), {lags[-1]:.2f} s (longest)",
            file=sys.stderr,
            flush=True,
        )
