"""Reads from the environment how a service authenticates callers and whether it uses TLS.

The files of TLS may change while a service runs: new connections use the new ones.
"""

import ipaddress
import logging
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

import grpc

from deepsing.access.outgoing import ChannelSettings
from deepsing.access.permissions import warn_of_open_files
from deepsing.access.settings import ACCESS_PREFIX, TLS_PREFIX, AccessSettings, TlsSettings
from deepsing.access.watched import WatchedFiles
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
    ChannelSettings.from_environment(environ)  # what it calls with must be right, too, before it serves
    if not any(name.startswith((ACCESS_PREFIX, TLS_PREFIX)) for name in environ):
        return ServerSecurity()
    access = settings_from_environment(AccessSettings, ACCESS_PREFIX, environ)
    tls = settings_from_environment(TlsSettings, TLS_PREFIX, environ)
    credentials = _load_server_credentials(tls)
    if access.keys_file is None and access.jwks_file is None:
        if access != AccessSettings():
            raise SettingsError(
                f"{ACCESS_PREFIX}* is set in part; set {ACCESS_PREFIX}KEYS_FILE or …JWKS_FILE, or nothing"
            )
        return ServerSecurity(credentials=credentials)
    from deepsing.access.interceptor import AuthInterceptor  # imported only if keys are asked for

    auth = AuthInterceptor(service, access)
    logging.getLogger(CALLS_LOGGER).setLevel(logging.INFO)  # callers are logged even if nothing else is
    host = environ.get(f"{SERVER_PREFIX}HOST", "127.0.0.1")
    if credentials is None and not _is_loopback(host):
        logger.warning("keys are required on %s without TLS: they cross the network in the clear", host)
    return ServerSecurity((auth,), credentials)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _load_server_credentials(settings: TlsSettings) -> grpc.ServerCredentials | None:
    """Returns the credentials of a port; None if TLS is off.

    Raises:
        SettingsError: a file is missing, cannot be read, or does not fit the others.
    """
    certificate, key, client_ca = settings.certificate, settings.key, settings.client_ca
    if certificate is None or key is None:
        if any(path is not None for path in (certificate, key, client_ca)):
            raise SettingsError(f"{TLS_PREFIX}CERTIFICATE and {TLS_PREFIX}KEY must both be set, or nothing of TLS")
        return None
    paths = [path for path in (certificate, key, client_ca) if path is not None]
    try:
        files = WatchedFiles(paths, lambda: _load_certificates(certificate, key, client_ca), warn_of_open_files)
        warn_of_open_files([key], secret=True)
        first = files.value()
    except (OSError, ValueError) as error:
        names = ", ".join(map(str, paths))
        raise SettingsError(f"{TLS_PREFIX}*: {names} cannot be used: {error}") from None
    latest = [first]

    def reload_if_changed() -> grpc.ServerCertificateConfiguration | None:
        configuration = files.value()
        if configuration is latest[0]:
            return None  # gRPC keeps its current configuration
        latest[0] = configuration
        return configuration

    return grpc.dynamic_ssl_server_credentials(
        first, reload_if_changed, require_client_authentication=client_ca is not None
    )


def _load_certificates(certificate: Path, key: Path, client_ca: Path | None) -> grpc.ServerCertificateConfiguration:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key, password="")  # raises if the two do not match; never prompts
    if client_ca is not None:
        context.load_verify_locations(client_ca)
    return grpc.ssl_server_certificate_configuration(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=None if client_ca is None else client_ca.read_bytes(),
    )
