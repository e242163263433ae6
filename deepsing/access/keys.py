"""API keys: 256 random bits that are shown once and kept as a salted SHA-256.

A plain hash is enough: the slow ones (bcrypt, argon2) are for passwords, which can be guessed; 256 bits cannot.
A key holds its id, so that looking it up costs the same whether there is one key or a thousand, known or not.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["ApiKey", "KEY_ID", "KEY_PREFIX", "find_key", "new_key"]

KEY_PREFIX = "deepsing_"  # scanners for leaked secrets find it
KEY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
SECRET_BYTES, SALT_BYTES = 32, 16
_KEY = re.compile(rf"{KEY_PREFIX}({KEY_ID.pattern})_[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True)
class ApiKey:
    """What is kept of a key; limits that are None are those of the settings, 0 is no limit."""

    id: str
    salt: str  # hex
    sha256: str  # of salt and key, hex
    created: datetime
    expires: datetime | None = None  # from then on it is refused; None is never
    services: tuple[str, ...] = ()  # that it opens; none named: all
    streams: int | None = None
    requests_per_minute: int | None = None
    work_s_per_day: float | None = None

    def is_valid_for(self, service: str, now: datetime) -> bool:
        """Whether it is good for a service now."""
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
    """Makes a key; returns its text, which is not to be had again, and what is kept of it."""
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
    """Finds the key with this text, in the same steps whether there is one or not.

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
