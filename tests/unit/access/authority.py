"""A certificate authority, and a maker of tokens, for tests."""

import ipaddress
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

ISSUER, AUDIENCE = "https://issuer.test", "deepsing"


class Authority:
    """Issues certificates for this machine, valid for a day."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._builder(self.subject, self.key).add_extension(x509.BasicConstraints(True, None), True)
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(pem(certificate.sign(self.key, hashes.SHA256())))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Writes a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        places = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = self._builder(subject, key).add_extension(x509.SubjectAlternativeName(places), False)
        certificate_path, key_path = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        certificate_path.write_bytes(pem(builder.sign(self.key, hashes.SHA256())))
        key_path.write_bytes(private_pem(key))
        return certificate_path, key_path

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def private_pem(key: Any) -> bytes:
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


PRIVATE: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def public_jwk(algorithm: str, key: Any = None, **more: str) -> dict[str, Any]:
    public = (key or PRIVATE[algorithm]).public_key()
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
    return {**made, "kid": algorithm, **more}


def write_jwks(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"keys": entries or [public_jwk(algorithm) for algorithm in PRIVATE]}))
    return path


def token(algorithm: str = "RS256", *, key: Any = None, kid: str | None = None, **claims: Any) -> str:
    """A good token, save for what is said of it; a claim that is None is left out."""
    now = int(time.time())
    all_claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600, **claims}
    headers = {"kid": algorithm if kid is None else kid}
    payload = {name: value for name, value in all_claims.items() if value is not None}
    return jwt.encode(payload, key or PRIVATE[algorithm], algorithm=algorithm, headers=headers)
