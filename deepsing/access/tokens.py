"""Tokens of an external issuer: JWTs signed with a key of a JWKS file. PyJWT does the cryptography."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepsing.access.permissions import warn_of_open_files
from deepsing.access.settings import ACCESS_PREFIX, AccessSettings
from deepsing.access.watched import WatchedFiles
from deepsing.runtime.settings import SettingsError

try:
    import jwt
except ModuleNotFoundError:
    raise SettingsError(
        f"{ACCESS_PREFIX}JWKS_FILE is set, but PyJWT is not installed; install 'pyjwt[crypto]'"
    ) from None

__all__ = ["Token", "TokenVerifier"]

ALGORITHMS = {
    "RSA": "RS256",
    "EC": "ES256",
    "OKP": "EdDSA",
}  # by type of key, so that a token cannot choose the algorithm
MIN_RSA_BITS = 2048
MAX_USED_TOKENS = 100_000  # one-use tokens that are remembered


@dataclass(frozen=True)
class Token:
    """A token that was good when it came."""

    subject: str  # whole: who differs in any character is another caller
    kid: str  # of the key that it is signed with


class TokenVerifier:
    """Checks tokens.

    Args:
        settings: with a JWKS file.

    Raises:
        SettingsError: settings are missing or the file cannot be used.
    """

    def __init__(self, settings: AccessSettings) -> None:
        for name in ("token_issuer", "token_audience"):
            if not getattr(settings, name):
                raise SettingsError(f"{ACCESS_PREFIX}{name.upper()} is not set; a JWKS file needs it")
        path = settings.jwks_file or Path()
        self._settings = settings
        self._used: dict[bytes, float] = {}  # by the hash of the jti: when it expires
        try:
            self._keys = WatchedFiles([path], lambda: _read_public_keys(path), warn=warn_of_open_files)
        except (OSError, ValueError) as error:
            raise SettingsError(f"{ACCESS_PREFIX}JWKS_FILE is {str(path)!r}, which cannot be used: {error}") from None

    def verify(self, token: str) -> Token | None:
        """Returns what a token says; None if it is invalid, for whatever reason."""
        try:
            claims, kid = self._decode_claims(token)
            ends = int(claims["exp"])
        except (jwt.PyJWTError, OverflowError):
            return None
        if not _names_somebody(claims["sub"]):
            return None
        if ends - time.time() > self._settings.token_lifetime_s + self._settings.token_leeway_s:
            return None
        words = claims.get("scope", "")
        if self._settings.token_scope and self._settings.token_scope not in str(words).split():
            return None
        if self._settings.one_use_tokens and not self._register_use(claims["jti"], ends):
            return None
        return Token(claims["sub"], kid)

    def trusts(self, token: Token) -> bool:
        """Whether the key that signed a token is still among the issuer's; the token itself may have expired since."""
        return token.kid in self._keys.value()

    def _decode_claims(self, token: str) -> tuple[dict[str, Any], str]:
        """The claims of a token, and the kid of its key."""
        kid = jwt.get_unverified_header(token).get("kid", "")
        key = self._keys.value().get(kid)
        if key is None:
            raise jwt.InvalidKeyError("no such key")
        needed = ["exp", "iss", "aud", "sub", *(["jti"] if self._settings.one_use_tokens else [])]
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS.values()),
            issuer=self._settings.token_issuer,
            audience=self._settings.token_audience,
            leeway=self._settings.token_leeway_s,
            options={"require": needed},
        )
        return claims, kid

    def _register_use(self, jti: object, ends: float) -> bool:
        """Remembers a token; False if it was seen before, or if no more can be remembered."""
        token_id = hashlib.sha256(str(jti).encode(errors="surrogatepass")).digest()  # of one length, however long it is
        now = time.time() - self._settings.token_leeway_s
        if len(self._used) >= MAX_USED_TOKENS:
            self._used = {used: until for used, until in self._used.items() if until > now}
        if token_id in self._used or len(self._used) >= MAX_USED_TOKENS:
            return False
        self._used[token_id] = ends
        return True


def _names_somebody(subject: object) -> bool:
    """Whether a subject is a text that can be seen: an empty one would be the name of all who have none."""
    return isinstance(subject, str) and subject.isprintable() and bool(subject.strip())


def _read_public_keys(path: Path) -> Mapping[str, jwt.PyJWK]:
    """Returns the keys of a JWKS file that tokens may be signed with, by kid; raises ValueError if there are none."""
    content = json.loads(path.read_text(encoding="utf-8"))
    entries = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError('it is not a JSON object {"keys": […]}')
    if any("d" in entry or entry.get("kty") == "oct" for entry in entries):
        raise ValueError("it holds a private key or a shared secret; give it public keys only")
    keys: dict[str, jwt.PyJWK] = {}
    for entry in entries:
        algorithm = ALGORITHMS.get(str(entry.get("kty")), "")
        usable = entry.get("crv") in (None, "P-256", "Ed25519") and entry.get("alg", algorithm) == algorithm
        if not algorithm or not usable or entry.get("use", "sig") != "sig":
            continue  # a set may contain keys for other purposes
        kid = entry.get("kid")
        if not isinstance(kid, str) or not kid or kid in keys:
            raise ValueError(f"kid {kid!r} is missing or there twice")
        try:
            keys[kid] = jwt.PyJWK(entry, algorithm)
        except jwt.PyJWTError as error:
            raise ValueError(f"the key {kid!r} cannot be read: {error}") from None
        if algorithm == "RS256" and keys[kid].key.key_size < MIN_RSA_BITS:
            raise ValueError(f"the RSA key {kid!r} is shorter than {MIN_RSA_BITS} bits")
    if not keys:
        raise ValueError("it holds no public key for RS256, ES256 or EdDSA")
    return keys
