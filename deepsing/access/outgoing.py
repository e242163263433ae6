"""The caller's side: channels that speak TLS and present a key, which never crosses a network in the clear unasked."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import grpc

from deepsing.access.watched import WatchedFiles
from deepsing.rpc import channel as plain
from deepsing.rpc.workarounds import wrap_each_call
from deepsing.runtime.settings import SettingsError, settings_from_environment
from deepsing.telemetry.outgoing import propagate_ids

__all__ = ["ChannelSettings", "Tls", "open_channel", "open_service_channel", "watch_key_file"]

CHANNEL_PREFIX = "DEEPSING_CHANNEL_"
MESSAGE_BYTES = 4 * 2**20
KEY_CHARACTERS = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Tls:
    """How a channel knows its server, and shows itself; PEM files."""

    ca: Path | None = None  # of the server; None are the public ones that gRPC brings
    certificate: Path | None = None  # for servers that ask for one (mTLS)
    key: Path | None = None


@dataclass(frozen=True)
class ChannelSettings:
    """How a service calls others; read from DEEPSING_CHANNEL_TLS and so on."""

    key_file: Path | None = None  # holds the API key, or a token, that is presented; read again when it changes
    tls: bool = False  # with the public CAs; not needed beside tls_ca
    tls_ca: Path | None = None  # PEM
    tls_certificate: Path | None = None  # PEM, for mTLS
    tls_key: Path | None = None  # PEM
    plaintext_key: bool = False  # lets a key go to other machines without TLS

    def to_tls(self) -> Tls | None:
        """The TLS that is asked for, if any."""
        if not (self.tls or self.tls_ca or self.tls_certificate or self.tls_key):
            return None
        return Tls(self.tls_ca, self.tls_certificate, self.tls_key)

    @classmethod
    def from_environment(cls) -> "ChannelSettings":
        """Reads DEEPSING_CHANNEL_*; raises SettingsError."""
        return settings_from_environment(cls, CHANNEL_PREFIX)


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
        key: API key or token, or what returns one for each call.
        tls: None is plaintext. Files are read now; new ones count for channels opened later.
        plaintext_key: lets a key go to another machine without TLS.

    Raises:
        SettingsError: a key would cross a network in the clear, it cannot be sent, or TLS's files cannot be used.
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
    """Returns what reads the key in a file, anew when the file changes.

    Raises:
        SettingsError: there is no key in it.
    """
    try:
        return WatchedFiles([path], lambda: _check_key(path.read_text(encoding="utf-8").strip(), str(path))).value
    except (OSError, ValueError) as error:
        raise SettingsError(f"the key file {path} cannot be used: {error}") from None


def is_local(target: str) -> bool:
    """Whether a target is surely this machine."""
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
        raise SettingsError("a certificate of one's own and its key go together; give both, or neither")
    try:
        ca, key, certificate = (
            None if path is None else Path(path).read_bytes() for path in (tls.ca, tls.key, tls.certificate)
        )
    except OSError as error:
        raise SettingsError(f"TLS: {error.filename} cannot be read ({error.strerror})") from None
    return grpc.ssl_channel_credentials(ca, key, certificate)
