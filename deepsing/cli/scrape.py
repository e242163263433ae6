"""Fetches the metrics of services over HTTP."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from urllib.parse import urlsplit

from deepsing.local.failures import USAGE, CommandError
from deepsing.telemetry.summary import Scrape, build_scrape

__all__ = ["metrics_url", "fetch_scrapes"]

LIMIT_S = 3.0
LIMIT_BYTES = 16 * 2**20
NO_PROXY = urllib.request.build_opener(
    urllib.request.ProxyHandler({})
)  # metrics are fetched directly, whatever web proxy is set


def metrics_url(target: str) -> str:
    """Returns the address of a target's metrics: http://HOST:PORT/metrics for HOST:PORT, a URL with a path as it is.

    Raises:
        CommandError: it is neither.
    """
    parts = urlsplit(target if "://" in target else f"http://{target}")
    try:
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or "://" in target)
    except ValueError:  # the port is not a number
        known = None
    if not known:
        raise CommandError(f"{target!r} is not an address of metrics; give HOST:PORT or a URL of http or https", USAGE)
    return parts._replace(path=parts.path.rstrip("/") or "/metrics").geturl()


async def fetch_scrapes(urls: Sequence[str]) -> list[Scrape | str]:
    """Fetches all at once; a text that says why takes the place of each that fails or takes longer than LIMIT_S."""
    return await asyncio.gather(*(asyncio.to_thread(_fetch_scrape, url) for url in urls))


def _fetch_scrape(url: str) -> Scrape | str:
    from prometheus_client.parser import text_string_to_metric_families

    try:
        with NO_PROXY.open(url, timeout=LIMIT_S) as answer:
            text = answer.read(LIMIT_BYTES).decode()
        return build_scrape(text_string_to_metric_families(text), time.monotonic())
    except urllib.error.HTTPError as error:
        return f"answers {error.code}"
    except OSError as error:
        reason = getattr(error, "reason", error)
        return f"down ({getattr(reason, 'strerror', None) or reason})"
    except (ValueError, HTTPException):
        return "answers, but not with metrics"
