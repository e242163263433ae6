"""Settings: frozen dataclasses, read once from the environment at start; errors name the variable."""

import dataclasses
import math
import os
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["settings_from_environment", "ServerSettings", "SettingsError", "Between", "SERVER_PREFIX"]

SERVER_PREFIX = "DEEPSING_SERVER_"
T = TypeVar("T")


class SettingsError(ValueError):
    """A variable of the environment has a bad value; the message names variable, value and rule."""


@dataclasses.dataclass(frozen=True)
class Between:
    """The bounds of a number, ends included: `port: Annotated[int, Between(0, 65535)]`."""

    low: float
    high: float = math.inf


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """How a service's process listens; read from DEEPSING_SERVER_HOST and so on."""

    host: str = "127.0.0.1"  # containers set 0.0.0.0
    port: Annotated[int, Between(0, 65535)] = 50051  # 0 takes a free one
    grace_s: Annotated[float, Between(0, 86400)] = 30.0  # how long running calls may continue after SIGTERM
    max_deadline_s: Annotated[float, Between(0.001, 86400)] = 120.0  # cap for unary calls
    max_concurrent_rpcs: Annotated[int, Between(1)] = 1024  # calls at a time; health checks do not count
    max_rpcs_per_caller: Annotated[int, Between(1)] | None = (
        None  # of one key or token; without keys, of one machine; unset: half
    )
    max_rpcs_per_connection: Annotated[int, Between(1)] = 256  # of any kind; a client's further calls wait there
    max_connections: Annotated[int, Between(1)] = 4096  # further ones are closed
    idle_connection_s: Annotated[float, Between(1, 86400)] = 300.0  # a connection without a call is closed after this
    handshake_s: Annotated[float, Between(0.1, 300)] = 10.0  # for a new connection to begin to speak (TLS, HTTP/2)
    first_message_s: Annotated[float, Between(0.1, 3600)] = 20.0  # for the one message of a call that takes one
    max_message_bytes: Annotated[int, Between(1024, 2**31 - 1)] = 4 * 2**20  # of one request
    keepalive_s: Annotated[float, Between(1, 7200)] = 30.0  # the server's own pings
    min_ping_interval_s: Annotated[float, Between(0.1, 7200)] = 5.0  # clients that ping more often are disconnected
    reuse_port: bool = False  # several processes on one port; the system balances connections, not calls
    health_port: Annotated[int, Between(0, 65535)] | None = None  # health alone, in plaintext, for probes without TLS
    metrics_port: Annotated[int, Between(0, 65535)] | None = None  # metrics over HTTP, in plaintext; unset: none
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


def settings_from_environment(cls: type[T], prefix: str, environ: Mapping[str, str] = os.environ) -> T:
    """Builds settings from variables named `prefix` + the field's name in capitals.

    Args:
        cls: a frozen dataclass; its fields are str, int, float, bool, Path, Literal[...] of strings,
            tuple[str, ...] (comma-separated), one of them or None, or Annotated[number, Between(...)].
        prefix: e.g. "DEEPSING_GENERATOR_".
        environ: where to look.

    Raises:
        SettingsError: a value does not fit its field, or a field without a default is not set.
    """
    hints = get_type_hints(cls, include_extras=True)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name, (rule, parse) = prefix + field.name.upper(), _parser_for(hints[field.name])
        if name in environ:
            try:
                values[field.name] = parse(environ[name].strip())
            except ValueError:
                raise SettingsError(f"{name} is {environ[name]!r}; set it to {rule}") from None
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SettingsError(f"{name} is not set; set it to {rule}")
    return cls(**values)


def _parser_for(hint: Any) -> tuple[str, Callable[[str], Any]]:
    """Returns the rule of a field in words, and its parser, which raises ValueError for a text that breaks the rule."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        (rule, parse), bounds = _parser_for(arguments[0]), arguments[1]
        words = f"of {bounds.low} or more" if bounds.high == math.inf else f"from {bounds.low} to {bounds.high}"
        return f"{rule} {words}", lambda text: _check_value(
            parse(text), lambda number: bounds.low <= number <= bounds.high
        )
    if origin in (Union, types.UnionType):
        rule, parse = _parser_for(next(kind for kind in arguments if kind is not types.NoneType))
        return f"{rule}, or nothing", lambda text: parse(text) if text else None
    if origin is Literal:
        return "one of: " + ", ".join(arguments), lambda text: _check_value(text, arguments.__contains__)
    if origin is tuple:
        return "texts separated by commas", lambda text: tuple(part.strip() for part in text.split(",") if part.strip())
    return _PARSERS[hint]


def _check_value(value: Any, fits: Callable[[Any], bool]) -> Any:
    if not fits(value):
        raise ValueError(value)
    return value


_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_PARSERS: dict[Any, tuple[str, Callable[[str], Any]]] = {
    str: ("a text", str),
    int: ("a whole number", int),
    float: ("a number", lambda text: _check_value(float(text), math.isfinite)),
    bool: ("true or false", lambda text: _BOOLEANS[_check_value(text.lower(), _BOOLEANS.__contains__)]),
    Path: ("a path", lambda text: Path(_check_value(text, bool)).expanduser()),
}
