"""Settings: frozen dataclasses, read once from the environment at start; errors name the variable."""

import dataclasses
import math
import os
import re
import types
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = [
    "settings_from_environment",
    "check_environment",
    "parse_folders",
    "ServerSettings",
    "SettingsError",
    "Between",
    "SERVER_PREFIX",
]

SERVER_PREFIX = "DEEPSING_SERVER_"
NESTED_PREFIXES = {SERVER_PREFIX: ("DEEPSING_SERVER_TLS_",)}  # of other settings, by the prefix that they begin with
PREFIXES = (  # of all settings; each service reads its own and leaves those of the others alone
    SERVER_PREFIX,
    "DEEPSING_ACCESS_",
    "DEEPSING_CHANNEL_",
    "DEEPSING_AUDIO_SENTIMENT_",
    "DEEPSING_TRANSLATOR_",
    "DEEPSING_GENERATOR_",
    "DEEPSING_COMPOSER_",
)
OTHERS = ("DEEPSING_API_KEY", "DEEPSING_MODELS_DIR", "DEEPSING_REGENERATE")  # of the command line and of tests
# What Kubernetes sets in pods for a Service called deepsing-…, unless enableServiceLinks is false: NAME=value.
SERVICE_LINK = re.compile(
    r"\w+_SERVICE_HOST=[0-9a-f.:]+|\w+_SERVICE_PORT(_\w+)?=\d+|\w+_PORT(_\d+_(TCP|UDP|SCTP))?=\w+://\S+"
    r"|\w+_PORT_\d+_(TCP|UDP|SCTP)_(PROTO=\w+|PORT=\d+|ADDR=[0-9a-f.:]+)"
)
SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
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
    max_rpcs_per_caller: Annotated[int, Between(1)] | None = None  # of a key, or without keys a machine; unset: half
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
        SettingsError: a value is empty or does not fit its field, a field without a default is not set, or a variable
            with this prefix is no setting: it may be meant to protect something.
    """
    hints = get_type_hints(cls, include_extras=True)
    values: dict[str, Any] = {}
    _refuse_unknown(prefix, [prefix + field.name.upper() for field in dataclasses.fields(cls)], environ)  # type: ignore[arg-type]
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name, (rule, parse) = prefix + field.name.upper(), _parser_for(hints[field.name])
        if name in environ:
            if not environ[name].strip():
                raise SettingsError(f"{name} is {environ[name]!r}; set it to {rule}, or leave it out")
            try:
                values[field.name] = parse(environ[name].strip())
            except ValueError:
                raise SettingsError(f"{name} is {environ[name]!r}; set it to {rule}") from None
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SettingsError(f"{name} is not set; set it to {rule}")
    return cls(**values)


def check_environment(environ: Mapping[str, str] = os.environ) -> None:
    """Raises SettingsError for a DEEPSING_ variable that no program of the project reads."""
    for name in sorted(environ):
        known = not name.startswith("DEEPSING_") or name.startswith(PREFIXES) or name in OTHERS
        if not known and not _is_service_link(name, environ[name]):
            choices = ", ".join(f"{prefix}…" for prefix in PREFIXES)
            raise SettingsError(f"{_show(name, environ)}, but there is no such setting; leave it out, or set {choices}")


def parse_folders(variable: str, folders: Iterable[str]) -> list[Path]:
    """The folders of models that a variable names. Raises SettingsError if one is not there or has no manifest."""
    paths = [Path(folder).expanduser() for folder in folders]
    for path in paths:
        if not path.is_dir():
            raise SettingsError(f"{variable} names {str(path)!r}, which is no folder; name one that is there")
        if next(path.glob("*.json"), None) is None:
            raise SettingsError(f"{variable} names {str(path)!r}, which holds no model; name the folder of NAME.json")
    return paths


def _refuse_unknown(prefix: str, known: list[str], environ: Mapping[str, str]) -> None:
    for name in sorted(environ):
        if not name.startswith(prefix) or name in known or name.startswith(NESTED_PREFIXES.get(prefix, ("\0",))):
            continue
        if not _is_service_link(name, environ[name]):
            near = get_close_matches(name, known, 1)
            choices = near[0] if near else f"one of: {', '.join(known)}"
            raise SettingsError(f"{_show(name, environ)}, but there is no such setting; leave it out, or set {choices}")


def _show(name: str, environ: Mapping[str, str]) -> str:
    """A variable with its value, unless that may be secret."""
    value = environ[name]
    return f"{name} is set" if SECRET.search(name) or value.startswith("deepsing_") else f"{name} is {value[:200]!r}"


def _is_service_link(name: str, value: str) -> bool:
    return SERVICE_LINK.fullmatch(f"{name}={value}") is not None


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
        return rule, parse
    if origin is Literal:
        return "one of: " + ", ".join(arguments), lambda text: _check_value(text, arguments.__contains__)
    if origin is tuple:
        return "texts separated by commas", lambda text: tuple(
            _check_value(part.strip(), bool) for part in text.rstrip(", ").split(",")
        )
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
