import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator

import pytest

from deepsing.runtime.server import GrpcServer
from deepsing.runtime.settings import ServerSettings
from tests.unit.runtime.echo import Echo, service


@pytest.fixture
async def server() -> AsyncIterator[GrpcServer]:
    server = GrpcServer(service(Echo()), ServerSettings(port=0, metrics_port=0))
    await server.start()
    yield server
    await server.drain(0)


async def fetch_page(server: GrpcServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    """Status, content type, body."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.metrics_port}{path}", method=method, headers=headers)

    def fetch() -> tuple[int, str, str]:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()

    return await asyncio.to_thread(fetch)


async def test_prometheus_finds_our_metrics_and_those_of_the_process(server: GrpcServer) -> None:
    status, kind, text = await fetch_page(server, "/metrics")
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert 'deepsing_serving{service="echo"} 1.0' in text
    assert "process_resident_memory_bytes" in text


async def test_whoever_asks_for_openmetrics_gets_it(server: GrpcServer) -> None:
    _, kind, text = await fetch_page(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


async def test_people_find_a_page_in_words(server: GrpcServer) -> None:
    status, kind, text = await fetch_page(server, "/")
    assert (status, kind) == (200, "text/plain; charset=utf-8")
    assert "Calls refused or failed, by reason of the contract." in text
    assert "serving" in text.splitlines()[0]


async def test_other_paths_and_other_verbs_are_turned_away_with_the_way_out(server: GrpcServer) -> None:
    assert (await fetch_page(server, "/secret"))[::2] == (404, "try / (for people) or /metrics (for Prometheus)\n")
    assert (await fetch_page(server, "/metrics", method="POST"))[::2] == (405, "use GET\n")


async def test_the_port_is_closed_with_the_server_and_says_before_that_nothing_is_served(server: GrpcServer) -> None:
    server._telemetry.set_serving(False)
    assert 'deepsing_serving{service="echo"} 0.0' in (await fetch_page(server, "/metrics"))[2]
    await server.drain(0)
    with pytest.raises(urllib.error.URLError):
        await fetch_page(server, "/metrics")


async def test_a_port_that_is_taken_is_named(server: GrpcServer) -> None:
    second = GrpcServer(service(Echo()), ServerSettings(port=0, metrics_port=server.metrics_port))
    with pytest.raises(RuntimeError, match=f"the metrics port {server.metrics_port} cannot be bound"):
        await second.listen()
    await second.drain(0)


async def test_without_the_setting_there_is_no_port() -> None:
    server = GrpcServer(service(Echo()), ServerSettings(port=0))
    await server.start()
    assert server.metrics_port == 0
    await server.drain(0)
