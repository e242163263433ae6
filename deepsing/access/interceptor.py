"""The interceptor that authenticates callers and enforces their quotas."""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc

from deepsing.access.accounts import Account, Accounts, Quotas, caller_account
from deepsing.access.keys import KEY_PREFIX, ApiKey, find_key
from deepsing.access.keys_file import read_keys
from deepsing.access.permissions import warn_of_open_files
from deepsing.access.settings import ACCESS_PREFIX, AccessSettings
from deepsing.access.watched import WatchedFiles
from deepsing.rpc.errors import Unauthenticated
from deepsing.rpc.handlers import wrap_handler
from deepsing.runtime.settings import SettingsError
from deepsing.telemetry.logs import call_facts
from deepsing.v1 import error_reason_pb2 as reasons

if TYPE_CHECKING:
    from deepsing.access.tokens import TokenVerifier

__all__ = ["AuthInterceptor", "build_key_missing", "build_key_invalid"]

HEALTH_PREFIX = "/grpc.health.v1.Health/"
FINGERPRINT = 16  # hex digits of a key's hash that tell it from an older one of its name
FOREIGN = "/grpc."  # reflection: needs a credential, and counts as a request
RECHECK_S = 1.0  # how often the key of an open call is checked


LABEL_LENGTH = 128  # characters of a caller in logs and messages


@dataclass(frozen=True)
class _Caller:
    name: str  # whole, for no other caller; a new key of an old name is another
    label: str  # in logs and messages
    quotas: Quotas
    is_valid: Callable[[], bool]  # whether the key, or who signed the token, is still trusted


class AuthInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Runs inside the guard, and refuses calls by raising.

    Args:
        service: its name; keys may be limited to services.
        settings: with a file of keys, a JWKS file, or both.

    Raises:
        SettingsError: a file cannot be used, or a setting is missing.
    """

    def __init__(self, service: str, settings: AccessSettings) -> None:
        self._service = service
        self._quotas = Quotas(settings.streams, settings.requests_per_minute, settings.work_s_per_day)
        self._accounts = Accounts()
        self._keys = _load_keys(settings)
        self._tokens = _load_tokens(settings)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Returns the handler of a method, if its caller may call it.

        Raises:
            Unauthenticated: KEY_MISSING or KEY_INVALID.
            ResourceExhausted: QUOTA_EXCEEDED.
        """
        method: str = handler_call_details.method
        if method.startswith(HEALTH_PREFIX):
            return await continuation(handler_call_details)
        caller = self._identify(handler_call_details.invocation_metadata or ())
        call_facts.get()["caller"] = caller.label
        account = self._accounts.get_or_create(caller.name, caller.quotas, caller.label, caller.is_valid)
        account.admit()
        caller_account.set(account)
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith(FOREIGN):
            return handler
        return _wrap_call(handler, account)

    def _identify(self, metadata: Sequence[tuple[str, str | bytes]]) -> _Caller:
        presented = [
            credential for name, value in metadata if (credential := _parse_credential(name, value)) is not None
        ]
        if not presented:
            raise build_key_missing()
        if len(presented) > 1:  # no proxy in between may choose which one counts
            raise build_key_invalid()
        caller = (
            self._check_key(presented[0]) if presented[0].startswith(KEY_PREFIX) else self._check_token(presented[0])
        )
        if caller is None:
            raise build_key_invalid()
        return caller

    def _check_key(self, text: str) -> _Caller | None:
        key = find_key(self._keys.value(), text) if self._keys else None
        if key is None or not key.is_valid_for(self._service, datetime.now(UTC)):
            return None
        own = (key.streams, key.requests_per_minute, key.work_s_per_day)
        usual = (self._quotas.streams, self._quotas.requests_per_minute, self._quotas.work_s_per_day)
        streams, requests, work_s = (limit if mine is None else mine for mine, limit in zip(own, usual, strict=True))
        name, quotas = f"key {key.id} {key.sha256[:FINGERPRINT]}", Quotas(int(streams), int(requests), work_s)
        return _Caller(name, f"key {key.id}", quotas, lambda: self._is_key_still_valid(key))

    def _check_token(self, text: str) -> _Caller | None:
        verifier = self._tokens
        token = verifier.verify(text) if verifier else None
        if verifier is None or token is None:
            return None
        name = f"token {token.subject}"
        return _Caller(name, _shorten(name), self._quotas, lambda: verifier.trusts(token))

    def _is_key_still_valid(self, key: ApiKey) -> bool:
        """Whether a key is still the same and valid: neither revoked, replaced nor expired."""
        now = self._keys.value().get(key.id) if self._keys else None
        same = now is not None and now.sha256 == key.sha256
        return same and now is not None and now.is_valid_for(self._service, datetime.now(UTC))


def _wrap_call(handler: grpc.RpcMethodHandler, account: Account) -> grpc.RpcMethodHandler:
    """Counts a stream while it is open, and ends any call within RECHECK_S after its key has become invalid."""
    streams = handler.request_streaming or handler.response_streaming

    @asynccontextmanager
    async def count_stream(_context: Any) -> AsyncIterator[None]:
        with account.count_stream() if streams else nullcontext():
            yield

    async def wait(answer: Awaitable[Any], _context: Any = None) -> Any:
        return await _await_while_valid(answer, account.is_valid)

    check_at = time.monotonic() + RECHECK_S

    def check_key(response: Any) -> Any:
        """For responses that come without a wait."""
        nonlocal check_at
        if time.monotonic() > check_at:
            check_at = time.monotonic() + RECHECK_S
            if not account.is_valid():
                raise build_key_invalid()
        return response

    if not handler.response_streaming:
        return wrap_handler(handler, count_stream, wait=wait)
    return wrap_handler(handler, count_stream, on_response=check_key, wait_each=wait)


async def _await_while_valid(answer: Awaitable[Any], is_valid: Callable[[], bool]) -> Any:
    """Awaits an answer. Raises Unauthenticated as soon as the caller's key is found invalid."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as timer:

            def check() -> None:
                if is_valid():
                    checks.append(loop.call_later(RECHECK_S, check))
                else:
                    timer.reschedule(loop.time())

            checks = deque([loop.call_later(RECHECK_S, check)], maxlen=1)
            try:
                return await answer
            finally:
                checks[0].cancel()
    except TimeoutError:
        if timer.expired():
            raise build_key_invalid() from None
        raise


def _shorten(name: str) -> str:
    """A name for the log; of long ones the beginning, and a hash that tells them apart."""
    if len(name) <= LABEL_LENGTH:
        return name
    return f"{name[: LABEL_LENGTH - 17]}…{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def build_key_missing() -> Unauthenticated:
    """The error for a call without a credential."""
    text = "no API key; send it as metadata 'authorization: Bearer …'"
    return Unauthenticated(text, reason=reasons.ERROR_REASON_KEY_MISSING)


def build_key_invalid() -> Unauthenticated:
    """The error for a credential that is unknown, revoked, expired, forged, used up or meant for another service.

    Its words are always the same, so that a caller learns no more than it knew.
    """
    text = "the API key or token is not known here, is not for this service, or has expired; ask for a new one"
    return Unauthenticated(text, reason=reasons.ERROR_REASON_KEY_INVALID)


def _parse_credential(name: str, value: str | bytes) -> str | None:
    """Returns the credential in an item of metadata, 'authorization: Bearer X' or 'x-api-key: X'; else None."""
    if not isinstance(value, str):
        return None
    if name == "x-api-key":
        return value.strip()
    scheme, _, rest = value.partition(" ")
    return rest.strip() if name == "authorization" and scheme.lower() == "bearer" else None


def _load_keys(settings: AccessSettings) -> "WatchedFiles[dict[str, ApiKey]] | None":
    path = settings.keys_file
    if path is None:
        return None
    try:
        return WatchedFiles([path], lambda: read_keys(path), warn=warn_of_open_files)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{ACCESS_PREFIX}KEYS_FILE is {str(path)!r}, which cannot be used: {error}") from None


def _load_tokens(settings: AccessSettings) -> "TokenVerifier | None":
    if settings.jwks_file is None:
        return None
    from deepsing.access.tokens import TokenVerifier  # imports PyJWT and cryptography, which take time

    return TokenVerifier(settings)
