import json
import socket
from collections.abc import AsyncIterator

import pytest

from deepsing.cli import top as top_module
from deepsing.cli.__main__ import build_parser
from deepsing.cli.top import _build_table, _watch, metrics_url
from deepsing.cli.up import _format_top_command
from deepsing.local.failures import CommandError
from deepsing.local.services import NAMES
from deepsing.runtime.server import GrpcServer
from deepsing.runtime.settings import ServerSettings
from tests.unit.runtime.echo import Echo, service

SOON_S = 0.1


@pytest.fixture
async def server() -> AsyncIterator[GrpcServer]:
    server = GrpcServer(service(Echo()), ServerSettings(port=0, metrics_port=0))
    await server.start()
    yield server
    await server.drain(0)


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("127.0.0.1:9464", "http://127.0.0.1:9464/metrics"),
        ("[::1]:9464", "http://[::1]:9464/metrics"),
        ("http://a.example", "http://a.example/metrics"),
        ("https://a.example/inner/metrics", "https://a.example/inner/metrics"),
    ],
)
def test_a_target_is_a_host_and_port_or_a_url(target: str, url: str) -> None:
    assert metrics_url(target) == url


@pytest.mark.parametrize("target", ["", "somewhere", "file:///etc/passwd", "http://", "h:port", "h:99999"])
def test_what_is_no_place_of_metrics_is_refused_with_the_way_out(target: str) -> None:
    with pytest.raises(CommandError, match="give HOST:PORT or a URL of http or https"):
        metrics_url(target)


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "3601"])
def test_an_interval_out_of_range_is_refused(interval: str) -> None:
    arguments = build_parser().parse_args(["top", "--interval", interval])
    with pytest.raises(CommandError, match=r"choose 0\.1 to 3600"):
        arguments.run(arguments)


def test_too_many_targets_are_refused() -> None:
    arguments = build_parser().parse_args(["top", *(f"h:{port}" for port in range(1, 66))])
    with pytest.raises(CommandError, match="65 targets are given; give at most 64"):
        arguments.run(arguments)


async def test_json_has_the_figures_of_those_that_answer_and_why_others_do_not(
    server: GrpcServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        targets = [f"127.0.0.1:{server.metrics_port}", f"127.0.0.1:{silent.getsockname()[1]}", server.address]
        status = await _watch(targets, [metrics_url(target) for target in targets], SOON_S, True)
    first, second, third = json.loads(capsys.readouterr().out)["services"]
    assert status == 0
    assert (first["target"], first["up"], first["serving"]) == (targets[0], True, True)
    assert second == {"target": targets[1], "up": False, "error": "down (Connection refused)"}
    assert third["error"] == "answers, but not with metrics"  # it speaks gRPC


async def test_nobody_there_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = metrics_url(f"127.0.0.1:{silent.getsockname()[1]}")
        assert await _watch(["it"], [url], SOON_S, True) == 1
    assert '"up": false' in capsys.readouterr().out


async def test_where_nobody_watches_the_table_is_printed_once(
    server: GrpcServer, capsys: pytest.CaptureFixture[str]
) -> None:
    target = f"127.0.0.1:{server.metrics_port}"
    assert await _watch([target], [metrics_url(target)], SOON_S, False) == 0
    printed = capsys.readouterr().out
    assert "frames/s" in printed
    assert "serving" in printed


def test_a_row_shows_numbers_as_people_read_them() -> None:
    row = {
        "target": "t", "up": True, "service": "composer", "serving": True, "sessions_active": 3, "sessions_pending": 1,
        "queue": None, "frames_per_s": 23.96, "p50_s": 0.1234, "p99_s": 2.5, "errors": 1200, "lag_p99_s": 0.4,
        "dropped": 0, "arousal_r": 0.9412, "valence_r": None, "realtime": 152.26,
    }  # fmt: skip
    cells = [next(iter(column.cells)) for column in _build_table([row]).columns]
    assert cells[2:] == ["3 + 1", "", "24", "123 ms", "2.50 s", "1200", "400 ms", "0", "0.941", "", "152"]


def test_where_no_services_are_named_the_table_says_which_it_shows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fetch_scrapes(urls: list[str]) -> list[str]:
        return ["down" for _ in urls]

    monkeypatch.setattr(top_module, "fetch_scrapes", fetch_scrapes)
    arguments = build_parser().parse_args(["top", "--interval", "0.1"])
    assert arguments.run(arguments) == 1
    assert "of 127.0.0.1:9464 to 9467; others: deepsing top HOST:PORT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("first", "command"),
    [(9464, "deepsing top"), (7000, "deepsing top 127.0.0.1:7000 127.0.0.1:7001 127.0.0.1:7002 127.0.0.1:7003")],
)
def test_up_names_the_metrics_addresses_where_top_would_not_find_them(first: int, command: str) -> None:
    metrics = {name: f"127.0.0.1:{first + place}" for place, name in enumerate(NAMES)}
    assert _format_top_command(metrics) == command
