"""Channels with TLS and a key; a key is not sent over a network in plaintext unless that is allowed explicitly."""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import grpc

from deepsing.access.permissions import warn_of_open_files
from deepsing.access.watched import WatchedFiles
from deepsing.rpc import channel as plain
from deepsing.rpc.workarounds import wrap_each_call
from deepsing.runtime.settings import SettingsError, settings_from_environment
from deepsing.telemetry.tracing import propagate_ids

__all__ = ["ChannelSettings", "Tls", "open_channel", "open_service_channel", "watch_key_file"]

CHANNEL_PREFIX = "DEEPSING_CHANNEL_"
MESSAGE_BYTES = 4 * 2**20
KEY_CHARACTERS = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Tls:
    """How a channel verifies its server and identifies itself; PEM files."""

    ca: Path | None = None  # that signed the server's certificate; None is the public CAs that come with gRPC
    certificate: Path | None = None  # of the client, for servers that ask for one (mTLS)
    key: Path | None = None


@dataclass(frozen=True)
class ChannelSettings:
    """How a service calls others; read from DEEPSING_CHANNEL_TLS and so on."""

    key_file: Path | None = None  # contains the API key or token to send; read again when it changes
    tls: bool = False  # with the public CAs; implied by tls_ca
    tls_ca: Path | None = None  # PEM
    tls_certificate: Path | None = None  # PEM, for mTLS
    tls_key: Path | None = None  # PEM
    plaintext_key: bool = False  # allows a key to be sent to other machines without TLS

    def to_tls(self) -> Tls | None:
        """Returns the TLS that the settings ask for, or None."""
        if not (self.tls or self.tls_ca or self.tls_certificate or self.tls_key):
            return None
        return Tls(self.tls_ca, self.tls_certificate, self.tls_key)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "ChannelSettings":
        """Reads DEEPSING_CHANNEL_*; raises SettingsError."""
        return settings_from_environment(cls, CHANNEL_PREFIX, environ)


def open_service_channel(target: str, *, max_message_bytes: int = MESSAGE_BYTES) -> grpc.aio.Channel:
    """Opens a channel to another service as the environment says; see `open_channel`."""
    settings = ChannelSettings.from_environment()
    key = None if settings.key_file is None else watch_key_file(settings.key_file)
    tls, allowed = settings.to_tls(), settings.plaintext_key
    return open_channel(target, max_message_bytes=max_message_bytes, key=key, tls=tls, plaintext_key=allowed)


def open_channel(
    target: str,
    *,
    max_message_bytes: int = MESSAGE_BYTES,
    key: str | Callable[[], str] | None = None,
    tls: Tls | None = None,
    plaintext_key: bool = False,
) -> grpc.aio.Channel:
    """Opens a channel whose calls carry a key and the ids of the call that is being served; close it when done.

    Args:
        target: "host:port" or any gRPC target.
        max_message_bytes: of one message, either way.
        key: API key or token, or a function that returns one for each call.
        tls: None is plaintext. Its files are read now; later changes count for channels opened later.
        plaintext_key: allows a key to be sent to another machine without TLS.

    Raises:
        SettingsError: the key would be sent in plaintext or has invalid characters, or the files of TLS cannot be used.
    """
    if key is not None and tls is None and not plaintext_key and not is_local(target):
        raise SettingsError(
            f"a key for {target} would cross the network in the clear; use TLS (DEEPSING_CHANNEL_TLS_CA, --tls-ca), "
            f"or allow it where nobody can listen ({CHANNEL_PREFIX}PLAINTEXT_KEY=1)"
        )
    get_key = key if callable(key) or key is None else (lambda text=key: text)
    if get_key is not None:
        _check_key(get_key(), "the key")
    secure = None if tls is None else _load_tls(tls)
    channel = propagate_ids(plain.open_channel(target, max_message_bytes=max_message_bytes, tls=secure))
    if get_key is None:
        return channel
    return wrap_each_call(channel, lambda path: ((("authorization", f"Bearer {get_key()}"),), None))


def watch_key_file(path: Path) -> Callable[[], str]:
    """Returns a function that returns the key in a file, read again when the file changes.

    Raises:
        SettingsError: the file has no key.
    """
    try:
        warn = partial(warn_of_open_files, secret=True)
        return WatchedFiles([path], lambda: _check_key(path.read_text(encoding="utf-8").strip(), str(path)), warn).value
    except (OSError, ValueError) as error:
        raise SettingsError(f"the key file {path} cannot be used: {error}") from None


def is_local(target: str) -> bool:
    """Whether a target is certainly this machine."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    addresses = unquote(re.sub(r"^(dns:(///)?|ipv4:|ipv6:|passthrough:///)", "", target)).split(",")
    return all(_is_loopback(re.sub(r":\d+$", "", address).strip("[]")) for address in addresses)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_key(key: str, what: str) -> str:
    if not KEY_CHARACTERS.fullmatch(key):
        raise SettingsError(f"{what} is empty or holds what a key cannot hold; give one line of it, as it was shown")
    return key


def _load_tls(tls: Tls) -> grpc.ChannelCredentials:
    if (tls.certificate is None) != (tls.key is None):
        raise SettingsError("a client's certificate and its key go together; give both, or neither")
    try:
        ca, key, certificate = (
            None if path is None else Path(path).read_bytes() for path in (tls.ca, tls.key, tls.certificate)
        )
    except OSError as error:
        raise SettingsError(f"TLS: {error.filename} cannot be read ({error.strerror})") from None
    return grpc.ssl_channel_credentials(ca, key, certificate)
