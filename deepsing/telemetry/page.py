"""Metrics over HTTP: /metrics for Prometheus, / as text for people."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from deepsing.telemetry.metrics import DECLARED
from deepsing.telemetry.summary import Scrape, Summary, build_scrape, summarize

__all__ = ["MetricsPage"]

TEXT = ("Content-Type", "text/plain; charset=utf-8")


class MetricsPage:
    """An HTTP server in its own threads that shows the metrics of this process; they must be enabled.

    Args:
        host: to listen on.
        port: to listen on; 0 takes a free one.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, host: str, port: int) -> None:
        from prometheus_client import make_wsgi_app, start_http_server

        self._prometheus = make_wsgi_app()
        self._server, self._thread = start_http_server(port, host)
        self._server.set_app(self._answer)
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [TEXT, ("Allow", "GET, HEAD")])
            return [b"use GET\n"]
        if environ["PATH_INFO"] == "/metrics":
            answer: Iterable[bytes] = self._prometheus(environ, start_response)
            return answer
        if environ["PATH_INFO"] != "/":
            start_response("404 Not Found", [TEXT])
            return [b"try / (for people) or /metrics (for Prometheus)\n"]
        start_response("200 OK", [TEXT])
        return [_format_page().encode()]


def _format_page() -> str:
    """Returns the main figures, one a line, and below them every metric with its help text."""
    from prometheus_client import REGISTRY

    now = build_scrape(REGISTRY.collect(), time.monotonic())
    figures = summarize(now)
    state = "serving" if figures.serving else "NOT serving"
    metrics = [f"{name:<36}{_total(now, name):>12.6g}  {metric.text}" for name, metric in sorted(DECLARED.items())]
    lines = [f"deepsing {figures.service}: {state}", "", *_format_figures(figures), ""]
    lines += ["totals since the process started; /metrics has all labels:", "", *metrics, ""]
    return "\n".join(lines)


def _format_figures(figures: Summary) -> list[str]:
    shown = {name: value for name, value in asdict(figures).items() if name not in ("service", "serving")}
    return [f"{name:<36}{value:>12.4g}" for name, value in shown.items() if value is not None]


def _total(now: Scrape, name: str) -> float:
    """Returns the sum of a counter or gauge, or the number of measurements of a histogram."""
    present = next((full for full in (f"{name}_total", f"{name}_count", name) if full in now.samples), name)
    return now.total(present)
