"""deepsing keys: the API keys of callers, in the file that the services read."""

import argparse
import json
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deepsing.access.keys import KEY_ID, ApiKey, new_key
from deepsing.access.keys_file import edit_keys, parse_time, read_keys
from deepsing.access.settings import ACCESS_PREFIX
from deepsing.cli.tables import print_rows
from deepsing.cli.verbs import add_verb
from deepsing.local.failures import USAGE, CommandError

__all__ = ["EXAMPLES", "add_arguments"]

EXAMPLES = """examples:
  deepsing keys add phone-app --file keys.json --expires 90d
  deepsing keys add composer --file keys.json --services audio_sentiment,translator,generator --streams 0
  deepsing keys list --file keys.json
  deepsing keys revoke phone-app --file keys.json

A key is printed once, alone on standard output; the file holds a hash of it. Running services notice the change.
"""
VARIABLE = f"{ACCESS_PREFIX}KEYS_FILE"
COLUMNS = (
    "name", "state", "created", "expires", "services", "streams", "requests_per_minute", "work_s_per_day",
)  # fmt: skip
SERVICES = ("audio_sentiment", "translator", "generator", "composer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verbs of `keys` and their arguments."""
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    adding = add_verb(
        verbs,
        "add",
        "make a key and print it",
        "keys add phone-app --file keys.json --expires 90d",
        "keys add composer --file keys.json --services audio_sentiment,translator,generator --streams 0",
    )
    adding.set_defaults(run=_add)
    adding.add_argument("name", metavar="NAME", help="of the caller, for logs: a-z, 0-9 and -, at most 32")
    adding.add_argument("--expires", metavar="WHEN", help="90d, 12h, or a date such as 2027-01-31 (default: never)")
    adding.add_argument(
        "--services", default="", metavar="A,B", help=f"that it opens, of {', '.join(SERVICES)} (default: all)"
    )
    adding.add_argument("--streams", type=int, metavar="N", help="calls open at a time; 0 is no limit")
    adding.add_argument("--requests-per-minute", type=int, metavar="N", help="calls a minute; 0 is no limit")
    adding.add_argument(
        "--work-s-per-day", type=float, metavar="N", help="seconds of generator time a day; 0 is no limit"
    )
    listing = add_verb(verbs, "list", "list the keys, without their secrets", "keys list --file keys.json")
    listing.set_defaults(run=_list)
    listing.add_argument("--json", action="store_true", help="print a JSON list")
    revoking = add_verb(verbs, "revoke", "remove a key", "keys revoke phone-app --file keys.json")
    revoking.set_defaults(run=_revoke)
    revoking.add_argument("name", metavar="NAME", help="of the key")
    for verb in (adding, listing, revoking):
        verb.add_argument("--file", type=Path, metavar="FILE", help=f"holds the keys (default: {VARIABLE})")


def _add(arguments: argparse.Namespace) -> int:
    name = arguments.name
    if not KEY_ID.fullmatch(name):
        raise CommandError(f"NAME is {name!r}; choose a-z, 0-9 and -, at most 32 of them", USAGE)
    services = tuple(filter(None, arguments.services.split(",")))
    if not set(services) <= set(SERVICES):
        raise CommandError(f"--services is {arguments.services!r}; choose of {', '.join(SERVICES)}", USAGE)
    limits = {limit: getattr(arguments, limit) for limit in ("streams", "requests_per_minute", "work_s_per_day")}
    for limit, value in limits.items():
        if value is not None and not 0 <= value < float("inf"):
            raise CommandError(f"--{limit.replace('_', '-')} is {value}; choose 0 or more", USAGE)
    text, kept = new_key(name, expires=_parse_expiry(arguments.expires), services=services, **limits)
    path = _find_keys_file(arguments)
    try:
        with edit_keys(path) as keys:
            if name in keys:
                raise CommandError(f"{path} has a key {name} already; revoke it, or choose another name", USAGE)
            keys[name] = kept
    except ValueError as error:
        raise CommandError(f"{path} cannot be used: {error}", USAGE) from None
    print(text)
    print(f"deepsing: this is the only time that the key is shown; {path} has its hash", file=sys.stderr)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    path = _find_keys_file(arguments)
    try:
        rows = [_to_row(key) for key in read_keys(path).values()]
    except ValueError as error:
        raise CommandError(f"{path} cannot be used: {error}", USAGE) from None
    if arguments.json:
        print(json.dumps(rows))
        return 0
    print_rows(COLUMNS, [tuple(row.values()) for row in rows])
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    path = _find_keys_file(arguments)
    if not path.exists():
        raise FileNotFoundError(2, "no such file", str(path))
    try:
        with edit_keys(path) as keys:
            if keys.pop(arguments.name, None) is None:
                raise CommandError(f"{path} has no key {arguments.name}; see deepsing keys list", USAGE)
    except ValueError as error:
        raise CommandError(f"{path} cannot be used: {error}", USAGE) from None
    return 0


def _find_keys_file(arguments: argparse.Namespace) -> Path:
    named = arguments.file or os.environ.get(VARIABLE)
    if not named:
        raise CommandError(f"no file of keys is named; give --file, or set {VARIABLE}", USAGE)
    return Path(named)


def _parse_expiry(text: str | None) -> datetime | None:
    if text is None:
        return None
    now = datetime.now(UTC).replace(microsecond=0)
    span = re.fullmatch(r"(\d{1,5})([dh])", text)
    try:
        time = now + timedelta(**{{"d": "days", "h": "hours"}[span[2]]: int(span[1])}) if span else parse_time(text)
    except ValueError:
        raise CommandError(f"--expires is {text!r}; say 90d, 12h, or a date such as 2027-01-31", USAGE) from None
    if time <= now:
        raise CommandError(f"--expires is {text!r}, which is over; choose a time to come", USAGE)
    return time


def _to_row(key: ApiKey) -> dict[str, object]:
    over = key.expires is not None and key.expires <= datetime.now(UTC)
    return {
        "name": key.id,
        "state": "expired" if over else "good",
        "created": key.created.isoformat(),
        "expires": key.expires and key.expires.isoformat(),
        "services": ",".join(key.services) or "all",
        "streams": key.streams,
        "requests_per_minute": key.requests_per_minute,
        "work_s_per_day": key.work_s_per_day,
    }
