"""API keys: 256 random bits that are shown once and stored as a salted SHA-256.

A plain hash is enough: slow ones (bcrypt, argon2) are for passwords, which can be guessed; 256 random bits cannot.
A key contains its id, so that checking one takes the same time however many keys there are, and whether it is known.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["ApiKey", "KEY_ID", "KEY_PREFIX", "find_key", "new_key"]

KEY_PREFIX = "deepsing_"  # so that scanners for leaked secrets find keys
KEY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
SECRET_BYTES, SALT_BYTES = 32, 16
_KEY = re.compile(rf"{KEY_PREFIX}({KEY_ID.pattern})_[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True)
class ApiKey:
    """What is stored of a key; a limit of None is that of the settings, 0 is no limit."""

    id: str
    salt: str  # hex
    sha256: str  # of salt and key, hex
    created: datetime
    expires: datetime | None = None  # it is refused from then on; None is never
    services: tuple[str, ...] = ()  # that it is for; empty is all
    streams: int | None = None
    requests_per_minute: int | None = None
    work_s_per_day: float | None = None

    def is_valid_for(self, service: str, now: datetime) -> bool:
        """Whether it is valid for a service now."""
        return (self.expires is None or now < self.expires) and (not self.services or service in self.services)


def new_key(
    key_id: str,
    *,
    expires: datetime | None = None,
    services: tuple[str, ...] = (),
    streams: int | None = None,
    requests_per_minute: int | None = None,
    work_s_per_day: float | None = None,
) -> tuple[str, ApiKey]:
    """Creates a key; returns its text, which cannot be recovered later, and what to store of it."""
    text = f"{KEY_PREFIX}{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    salt = secrets.token_hex(SALT_BYTES)
    kept = ApiKey(
        key_id,
        salt,
        _digest(salt, text),
        datetime.now(UTC).replace(microsecond=0),
        expires,
        services,
        streams,
        requests_per_minute,
        work_s_per_day,
    )
    return text, kept


def find_key(keys: Mapping[str, ApiKey], text: str) -> ApiKey | None:
    """Finds the key with this text, in the same steps whether it exists or not.

    Args:
        keys: by id.
        text: what a caller presents.
    """
    match = _KEY.fullmatch(text)
    found = keys.get(match[1]) if match else None
    compared = found or _DUMMY_KEY
    same = hmac.compare_digest(_digest(compared.salt, text), compared.sha256)
    return found if same else None


def _digest(salt: str, text: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + text.encode()).hexdigest()


_DUMMY_KEY = ApiKey("", secrets.token_hex(SALT_BYTES), secrets.token_hex(32), datetime.fromtimestamp(0, UTC))
