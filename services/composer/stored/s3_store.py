"""A store in a bucket of S3, or of a compatible server that supports If-None-Match and If-Match on PUT."""

from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.composer.stored.store import Entry, NotFound, StoreError, VersionConflict

__all__ = ["S3Store"]

READ_TIMEOUT_S, READ_ATTEMPTS = 3, 2  # of small objects: callers wait for them
TIMEOUT_S, ATTEMPTS, CONNECTIONS = 10, 4, 16
PRECONDITION_FAILED, CONFLICT = 412, 409  # 409: S3 saw two conditional writes at once and did not take this one


class S3Store:
    """See Store. boto3 finds the credentials: in the environment, in files, or from the machine's role.

    Args:
        bucket: exists already.
        prefix: of the names of all objects, empty or ending in "/".
        endpoint: address of a server that is not Amazon's, e.g. "http://127.0.0.1:8333"; empty is Amazon's.

    Raises:
        StoreError: the bucket cannot be used.
    """

    def __init__(self, bucket: str, prefix: str = "", endpoint: str = "") -> None:
        self._bucket, self._prefix = bucket, prefix
        usual = Config(
            signature_version="s3v4",
            connect_timeout=READ_TIMEOUT_S,
            read_timeout=TIMEOUT_S,
            retries={"mode": "standard", "max_attempts": ATTEMPTS},
            max_pool_connections=CONNECTIONS,
            s3={"addressing_style": "path" if endpoint else "auto"},
        )
        quick = usual.merge(
            Config(read_timeout=READ_TIMEOUT_S, retries={"mode": "standard", "max_attempts": READ_ATTEMPTS})
        )
        with self._translate_errors():
            session = boto3.Session()
            self._client = session.client("s3", endpoint_url=endpoint or None, config=usual)
            self._reader = session.client("s3", endpoint_url=endpoint or None, config=quick)
            self._client.head_bucket(Bucket=bucket)

    def read(self, name: str) -> Entry:
        """See Store."""
        with self._translate_errors():
            answer = self._reader.get_object(**self._object_args(name))
            return Entry(answer["Body"].read(), answer["ETag"])

    def create(self, name: str, content: bytes) -> None:
        """See Store."""
        self._write(name, content, IfNoneMatch="*")

    def replace(self, name: str, content: bytes, version: str) -> None:
        """See Store."""
        self._write(name, content, IfMatch=version)

    def _write(self, name: str, content: bytes, **condition: str) -> None:
        """A conditional write. If it fails because an earlier attempt succeeded unnoticed, it counts as done."""
        try:
            with self._translate_errors():
                self._client.put_object(**self._object_args(name), Body=content, **condition)
        except (VersionConflict, NotFound):
            try:
                there = self.read(name).content
            except NotFound:
                there = b""
            if there != content:
                raise VersionConflict(name) from None

    def put(self, name: str, source: Path) -> None:
        """See Store."""
        with self._translate_errors():
            self._client.upload_file(str(source), self._bucket, self._prefix + name)

    def fetch(self, name: str, target: Path) -> None:
        """See Store."""
        with self._translate_errors():
            self._client.download_file(self._bucket, self._prefix + name, str(target))

    def age_s(self, name: str) -> float:
        """See Store. The present is the Date of the server's answer."""
        with self._translate_errors():
            answer = self._reader.head_object(**self._object_args(name))
            now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
            return float((now - answer["LastModified"]).total_seconds())

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """See Store."""
        asked = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        if after:
            asked["StartAfter"] = self._prefix + after
        with self._translate_errors():
            for page in self._reader.get_paginator("list_objects_v2").paginate(**asked):
                for one in page.get("Contents", ()):
                    yield one["Key"].removeprefix(self._prefix)

    def delete(self, name: str) -> None:
        """See Store."""
        with self._translate_errors():
            self._client.delete_object(**self._object_args(name))

    def link(self, name: str, file_name: str, seconds: int) -> str:
        """A presigned URL."""
        asked = {**self._object_args(name), "ResponseContentDisposition": f'attachment; filename="{file_name}"'}
        with self._translate_errors():
            address: str = self._client.generate_presigned_url("get_object", Params=asked, ExpiresIn=seconds)
            return address

    def _object_args(self, name: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            status = error.response["ResponseMetadata"].get("HTTPStatusCode")
            code = error.response["Error"].get("Code", "")
            if status in (PRECONDITION_FAILED, CONFLICT):
                raise VersionConflict(code) from None
            if code in ("NoSuchKey", "404") and error.operation_name != "HeadBucket":
                raise NotFound(code) from None
            raise StoreError(f"the bucket {self._bucket} refuses ({code}); check it and the credentials") from error
        except (BotoCoreError, boto3.exceptions.Boto3Error) as error:
            raise StoreError(f"the bucket {self._bucket} cannot be reached ({error}); check the endpoint") from error
