"""What a service's process does about access: whatever its environment asks for, and nothing by half."""

import ipaddress
import logging
import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from deepsing.access.settings import ACCESS_PREFIX, TLS_PREFIX, AccessSettings, TlsSettings
from deepsing.runtime.server import ServerSecurity
from deepsing.runtime.settings import SERVER_PREFIX, SettingsError, settings_from_environment

__all__ = ["security_from_environment"]

CALLS_LOGGER = "deepsing.runtime.guard"  # writes a line for every call
logger = logging.getLogger(__name__)


def security_from_environment(service: str, environ: Mapping[str, str] = os.environ) -> ServerSecurity:
    """Reads DEEPSING_ACCESS_* and DEEPSING_SERVER_TLS_*.

    Args:
        service: its name, which keys may be bound to.
        environ: where to look.

    Raises:
        SettingsError: a value breaks its rule, a file cannot be used, or a variable is not known: a slip of the pen
            must not leave a door open.
    """
    if not any(name.startswith((ACCESS_PREFIX, TLS_PREFIX)) for name in environ):
        return ServerSecurity()
    access, tls = (
        _read_settings(AccessSettings, ACCESS_PREFIX, environ),
        _read_settings(TlsSettings, TLS_PREFIX, environ),
    )
    from deepsing.access.tls import load_server_credentials  # these are imported by those who want them

    credentials = load_server_credentials(tls)
    if access.keys_file is None and access.jwks_file is None:
        if access != AccessSettings():
            raise SettingsError(
                f"{ACCESS_PREFIX}* is set in part; set {ACCESS_PREFIX}KEYS_FILE or …JWKS_FILE, or nothing"
            )
        return ServerSecurity(credentials=credentials)
    from deepsing.access.interceptor import AuthInterceptor

    auth = AuthInterceptor(service, access)
    logging.getLogger(CALLS_LOGGER).setLevel(logging.INFO)  # who called is kept, whatever else is not
    host = environ.get(f"{SERVER_PREFIX}HOST", "127.0.0.1")
    if credentials is None and not _is_loopback(host):
        logger.warning("keys are asked for on %s without TLS: they cross the network in the clear", host)
    return ServerSecurity((auth,), credentials)


def _read_settings(cls: type[Any], prefix: str, environ: Mapping[str, str]) -> Any:
    known = {prefix + field.name.upper() for field in fields(cls)}
    unknown = sorted(name for name in environ if name.startswith(prefix) and name not in known)
    if unknown:
        raise SettingsError(f"{unknown[0]} is no setting; choose from: {', '.join(sorted(known))}")
    return settings_from_environment(cls, prefix, environ)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
