"""Checks what a client is given before anything is sent or started: where to call, how long to wait, which file."""

import os
import re

from deepsing.client.errors import Refused

__all__ = ["LONGEST_TIMEOUT_S", "check_path", "check_target", "check_timeout"]

LONGEST_TIMEOUT_S = 365 * 86400.0  # gRPC counts deadlines in nanoseconds since 1970 and takes longer ones for past
SCHEMES = ("dns:", "unix:", "unix-abstract:", "ipv4:", "ipv6:", "xds:", "vsock:", "passthrough:")  # gRPC's own


def check_timeout(seconds: float | None) -> float | None:
    """Returns a limit of time as it is; None is no limit.

    Raises:
        Refused: it is not above 0 and at most LONGEST_TIMEOUT_S.
    """
    if seconds is not None and not 0 < seconds <= LONGEST_TIMEOUT_S:  # false for NaN
        choice = f"choose more than 0 and at most {LONGEST_TIMEOUT_S:.0f} s, or none for no limit"
        raise Refused(f"timeout is {seconds:g} s; {choice}", metadata={"field": "timeout", "value": str(seconds)})
    return seconds


def check_target(target: str) -> str:
    """Returns a gRPC target as it is.

    Raises:
        Refused: it is empty, or its port is no port.
    """
    found = re.fullmatch(r"(?P<host>\[[^\]]+\]|[^:/\[\]]+)(:(?P<port>[^:/]*))?", target)
    is_port = found is None or found["port"] is None or re.fullmatch(r"[0-9]{1,5}", found["port"]) is not None
    if not target.strip() or not is_port or (found is not None and found["port"] and not _is_in_range(found["port"])):
        choice = "give HOST:PORT with a port from 1 to 65535, such as 127.0.0.1:50051"
        raise Refused(f"the target is {target!r}; {choice}", metadata={"field": "target", "value": target[:200]})
    return target


def _is_in_range(port: str) -> bool:
    return 1 <= int(port) <= 65_535


def check_path(path: str | os.PathLike[str], what: str) -> None:
    """Raises Refused where a name is empty, which would mean the current folder; `what` is named so."""
    if not os.fspath(path):
        raise Refused(f"the name of {what} is empty; give a file")
