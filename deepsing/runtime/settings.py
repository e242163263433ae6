"""Settings: frozen dataclasses, read once at the entry from the environment; a bad value names its variable."""

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
    """A variable of the environment breaks its rule; the message names variable, value and rule."""


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
    grace_s: Annotated[float, Between(0, 86400)] = 30.0  # how long calls may go on after SIGTERM
    max_deadline_s: Annotated[float, Between(0.001, 86400)] = 120.0  # cap for unary calls
    max_concurrent_rpcs: Annotated[int, Between(1)] = 1024  # health checks included
    max_message_bytes: Annotated[int, Between(1024, 2**31 - 1)] = 4 * 2**20
    keepalive_s: Annotated[float, Between(1, 7200)] = 30.0  # the server's own pings
    min_ping_interval_s: Annotated[float, Between(0.1, 7200)] = 10.0  # clients that ping faster are cut off
    reuse_port: bool = False  # several processes on one port: connections are balanced, not calls
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
        name = prefix + field.name.upper()
        if name in environ:
            values[field.name] = _parsed(name, environ[name], hints[field.name])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SettingsError(f"{name} is not set; set it to {_rule(hints[field.name])}")
    return cls(**values)


def _parsed(name: str, text: str, hint: Any) -> Any:
    try:
        return _value(text.strip(), hint)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}; set it to {_rule(hint)}") from None


def _value(text: str, hint: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        number = _value(text, arguments[0])
        if not arguments[1].low <= number <= arguments[1].high:
            raise ValueError(text)
        return number
    if origin in (Union, types.UnionType):
        return _value(text, next(kind for kind in arguments if kind is not types.NoneType)) if text else None
    if origin is Literal:
        if text not in arguments:
            raise ValueError(text)
        return text
    if origin is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return _PARSERS[hint](text)


def _truth(text: str) -> bool:
    truths = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in truths:
        raise ValueError(text)
    return truths[text.lower()]


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _path(text: str) -> Path:
    if not text:
        raise ValueError(text)
    return Path(text).expanduser()


_PARSERS: dict[Any, Callable[[str], Any]] = {str: str, int: int, float: _finite, bool: _truth, Path: _path}
_RULES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


def _rule(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        low, high = arguments[1].low, arguments[1].high
        bounds = f"from {low} to {high}" if high < math.inf else f"of {low} or more"
        return f"{_rule(arguments[0])} {bounds}"
    if origin in (Union, types.UnionType):
        return f"{_rule(next(kind for kind in arguments if kind is not types.NoneType))}, or nothing"
    if origin is Literal:
        return "one of: " + ", ".join(arguments)
    return "texts with commas between" if origin is tuple else _RULES[hint]
