"""How a command proves who it is to a service elsewhere: an API key, never on the command line, and TLS."""

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from deepsing.access.outgoing import ChannelSettings, watch_key_file
from deepsing.local.failures import USAGE, CommandError
from deepsing.runtime.settings import SettingsError

__all__ = ["add_credentials", "read_channel_credentials", "read_client_credentials"]

KEY_VARIABLE = "DEEPSING_API_KEY"


def add_credentials(parser: argparse.ArgumentParser) -> None:
    """Adds the credentials that every command takes which may call a service elsewhere."""
    parser.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help=f"holds the API key for --target (default: the key in {KEY_VARIABLE})",
    )
    parser.add_argument("--tls", action="store_true", help="use TLS; trust the public certificate authorities")
    parser.add_argument("--tls-ca", type=Path, metavar="PEM", help="use TLS; trust this certificate authority")


def read_channel_credentials(arguments: argparse.Namespace) -> dict[str, Any]:
    """Reads what `deepsing.access.outgoing.open_channel` takes, from the arguments, else from the environment.

    Raises:
        CommandError: the key file has no key, or a variable breaks its rule.
    """
    try:
        settings = ChannelSettings.from_environment()
        settings = dataclasses.replace(
            settings,
            tls=settings.tls or arguments.tls,
            tls_ca=arguments.tls_ca or settings.tls_ca,
            key_file=arguments.api_key_file or settings.key_file,
        )
        key = os.environ.get(KEY_VARIABLE) or None
        if settings.key_file and (arguments.api_key_file or not key):
            return {"key": watch_key_file(settings.key_file), **_tls_arguments(settings)}
    except SettingsError as error:
        raise CommandError(str(error), USAGE) from None
    return {"key": key, **_tls_arguments(settings)}


def read_client_credentials(arguments: argparse.Namespace) -> dict[str, Any]:
    """Reads the same for `deepsing.client.Client`. Raises CommandError."""
    found = read_channel_credentials(arguments)
    return {"api_key": found["key"], "tls": found["tls"] or False, "plaintext_key": found["plaintext_key"]}


def _tls_arguments(settings: ChannelSettings) -> dict[str, Any]:
    return {"tls": settings.to_tls(), "plaintext_key": settings.plaintext_key}
