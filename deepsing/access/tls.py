"""TLS of a server, from files that may change: new connections use the new files."""

import ssl
from pathlib import Path

import grpc

from deepsing.access.settings import TLS_PREFIX, TlsSettings
from deepsing.access.watched import WatchedFiles
from deepsing.runtime.settings import SettingsError

__all__ = ["load_server_credentials"]


def load_server_credentials(settings: TlsSettings) -> grpc.ServerCredentials | None:
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
        files = WatchedFiles(paths, lambda: _load_configuration(certificate, key, client_ca))
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


def _load_configuration(certificate: Path, key: Path, client_ca: Path | None) -> grpc.ServerCertificateConfiguration:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key, password="")  # raises if the two do not match; never prompts
    if client_ca is not None:
        context.load_verify_locations(client_ca)
    return grpc.ssl_server_certificate_configuration(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=None if client_ca is None else client_ca.read_bytes(),
    )
