"""Reads from the environment how a service authenticates callers and whether it uses TLS."""

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

CALLS_LOGGER = "deepsing.runtime.guard"  # logs a line for every call
logger = logging.getLogger(__name__)


def security_from_environment(service: str, environ: Mapping[str, str] = os.environ) -> ServerSecurity:
    """Reads DEEPSING_ACCESS_* and DEEPSING_SERVER_TLS_*.

    Args:
        service: its name; keys may be limited to services.
        environ: where to look.

    Raises:
        SettingsError: a value breaks its rule, a file cannot be used, or a variable is unknown: a typing error must not
            leave a service open.
    """
    if not any(name.startswith((ACCESS_PREFIX, TLS_PREFIX)) for name in environ):
        return ServerSecurity()
    access, tls = (
        _read_settings(AccessSettings, ACCESS_PREFIX, environ),
        _read_settings(TlsSettings, TLS_PREFIX, environ),
    )
    from deepsing.access.tls import load_server_credentials  # imported only if TLS or keys are asked for

    credentials = load_server_credentials(tls)
    if access.keys_file is None and access.jwks_file is None:
        if access != AccessSettings():
            raise SettingsError(
                f"{ACCESS_PREFIX}* is set in part; set {ACCESS_PREFIX}KEYS_FILE or …JWKS_FILE, or nothing"
            )
        return ServerSecurity(credentials=credentials)
    from deepsing.access.interceptor import AuthInterceptor

    auth = AuthInterceptor(service, access)
    logging.getLogger(CALLS_LOGGER).setLevel(logging.INFO)  # callers are logged even if nothing else is
    host = environ.get(f"{SERVER_PREFIX}HOST", "127.0.0.1")
    if credentials is None and not _is_loopback(host):
        logger.warning("keys are required on %s without TLS: they cross the network in the clear", host)
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
