"""Settings of access control and TLS."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from deepsing.runtime.settings import Between

__all__ = ["AccessSettings", "TlsSettings", "ACCESS_PREFIX", "TLS_PREFIX"]

ACCESS_PREFIX = "DEEPSING_ACCESS_"
TLS_PREFIX = "DEEPSING_SERVER_TLS_"


@dataclass(frozen=True)
class AccessSettings:
    """Who may call; read from DEEPSING_ACCESS_KEYS_FILE and so on. Without a file of keys or of a JWKS: everybody."""

    keys_file: Path | None = None  # written by `deepsing keys`
    jwks_file: Path | None = None  # public keys of the issuer of tokens, a JSON Web Key Set
    token_issuer: str = ""  # required value of a token's iss
    token_audience: str = ""  # required among a token's aud
    token_scope: str = ""  # required among the words of a token's scope; empty requires none
    token_leeway_s: Annotated[float, Between(0, 300)] = 30.0  # how far clocks may differ
    token_lifetime_s: Annotated[float, Between(1, 31_536_000)] = 86_400.0  # a token that is valid for longer is refused
    one_use_tokens: bool = False  # a token needs a jti and is valid for one call
    streams: Annotated[int, Between(0)] = 0  # open at once, of one key; 0 is no limit
    requests_per_minute: Annotated[int, Between(0)] = 0  # of one key; 0 is no limit
    work_s_per_day: Annotated[float, Between(0)] = 0.0  # seconds of work of one key; 0 is no limit


@dataclass(frozen=True)
class TlsSettings:
    """TLS of a server; read from DEEPSING_SERVER_TLS_CERTIFICATE and so on. Without a certificate: plaintext."""

    certificate: Path | None = None  # PEM: the server's own, then intermediate ones
    key: Path | None = None  # PEM: the private key, without a password
    client_ca: Path | None = None  # PEM: CAs of clients; if set, clients need a certificate (mTLS)
