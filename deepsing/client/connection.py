"""A channel to a composer, and the rules that all calls over it follow: time limit, retries, errors."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from deepsing.access.outgoing import Tls, open_channel
from deepsing.client.errors import DeepsingError, Refused
from deepsing.client.status import convert_error
from deepsing.runtime.settings import SettingsError
from deepsing.v1.composer_pb2_grpc import ComposerServiceStub

if TYPE_CHECKING:
    from deepsing.v1.composer_pb2_grpc import ComposerServiceAsyncStub  # the stub's type; not there at run time

__all__ = ["Connection", "RetryPolicy", "Retries"]

MAX_MESSAGE_BYTES = 16 * 2**20  # a raw frame of 1920 x 1920 is 11 MB
FIRST_PAUSE_S = 0.2  # before the first retry; doubles with each
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True)
class RetryPolicy:
    """How often a call that broke is made again."""

    most: int  # retries in a row without progress; 0 gives up at the first break
    on_retry: Callable[[str], None] | None = None  # is called before each pause, with a sentence for a person


class Retries:
    """Counts the retries of one call, and pauses before each: 0.2 s, 0.4 s, 0.8 s and so on up to 5 s."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._count = 0

    def reset(self) -> None:
        """Begins to count anew, because the call made progress."""
        self._count = 0

    async def pause(self, error: DeepsingError) -> None:
        """Waits before the next retry, as long as the server asked for if it did.

        Raises:
            DeepsingError: `error`, if there have been as many retries in a row as the policy allows.
        """
        if self._count >= self._policy.most:
            raise error
        pause_s = error.retry_after_s or min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**self._count)
        self._count += 1
        if self._policy.on_retry is not None:
            self._policy.on_retry(f"{error}; retry {self._count} of {self._policy.most} in {pause_s:.2g} s")
        await asyncio.sleep(pause_s)


class Connection:
    """What a `Client` calls its composer through.

    Args:
        target: "host:port" of the composer.
        timeout_s: for each call as a whole; None is no limit.
        retry: of calls that a break need not end.
    """

    def __init__(self, target: str, timeout_s: float | None, retry: RetryPolicy) -> None:
        self.target = target
        self.timeout_s = timeout_s
        self.retry = retry
        self._channel: grpc.aio.Channel | None = None

    def open(self, key: str | Callable[[], str] | None, tls: Tls | None, *, plaintext_key: bool) -> None:
        """Opens the channel; raises Refused where the key or the files of TLS cannot be used."""
        try:
            self._channel = open_channel(
                self.target, max_message_bytes=MAX_MESSAGE_BYTES, key=key, tls=tls, plaintext_key=plaintext_key
            )
        except SettingsError as error:
            raise Refused(str(error)) from None

    async def close(self) -> None:
        """Closes the channel, if it is open."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    @property
    def stub(self) -> "ComposerServiceAsyncStub":
        """The composer's methods; RuntimeError where the channel is not open."""
        if self._channel is None:
            raise RuntimeError("the client is not open; use it as `async with Client(…) as client:`")
        return ComposerServiceStub(self._channel)

    @contextmanager
    def convert_errors(self) -> Iterator[None]:
        """Raises failed calls as exceptions of `deepsing.client.errors`."""
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise convert_error(error, self.target) from None
