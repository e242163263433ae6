"""The interceptor that asks every caller who they are, and lets them in as far as their quotas go."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc

from deepsing.access.accounts import Account, Accounts, Quotas, caller_account
from deepsing.access.keys import KEY_PREFIX, ApiKey, find_key
from deepsing.access.keys_file import read_keys
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
FOREIGN = "/grpc."  # reflection: for those who are known, and counted as a request
RECHECK_S = 1.0  # how often an open stream's key is looked at


@dataclass(frozen=True)
class _Caller:
    name: str  # as it stands in logs and messages
    quotas: Quotas
    key: ApiKey | None = None  # None came with a token


class AuthInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Stands inside the guard, and refuses by raising.

    Args:
        service: its name, which keys may be bound to.
        settings: with a file of keys, or of a JWKS, or both.

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
        """Returns the handler of a method to those who may call it.

        Raises:
            Unauthenticated: KEY_MISSING or KEY_INVALID.
            ResourceExhausted: QUOTA_EXCEEDED.
        """
        method: str = handler_call_details.method
        if method.startswith(HEALTH_PREFIX):
            return await continuation(handler_call_details)
        caller = self._identify(handler_call_details.invocation_metadata or ())
        call_facts.get()["caller"] = caller.name
        account = self._accounts.get_or_create(caller.name, caller.quotas)
        account.admit()
        caller_account.set(account)
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith(FOREIGN):
            return handler
        if not (handler.request_streaming or handler.response_streaming):
            return handler
        return self._wrap_stream(handler, caller, account)

    def _identify(self, metadata: Sequence[tuple[str, str | bytes]]) -> _Caller:
        presented = [
            credential for name, value in metadata if (credential := _parse_credential(name, value)) is not None
        ]
        if not presented:
            raise build_key_missing()
        if len(presented) > 1:  # whoever stands between must not be able to choose
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
        return _Caller(f"key {key.id}", Quotas(int(streams), int(requests), work_s), key)

    def _check_token(self, token: str) -> _Caller | None:
        subject = self._tokens.verify(token) if self._tokens else None
        return None if subject is None else _Caller(f"token {subject}", self._quotas)

    def _is_key_still_valid(self, caller: _Caller) -> bool:
        """Whether a key is what it was when the stream began: neither revoked nor expired."""
        if caller.key is None or self._keys is None:
            return True
        now = self._keys.value().get(caller.key.id)
        same = now is not None and now.sha256 == caller.key.sha256
        return same and now is not None and now.is_valid_for(self._service, datetime.now(UTC))

    def _wrap_stream(self, handler: grpc.RpcMethodHandler, caller: _Caller, account: Account) -> grpc.RpcMethodHandler:
        """Counts a stream while it is open, and ends one whose responses go on after its key has become invalid."""

        @asynccontextmanager
        async def count_stream(_context: Any) -> AsyncIterator[None]:
            with account.count_stream():
                yield

        recheck_at = time.monotonic() + RECHECK_S

        def check_key(response: Any) -> Any:
            nonlocal recheck_at
            if time.monotonic() > recheck_at:
                recheck_at = time.monotonic() + RECHECK_S
                if not self._is_key_still_valid(caller):
                    raise build_key_invalid()
            return response

        if not handler.response_streaming:
            return wrap_handler(handler, count_stream)
        return wrap_handler(handler, count_stream, on_response=check_key)


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
    """What a piece of metadata presents: 'authorization: Bearer X', or 'x-api-key: X'; else None."""
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
        return WatchedFiles([path], lambda: read_keys(path))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{ACCESS_PREFIX}KEYS_FILE is {str(path)!r}, which cannot be used: {error}") from None


def _load_tokens(settings: AccessSettings) -> "TokenVerifier | None":
    if settings.jwks_file is None:
        return None
    from deepsing.access.tokens import TokenVerifier  # brings PyJWT and cryptography, which nobody else waits for

    return TokenVerifier(settings)
