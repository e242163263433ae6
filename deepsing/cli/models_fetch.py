"""Fetches one file from a path, over HTTP or from S3: resumes a broken transfer, checks the digest, then renames."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from deepsing.local.failures import USAGE, CommandError, missing_extra

__all__ = ["fetch"]

BLOCK_BYTES = 1 << 20
IDLE_LIMIT_S = 60.0  # without a byte
PARTIAL_CONTENT, PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE = 206, 412, 416
RESTARTS = (PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE)
OFFLINE = "without a network, fetch it on another machine and give --from the path of the copy"
Progress = Callable[[int, int | None], None]
"""Takes the bytes fetched so far and those of the whole file, None where that is unknown."""


@dataclass(frozen=True)
class SourceStream:
    """The rest of a file: its stream, the byte it begins at, the size of the whole, and a tag of the version."""

    stream: IO[bytes]
    offset: int
    total: int | None
    version: str


def fetch(source: str, target: Path, *, sha256: str = "", progress: Progress = lambda here, whole: None) -> str:
    """Fetches a file; an existing `target` is replaced only at the end.

    A broken transfer leaves `target` + ".partial"; the next call resumes it if the source still has the same version of
    the file.

    Args:
        source: a path, or a URL that begins with http, https or s3.
        target: where to put it; its folder exists.
        sha256: the digest it must have, in hex; empty accepts any.
        progress: called after each block.

    Returns:
        The file's digest.

    Raises:
        CommandError: the source has no such file, broke off, or its digest is not `sha256`.
    """
    partial, note = target.with_name(f"{target.name}.partial"), target.with_name(f"{target.name}.version")
    version = note.read_text(encoding="utf-8") if note.exists() and partial.exists() else ""
    offset = partial.stat().st_size if version else 0
    with _open(source, offset, version) as opened:
        note.write_text(opened.version, encoding="utf-8")
        here = opened.offset
        with partial.open("ab" if here else "wb") as file:
            while block := _read_block(opened.stream, source):
                file.write(block)
                here += len(block)
                progress(here, opened.total)
    if opened.total is not None and here != opened.total:
        raise CommandError(f"{source} broke off after {here} of {opened.total} bytes; run the command again to resume")
    with partial.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    note.unlink()
    if sha256 and digest != sha256.lower():
        partial.unlink()
        raise CommandError(f"{source} has sha256 {digest}, not {sha256.lower()}; give the right digest or file", USAGE)
    partial.replace(target)
    return digest


def _open(source: str, offset: int, version: str) -> AbstractContextManager[SourceStream]:
    """Opens a source at `offset`, or at its start if it no longer has this version."""
    scheme = urlsplit(source).scheme
    if scheme in ("http", "https"):
        return _open_http(source, offset, version)
    if scheme == "s3":
        return _open_s3(source, offset, version)
    return _open_path(Path(source).expanduser(), offset, version)


def _read_block(stream: IO[bytes], source: str) -> bytes:
    try:
        return stream.read(BLOCK_BYTES)
    except (OSError, HTTPException) as error:
        raise CommandError(f"{source} broke off ({error}); run the command again to resume") from None


@contextmanager
def _open_path(path: Path, offset: int, version: str) -> Iterator[SourceStream]:
    facts = path.stat()
    current = f"{facts.st_size} {facts.st_mtime_ns}"
    with path.open("rb") as file:
        file.seek(offset if version == current else 0)
        yield SourceStream(file, file.tell(), facts.st_size, current)


@contextmanager
def _open_http(url: str, offset: int, version: str) -> Iterator[SourceStream]:
    wanted = {"Range": f"bytes={offset}-", "If-Range": version} if offset and version else {}
    try:
        try:
            answer = _request(url, wanted)
        except urllib.error.HTTPError as error:
            if not wanted or error.code != RANGE_NOT_SATISFIABLE:
                raise
            answer = _request(url, {})
    except urllib.error.HTTPError as error:
        raise CommandError(f"{url} answers {error.code} {error.reason}; check the address", USAGE) from None
    except OSError as error:  # URLError too
        raise CommandError(f"{url} cannot be reached ({getattr(error, 'reason', error)}); {OFFLINE}") from None
    with answer:
        begin = offset if answer.status == PARTIAL_CONTENT else 0
        length = answer.headers.get("Content-Length")
        yield SourceStream(answer, begin, begin + int(length) if length else None, _version_tag(answer.headers))


def _request(url: str, headers: Mapping[str, str]) -> HTTPResponse:
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - http and https only come here
    answer: HTTPResponse = urllib.request.urlopen(request, timeout=IDLE_LIMIT_S)  # noqa: S310
    return answer


def _version_tag(headers: Message) -> str:
    """Returns a tag for If-Range, which must not be a weak one."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


@contextmanager
def _open_s3(url: str, offset: int, version: str) -> Iterator[SourceStream]:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ModuleNotFoundError:
        raise missing_extra("s3:// needs boto3 (an https address does not)", "s3") from None
    parts = urlsplit(url)
    location = {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}
    client = boto3.client("s3")
    offset = offset if version else 0
    wanted = {"Range": f"bytes={offset}-", "IfMatch": version} if offset else {}
    try:
        try:
            answer = client.get_object(**location, **wanted)
        except ClientError as error:
            if not wanted or error.response["ResponseMetadata"]["HTTPStatusCode"] not in RESTARTS:
                raise
            offset, answer = 0, client.get_object(**location)
        yield SourceStream(answer["Body"], offset, offset + answer["ContentLength"], answer["ETag"])
    except (BotoCoreError, ClientError) as error:
        raise CommandError(f"{url} cannot be fetched ({error}); check the address and your credentials") from None
