"""Forged, stale and foreign tokens."""

import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from deepsing.access.server_security import security_from_environment
from deepsing.rpc.channel import open_channel
from deepsing.runtime.settings import SettingsError
from tests.unit.access.authority import AUDIENCE, ISSUER, PRIVATE, public_jwk, token, write_jwks
from tests.unit.access.conftest import Serve, add_key, bearer, expect_refusal
from tests.unit.runtime.echo import call

INVALID = ("UNAUTHENTICATED", "KEY_INVALID")
NAMES = {"ACCESS_TOKEN_ISSUER": ISSUER, "ACCESS_TOKEN_AUDIENCE": AUDIENCE, "ACCESS_TOKEN_LEEWAY_S": 5}


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    return write_jwks(tmp_path / "jwks.json")


@pytest.fixture
async def channel(serve: Serve, jwks: Path) -> AsyncIterator[grpc.aio.Channel]:
    server = await serve(ACCESS_JWKS_FILE=jwks, **NAMES)
    async with open_channel(server.address) as channel:
        yield channel


async def hello(channel: grpc.aio.Channel, text: str) -> bytes:
    return await call(channel, "unary_unary", b"hello", metadata=bearer(text))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_good_token_opens(channel: grpc.aio.Channel, algorithm: str) -> None:
    assert await hello(channel, token(algorithm)) == b"hello"
    assert await hello(channel, token(algorithm, aud=["others", AUDIENCE])) == b"hello"


BAD_CLAIMS = {
    "expired": {"exp": -60},
    "without an end": {"exp": None},
    "valid for too long": {"exp": 10**7},
    "end is no number": {"exp": "soon"},
    "not yet valid": {"nbf": 600},
    "issued in the future": {"iat": 600},
    "for others": {"aud": "others"},
    "for nobody": {"aud": None},
    "of another issuer": {"iss": "https://evil.test"},
    "of no issuer": {"iss": None},
    "of nobody": {"sub": None},
}  # numbers are seconds from when the test runs, which may be long after this file was imported


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS)
async def test_claims_that_are_not_good_are_refused_in_the_same_words(
    channel: grpc.aio.Channel, claims: dict[str, object]
) -> None:
    now = int(time.time())
    claims = {name: now + value if isinstance(value, int) else value for name, value in claims.items()}
    answer = await expect_refusal(channel, *bearer(token(**claims)))  # type: ignore[arg-type]
    assert answer == await expect_refusal(channel, *bearer("a.b.c"))
    assert answer[:2] == INVALID


def encode_json(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def body() -> dict[str, object]:
    now = int(time.time())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600}


def sign_with_public_key() -> str:
    """The classic: an HMAC whose secret is what everybody may know."""
    public = (
        PRIVATE["RS256"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    start = f"{encode_json({'alg': 'HS256', 'kid': 'RS256'})}.{encode_json(body())}"
    signature = jwt.get_algorithm_by_name("HS256").sign(start.encode(), public)
    return f"{start}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


OWN_KEY = rsa.generate_private_key(65537, 2048)


def forge_tokens() -> dict[str, str]:
    """Makes a token of each kind that is good now but for its forgery."""
    good, own = token(), OWN_KEY
    head, claims, signature = good.split(".")
    return {
        "alg none": f"{encode_json({'alg': 'none', 'kid': 'RS256'})}.{encode_json(body())}.",
        "alg None with the old signature": f"{encode_json({'alg': 'None', 'kid': 'RS256'})}.{claims}.{signature}",
        "no alg": f"{encode_json({'kid': 'RS256'})}.{claims}.{signature}",
        "hmac with the public key": sign_with_public_key(),
        "another key": token(key=own),
        "another key that it brings": jwt.encode(
            body(), own, algorithm="RS256", headers={"kid": "RS256", "jwk": public_jwk("RS256", own)}
        ),
        "a key from elsewhere": jwt.encode(
            body(), own, algorithm="RS256", headers={"kid": "new", "jku": "http://127.0.0.1:1/jwks"}
        ),
        "kid of a key of another type": token("ES256", kid="RS256"),
        "unknown kid": token(kid="RS257"),
        "no kid": jwt.encode(body(), PRIVATE["RS256"], algorithm="RS256"),
        "kid is a path": token(kid="../../../dev/null"),
        "other claims under the signature": f"{head}.{encode_json({**body(), 'sub': 'root'})}.{signature}",
        "RS512 with the right key": jwt.encode(body(), PRIVATE["RS256"], algorithm="RS512", headers={"kid": "RS256"}),
        "a condition that nobody knows": jwt.encode(
            body(), PRIVATE["RS256"], algorithm="RS256", headers={"kid": "RS256", "crit": ["x"], "x": 1}
        ),
        "cut": good[:-4],
        "nested to death": f"{head}.{base64.urlsafe_b64encode(b'[' * 3000).decode().rstrip('=')}.{signature}",
        "empty": "",
    }


@pytest.mark.parametrize("forgery", forge_tokens())
async def test_a_forgery_is_refused(channel: grpc.aio.Channel, forgery: str) -> None:
    assert (await expect_refusal(channel, *bearer(forge_tokens()[forgery])))[:2] == INVALID


async def test_a_token_of_one_use_opens_once(serve: Serve, jwks: Path) -> None:
    server = await serve(ACCESS_JWKS_FILE=jwks, ACCESS_ONE_USE_TOKENS=1, **NAMES)
    once = token(jti="1")
    async with open_channel(server.address) as channel:
        assert await hello(channel, once) == b"hello"
        assert (await expect_refusal(channel, *bearer(once)))[:2] == INVALID
        assert (await expect_refusal(channel, *bearer(token())))[:2] == INVALID  # one use needs a jti
        assert await hello(channel, token(jti="2")) == b"hello"


async def test_what_is_remembered_of_used_tokens_is_bounded_and_full_means_no(
    serve: Serve, jwks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepsing.access.tokens.MAX_USED_TOKENS", 2)
    server = await serve(ACCESS_JWKS_FILE=jwks, ACCESS_ONE_USE_TOKENS=1, **(NAMES | {"ACCESS_TOKEN_LEEWAY_S": 0}))
    async with open_channel(server.address) as channel:
        for name in "ab":
            assert await hello(channel, token(jti=name)) == b"hello"
        assert (await expect_refusal(channel, *bearer(token(jti="c"))))[:2] == INVALID
        monkeypatch.setattr("deepsing.access.tokens.time", FarTime())
        assert await hello(channel, token(jti="c")) == b"hello"


class FarTime:
    def time(self) -> float:
        return time.time() + 3600


async def test_a_scope_that_is_asked_for_must_be_there(serve: Serve, jwks: Path) -> None:
    server = await serve(ACCESS_JWKS_FILE=jwks, ACCESS_TOKEN_SCOPE="stories", **NAMES)
    async with open_channel(server.address) as channel:
        assert (await expect_refusal(channel, *bearer(token())))[:2] == INVALID
        assert (await expect_refusal(channel, *bearer(token(scope="stories-not"))))[:2] == INVALID
        assert await hello(channel, token(scope="profile stories")) == b"hello"


async def test_keys_of_the_issuer_may_turn(serve: Serve, jwks: Path) -> None:
    server = await serve(ACCESS_JWKS_FILE=jwks, **NAMES)
    new = ec.generate_private_key(ec.SECP256R1())
    async with open_channel(server.address) as channel:
        write_jwks(jwks, public_jwk("ES256", new, kid="new"))
        assert await hello(channel, token("ES256", key=new, kid="new")) == b"hello"
        assert (await expect_refusal(channel, *bearer(token())))[:2] == INVALID


async def test_keys_and_tokens_may_be_asked_for_side_by_side(serve: Serve, jwks: Path, keys_file: Path) -> None:
    key = add_key(keys_file, "ann")
    server = await serve(ACCESS_JWKS_FILE=jwks, ACCESS_KEYS_FILE=keys_file, **NAMES)
    async with open_channel(server.address) as channel:
        assert (await hello(channel, key), await hello(channel, token())) == (b"hello", b"hello")


BAD_SETS = {
    "a shared secret": ({"kty": "oct", "k": "AAAA", "kid": "1"}, "shared secret"),
    "a private key": ({**public_jwk("ES256"), "d": "AAAA"}, "private key"),
    "a short key": (public_jwk("RS256", rsa.generate_private_key(65537, 1024)), "shorter than 2048"),
    "no name": ({**public_jwk("ES256"), "kid": ""}, "missing"),
    "only for encryption": (public_jwk("ES256", use="enc"), "no public key"),
    "another algorithm": (public_jwk("RS256", alg="PS256"), "no public key"),
}


@pytest.mark.parametrize(("entry", "said"), BAD_SETS.values(), ids=BAD_SETS)
def test_a_set_that_is_not_safe_stops_the_start(tmp_path: Path, entry: dict[str, str], said: str) -> None:
    path = write_jwks(tmp_path / "jwks.json", entry)
    environ = {f"DEEPSING_{name}": str(value) for name, value in NAMES.items()}
    with pytest.raises(SettingsError, match=said):
        security_from_environment("echo", environ | {"DEEPSING_ACCESS_JWKS_FILE": str(path)})
