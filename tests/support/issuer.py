"""An issuer of tokens: keys of every family, tokens good and forged, and a service that publishes the keys.

Signatures are made here, with other code than what verifies them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.support.aiohttp_server import listening
from tests.support.ports import free_port

CURVES = {"ES256": ("P-256", ec.SECP256R1()), "ES384": ("P-384", ec.SECP384R1()), "ES512": ("P-521", ec.SECP521R1())}
PUBLIC = [f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)] + ["EdDSA"]
SECRET = "a secret of more than sixty-four characters, which is what HS512 asks for"
# For a claim or a header parameter that is left out.
MISSING: Any = ...


@dataclass(frozen=True)
class Key:
    """A key pair, or a secret, with what it signs by. `private` is cryptography's, or the bytes of the secret."""

    kid: str
    algorithm: str
    private: Any

    @property
    def pem(self) -> str:
        """The public half."""
        public = self.private.public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return str(public.public_bytes(serialization.Encoding.PEM, form).decode())

    @property
    def private_pem(self) -> str:
        """Both halves."""
        form, open_ = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return str(self.private.private_bytes(serialization.Encoding.PEM, form, open_).decode())

    def jwk(self, private: bool = False, **changes: Any) -> dict[str, Any]:
        """The public half as a JSON Web Key, or both; MISSING takes a member out."""
        members = {**_members(self.private, private), "kid": self.kid, "alg": self.algorithm, "use": "sig", **changes}
        return {name: value for name, value in members.items() if value is not MISSING}

    def sign(self, data: bytes, algorithm: str = "") -> bytes:
        """A signature as RFC 7518 §3 has it; `algorithm` need not be the key's own."""
        return _sign(self.private, data, algorithm or self.algorithm)


def key(algorithm: str = "RS256", number: int = 0, bits: int = 2048) -> Key:
    """Always the same for its arguments. RSA keys are shared by all algorithms that sign with one, as they take time
    to make."""
    return _key(algorithm, number, bits)


@cache
def _key(algorithm: str, number: int, bits: int) -> Key:
    kid = f"{algorithm}-{number}"
    if algorithm.startswith("HS"):
        return Key(kid, algorithm, SECRET.encode())
    if algorithm.startswith("ES"):
        return Key(kid, algorithm, ec.generate_private_key(CURVES[algorithm][1]))
    if algorithm == "EdDSA":
        return Key(kid, algorithm, ed25519.Ed25519PrivateKey.generate())
    return Key(kid, algorithm, _rsa(number, bits))


@cache
def _rsa(number: int, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _members(private: Any, both: bool) -> dict[str, Any]:
    if isinstance(private, bytes):
        return {"kty": "oct", "k": encoded(private)}
    if isinstance(private, rsa.RSAPrivateKey):
        numbers = private.private_numbers()
        members = {"kty": "RSA", "n": _number(numbers.public_numbers.n), "e": _number(numbers.public_numbers.e)}
        names = {"d": "d", "p": "p", "q": "q", "dp": "dmp1", "dq": "dmq1", "qi": "iqmp"}
        more = {name: _number(getattr(numbers, found)) for name, found in names.items()}
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        size = (private.curve.key_size + 7) // 8
        point = private.public_key().public_numbers()
        curve = next(name for name, found in CURVES.values() if found.name == private.curve.name)
        members = {"kty": "EC", "crv": curve, "x": _number(point.x, size), "y": _number(point.y, size)}
        more = {"d": _number(private.private_numbers().private_value, size)}
    else:
        members = {"kty": "OKP", "crv": "Ed25519", "x": encoded(private.public_key().public_bytes_raw())}
        more = {"d": encoded(private.private_bytes_raw())}
    return {**members, **(more if both else {})}


def _number(value: int, size: int = 0) -> str:
    return encoded(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _sign(private: Any, data: bytes, algorithm: str) -> bytes:
    if algorithm == "EdDSA":
        return bytes(private.sign(data))
    bits = algorithm[2:]
    if algorithm.startswith("HS"):
        return hmac.digest(private, data, f"sha{bits}")
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[bits]
    if algorithm.startswith("ES"):
        return raw_signature(*decode_dss_signature(private.sign(data, ec.ECDSA(digest))), private.curve.key_size)
    if algorithm.startswith("PS"):
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
        return bytes(private.sign(data, pss, digest))
    return bytes(private.sign(data, padding.PKCS1v15(), digest))


def raw_signature(r: int, s: int, bits: int = 256) -> bytes:
    """Two numbers as JWS writes an ECDSA signature (RFC 7518 §3.4)."""
    size = (bits + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


# Tokens

Part = bytes | Mapping[str, Any]


def encoded(data: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def part(content: Part) -> str:
    """Bytes as they are, or an object as JSON without what is MISSING."""
    if not isinstance(content, bytes):
        kept = {name: value for name, value in content.items() if value is not MISSING}
        content = json.dumps(kept, separators=(",", ":")).encode()
    return encoded(content)


def forge(header: Part, payload: Part, signature: bytes | Key = b"", algorithm: str = "") -> str:
    """A token with exactly these parts; a key signs it, by its own algorithm or another."""
    signed = f"{part(header)}.{part(payload)}"
    if isinstance(signature, Key):
        signature = signature.sign(signed.encode(), algorithm)
    return f"{signed}.{encoded(signature)}"


def mint(claims: Mapping[str, Any], signer: Key, headers: Mapping[str, Any] | None = None) -> str:
    """A token that `signer` signs as it should be; `headers` are more parameters, or others."""
    return forge({"typ": "JWT", "alg": signer.algorithm, "kid": signer.kid, **(headers or {})}, claims, signer)


def claims(issuer: str, now: float, **changes: Any) -> dict[str, Any]:
    """Those of a token for the audience `api` that holds for five minutes from `now` on."""
    said = {"iss": issuer, "aud": "api", "sub": "ada", "iat": int(now), "exp": int(now) + 300, "jti": "t1", **changes}
    return {name: value for name, value in said.items() if value is not MISSING}


# The service


class IssuerService:
    """Publishes `keys`, or says something else. `asked` counts requests by path.

    `documents` are what is answered at a path, bytes or an object as JSON, `instead` is an answer for all of them;
    while `holding` is not set nothing is answered. `stop` and `start` again at the same address.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.documents: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.instead: Callable[[], web.StreamResponse] | None = None
        self.holding = asyncio.Event()
        self.holding.set()
        self.port = free_port()
        self._listens = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def jwks(self) -> str:
        """The address of the key set."""
        return f"{self.url}/jwks"

    @property
    def fetches(self) -> int:
        """How often the key set was asked for."""
        return self.asked["/jwks"]

    def publish(self, *keys: Key | Mapping[str, Any]) -> None:
        """These are the keys now."""
        listed = [one.jwk() if isinstance(one, Key) else one for one in keys]
        self.documents["/jwks"] = {"keys": listed}

    async def start(self) -> None:
        """Listen, on the port of the first time."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.port = await self._listens.enter_async_context(listening(app, self.port))
        self.documents.setdefault(
            "/.well-known/openid-configuration", {"issuer": self.url, "jwks_uri": self.jwks, "more": ["is", "ignored"]}
        )

    async def stop(self) -> None:
        """Refuse connections."""
        await self._listens.aclose()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.path] += 1
        await self.holding.wait()
        if self.instead is not None:
            return self.instead()
        document = self.documents.get(request.path)
        if document is None:
            return web.Response(status=404)
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return web.Response(body=body, content_type="application/json", headers=self.headers)


@contextlib.asynccontextmanager
async def issuer_service(*keys: Key) -> AsyncIterator[IssuerService]:
    """A running one that publishes these keys."""
    service = IssuerService()
    service.publish(*keys)
    await service.start()
    try:
        yield service
    finally:
        service.holding.set()
        await service.stop()
