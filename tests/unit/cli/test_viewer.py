"""The page that shows a live story."""

import asyncio

import pytest

from deepsing.cli.viewer import HOST, Viewer
from deepsing.local.failures import CommandError


def read_port(viewer: Viewer) -> int:
    return int(viewer.address.rstrip("/").rpartition(":")[2])


async def send_request(viewer: Viewer, path: str, host: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(HOST, read_port(viewer))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host or f'{HOST}:{read_port(viewer)}'}\r\n\r\n".encode())
    return reader, writer


async def answer(viewer: Viewer, path: str, host: str = "") -> str:
    reader, writer = await send_request(viewer, path, host)
    text = (await asyncio.wait_for(reader.read(), 10)).decode()
    writer.close()
    return text


async def test_the_page_shows_the_stream_of_frames() -> None:
    async with Viewer(0) as viewer:
        page = await answer(viewer, "/")
        assert page.startswith("HTTP/1.1 200 OK")
        assert '<img src="/frames"' in page
        assert "<title>deepsing live</title>" in page


async def test_a_viewer_sees_the_newest_frame_at_once_and_then_each_that_comes() -> None:
    async with Viewer(0) as viewer:
        viewer.show(b"first")
        viewer.show(b"second")
        reader, writer = await send_request(viewer, "/frames")
        assert b"multipart/x-mixed-replace; boundary=frame" in await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(b"second\r\n")) == b"second\r\n"
        viewer.show(b"third")
        assert b"Content-Length: 5" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert await reader.readexactly(5) == b"third"
        writer.close()


async def test_other_paths_are_not_there() -> None:
    async with Viewer(0) as viewer:
        assert (await answer(viewer, "/etc/passwd")).startswith("HTTP/1.1 404")


async def test_a_site_that_has_its_name_lead_here_is_sent_away() -> None:
    async with Viewer(0) as viewer:
        assert (await answer(viewer, "/frames", "evil.example")).startswith("HTTP/1.1 403")
        assert (await answer(viewer, "/", f"localhost:{read_port(viewer)}")).startswith("HTTP/1.1 200")


async def test_a_port_that_is_taken_is_told() -> None:
    async with Viewer(0) as viewer:
        with pytest.raises(CommandError, match="choose another for --view"):
            async with Viewer(read_port(viewer)):
                pass


async def test_viewers_are_sent_away_when_it_is_over() -> None:
    async with Viewer(0) as viewer:
        viewer.show(b"only")
        reader, writer = await send_request(viewer, "/frames")
        await reader.readuntil(b"only\r\n")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
