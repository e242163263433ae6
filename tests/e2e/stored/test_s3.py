"""A real S3 server as a store: the rules of all stores, credentials, and links that expire."""

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.seaweed import SeaweedFs, start_seaweed
from tests.unit.composer.stored.rules import RULES

pytest.importorskip("boto3")
from services.composer.stored.s3_store import S3Store
from services.composer.stored.store import Store, StoreError, VersionConflict


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFs]:
    with start_seaweed(tmp_path_factory.mktemp("seaweed")) as running:
        yield running


@pytest.fixture
def s3_store(server: SeaweedFs, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> S3Store:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return S3Store(server.bucket, f"{abs(hash(request.node.name))}/", server.endpoint)


def status(link: str) -> int:
    """What the server answers to a link."""
    try:
        with urllib.request.urlopen(link) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_bucket_keeps_the_rules_of_stores(
    s3_store: S3Store, tmp_path: Path, rule: Callable[[Store, Path], None]
) -> None:
    rule(s3_store, tmp_path)


def test_a_write_whose_answer_was_lost_meets_itself(s3_store: S3Store) -> None:
    s3_store.create("one", b"first")
    s3_store.create("one", b"first")
    version = s3_store.read("one").version
    for _ in range(2):
        s3_store.replace("one", b"second", version)
    with pytest.raises(VersionConflict):
        s3_store.create("one", b"first")


def test_a_wrong_secret_is_a_store_error(server: SeaweedFs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment(secret="wrong").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match=r"refuses \(403\)"):
        S3Store(server.bucket, "", server.endpoint)


def test_a_missing_bucket_is_a_store_error(server: SeaweedFs, s3_store: S3Store) -> None:
    with pytest.raises(StoreError, match="no-such-bucket refuses"):
        S3Store("no-such-bucket", "", server.endpoint)


def test_a_server_that_is_frozen_fails_reads_within_seconds_and_heals(s3_store: S3Store, server: SeaweedFs) -> None:
    s3_store.create("one", b"first")
    os.kill(server.pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        for look in (s3_store.read, s3_store.age_s, lambda name: list(s3_store.list(name))):
            with pytest.raises(StoreError, match="cannot be reached"):
                look("one")
        assert time.monotonic() - began < 3 * 10
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert s3_store.read("one").content == b"first"


def test_a_link_needs_no_key_and_ends(s3_store: S3Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a story")
    s3_store.put("video", tmp_path / "file")
    link = s3_store.link("video", "story.mp4", 2)
    with urllib.request.urlopen(link) as answer:
        assert answer.read() == b"a story"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="story.mp4"'
    assert status(link.replace("video", "other")) == 403
    give_up_at = time.monotonic() + 20
    while (code := status(link)) == 200 and time.monotonic() < give_up_at:
        time.sleep(0.2)
    assert code == 403
