"""Fetching a model's file: resumed, checked, put in place at once."""

import hashlib
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest

from deepsing.cli.models import BLOCK_BYTES, fetch
from deepsing.cli.web_source import _Redirects
from deepsing.local.failures import CommandError

CONTENT = bytes(range(256)) * (BLOCK_BYTES // 100)  # two and a half blocks
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class FileServer(ThreadingHTTPServer):
    """Serves CONTENT; breaks off after `cut` bytes while it is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cut: int | None = None
        self.tag = '"one"'
        self.says_size = True
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file"


class Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.path.startswith("/moved?"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved?"))
            self.end_headers()
            return
        if self.path != "/file":
            self.send_error(404, "Not Found")
            return
        same = self.headers.get("If-Range") == self.server.tag
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked and same else 0
        if begin >= len(CONTENT):
            self.send_error(416, "Range Not Satisfiable")
            return
        self.send_response(206 if begin else 200)
        if self.server.says_size:
            self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.send_header("ETag", self.server.tag)
        self.end_headers()
        with suppress(ConnectionError):  # who finds it too large leaves
            self.wfile.write(CONTENT[begin : self.server.cut])

    def log_message(self, *_: object) -> None:
        """Keeps the tests' output clean."""


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def break_off_after(file_server: FileServer, target: Path, after: int) -> None:
    file_server.cut = after
    with pytest.raises(CommandError, match=rf"broke off after {after} of {len(CONTENT)} bytes; run the command again"):
        fetch(file_server.url, target)
    assert not target.exists()
    file_server.cut = None


def test_a_file_comes_whole_and_leaves_nothing_beside_it(file_server: FileServer, tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    digest = fetch(file_server.url, tmp_path / "w", sha256=DIGEST.upper(), progress=lambda *news: calls.append(news))
    assert (digest, (tmp_path / "w").read_bytes()) == (DIGEST, CONTENT)
    assert calls[-1] == (len(CONTENT), len(CONTENT))
    assert len(calls) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_what_broke_off_is_gone_on_with(file_server: FileServer, tmp_path: Path) -> None:
    break_off_after(file_server, tmp_path / "w", 1_500_000)
    assert fetch(file_server.url, tmp_path / "w", sha256=DIGEST) == DIGEST
    assert file_server.asked == [None, "bytes=1500000-"]


def test_a_file_that_changed_meanwhile_is_begun_again(file_server: FileServer, tmp_path: Path) -> None:
    break_off_after(file_server, tmp_path / "w", 1_500_000)
    (tmp_path / "w.partial").write_bytes(b"x" * 1_500_000)
    file_server.tag = '"two"'
    assert fetch(file_server.url, tmp_path / "w", sha256=DIGEST) == DIGEST


def test_more_than_the_whole_is_begun_again(file_server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "w.partial").write_bytes(CONTENT + b"more")
    (tmp_path / "w.version").write_text(file_server.tag)
    assert fetch(file_server.url, tmp_path / "w") == DIGEST


def test_a_wrong_digest_puts_nothing_in_place(file_server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"older")
    with pytest.raises(CommandError, match=f"has sha256 {DIGEST}, not 0000"):
        fetch(file_server.url, tmp_path / "w", sha256="0" * 64)
    assert (tmp_path / "w").read_bytes() == b"older"
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_a_missing_file_and_a_missing_server_are_told_apart(file_server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="answers 404 Not Found; check the address"):
        fetch(file_server.url + "s", tmp_path / "w")
    with pytest.raises(
        CommandError,
        match=r"cannot be reached .*without a network, fetch it on another machine and give --from the path",
    ):
        fetch("http://127.0.0.1:1/file", tmp_path / "w")


def test_a_path_is_copied(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    assert fetch(str(tmp_path / "source"), tmp_path / "w") == DIGEST
    with pytest.raises(FileNotFoundError):
        fetch(str(tmp_path / "gone"), tmp_path / "w")


class Bucket:
    """The part of boto3's client that is used, over one object; it breaks off once."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    def get_object(self, **asked: str) -> dict[str, object]:
        self.asked.append(asked)
        begin = int(asked.get("Range", "bytes=0-")[6:-1])
        body = Body(CONTENT[begin:] if begin else CONTENT[:700])
        return {"Body": body, "ContentLength": len(CONTENT) - begin, "ETag": '"one"'}


class Body:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, count: int) -> bytes:
        block, self.content = self.content[:count], self.content[count:]
        return block


def test_an_object_in_s3_is_fetched_and_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boto3 = pytest.importorskip("boto3")
    bucket = Bucket()
    monkeypatch.setattr(boto3, "client", lambda service: bucket)
    with pytest.raises(CommandError, match="broke off after 700"):
        fetch("s3://shelf/some/file", tmp_path / "w")
    assert fetch("s3://shelf/some/file", tmp_path / "w", sha256=DIGEST) == DIGEST
    place = {"Bucket": "shelf", "Key": "some/file"}
    assert bucket.asked == [place, {**place, "Range": "bytes=700-", "IfMatch": '"one"'}]


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.2:1/file",
        "http://localhost:1/file",
        "http://169.254.169.254/latest/meta-data",
        "http://10.1.2.3/file",
        "http://[::1]:1/file",
        "http://[::ffff:10.1.2.3]/file",
        "https://192.168.0.1/file",
        "http://0.0.0.0:1/file",
    ],
)
def test_a_redirect_into_a_private_network_is_not_followed(file_server: FileServer, tmp_path: Path, place: str) -> None:
    with pytest.raises(CommandError, match=r"in a private network .*; give that address to --from if it is meant"):
        fetch(file_server.url.replace("/file", f"/moved?{place}"), tmp_path / "w")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://example.org/file"])
def test_a_redirect_to_another_scheme_is_not_followed(file_server: FileServer, tmp_path: Path, place: str) -> None:
    with pytest.raises(CommandError):
        fetch(file_server.url.replace("/file", f"/moved?{place}"), tmp_path / "w")
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_on_the_same_host_is_followed(file_server: FileServer, tmp_path: Path) -> None:
    assert fetch(file_server.url.replace("/file", "/moved?/file"), tmp_path / "w", sha256=DIGEST) == DIGEST


def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    request = urllib.request.Request("https://example.org/file")
    with pytest.raises(CommandError, match=r"leads to http://example\.com/file, which is not encrypted"):
        _Redirects().redirect_request(request, BytesIO(), 302, "", HTTPMessage(), "http://example.com/file")


@pytest.mark.parametrize("said", [True, False], ids=["that says its size", "that does not"])
def test_a_file_that_is_too_large_is_not_taken(file_server: FileServer, tmp_path: Path, said: bool) -> None:
    file_server.says_size = said
    with pytest.raises(CommandError, match=r"bytes or more; at most 100 are taken"):
        fetch(file_server.url, tmp_path / "w", limit_bytes=100)
    assert not (tmp_path / "w").exists()
    assert not (tmp_path / "w.partial").exists()
