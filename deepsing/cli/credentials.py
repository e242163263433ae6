"""What a command shows to the service that it asks: a key, which is never on the command line, and TLS."""

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
    """Adds what every command takes that may ask a service elsewhere."""
    parser.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help=f"the key to present to --target (default: {KEY_VARIABLE})"
    )
    parser.add_argument("--tls", action="store_true", help="speak TLS with --target; the public CAs vouch for it")
    parser.add_argument("--tls-ca", type=Path, metavar="PEM", help="speak TLS with --target; this CA vouches for it")


def read_channel_credentials(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `deepsing.access.outgoing.open_channel` takes: from the arguments, else from the environment.

    Raises:
        CommandError: there is no key in its file, or a variable breaks its rule.
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
    """The same as `deepsing.client.Client` takes it. Raises CommandError."""
    found = read_channel_credentials(arguments)
    return {"api_key": found["key"], "tls": found["tls"] or False, "plaintext_key": found["plaintext_key"]}


def _tls_arguments(settings: ChannelSettings) -> dict[str, Any]:
    return {"tls": settings.to_tls(), "plaintext_key": settings.plaintext_key}
