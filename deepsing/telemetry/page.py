"""Metrics over HTTP: /metrics for Prometheus, / for people."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from deepsing.telemetry.metrics import DECLARED
from deepsing.telemetry.summary import Scrape, Summary, build_scrape, summarize

__all__ = ["MetricsPage"]

TEXT = ("Content-Type", "text/plain; charset=utf-8")


class MetricsPage:
    """An HTTP server in threads of its own, which shows the metrics of this process; they must be enabled.

    Args:
        host: to listen on.
        port: likewise; 0 takes a free one.

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
            return [b"ask with GET\n"]
        if environ["PATH_INFO"] == "/metrics":
            answer: Iterable[bytes] = self._prometheus(environ, start_response)
            return answer
        if environ["PATH_INFO"] != "/":
            start_response("404 Not Found", [TEXT])
            return [b"/ is for people, /metrics for Prometheus\n"]
        start_response("200 OK", [TEXT])
        return [_format_page().encode()]


def _format_page() -> str:
    """What the process says of itself, a figure a line, and below it every metric with its meaning."""
    from prometheus_client import REGISTRY

    now = build_scrape(REGISTRY.collect(), time.monotonic())
    figures = summarize(now)
    state = "serving" if figures.serving else "NOT serving"
    metrics = [f"{name:<36}{_total(now, name):>12.6g}  {metric.text}" for name, metric in sorted(DECLARED.items())]
    lines = [f"deepsing {figures.service}: {state}", "", *_format_figures(figures), ""]
    lines += ["all since the process began; /metrics has them in full:", "", *metrics, ""]
    return "\n".join(lines)


def _format_figures(figures: Summary) -> list[str]:
    shown = {name: value for name, value in asdict(figures).items() if name not in ("service", "serving")}
    return [f"{name:<36}{value:>12.4g}" for name, value in shown.items() if value is not None]


def _total(now: Scrape, name: str) -> float:
    """Of a counter or gauge its sum, of a histogram how many measurements it has."""
    present = next((full for full in (f"{name}_total", f"{name}_count", name) if full in now.samples), name)
    return now.total(present)
