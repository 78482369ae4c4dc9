"""The keys that the gateway signs its own tokens with, and the key set by which services verify them. Crypto and key
formats are those of cryptography and PyJWT."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import get_default_algorithms

from gateway.auth.session_options import Algorithm, TokenOptions

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey
RSA_BITS = 2048

_PEM = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an algorithm needs: which keys, how one is made, and what of its public half RFC 7638 §3.2 hashes."""

    wanted: str
    command: str
    fits: Callable[[object], bool]
    make: Callable[[], PrivateKey]
    members: tuple[str, ...]


_KINDS: Mapping[Algorithm, _Kind] = {
    "EdDSA": _Kind(
        "an Ed25519 key",
        "openssl genpkey -algorithm ed25519",
        lambda key: isinstance(key, Ed25519PrivateKey),
        Ed25519PrivateKey.generate,
        ("crv", "kty", "x"),
    ),
    "ES256": _Kind(
        "an EC key on the curve P-256",
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        lambda key: isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1),
        lambda: generate_private_key(SECP256R1()),
        ("crv", "kty", "x", "y"),
    ),
    "RS256": _Kind(
        f"an RSA key of {RSA_BITS} bits or more",
        f"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{RSA_BITS}",
        lambda key: isinstance(key, RSAPrivateKey) and key.key_size >= RSA_BITS,
        lambda: generate_rsa_key(65537, RSA_BITS),
        ("e", "kty", "n"),
    ),
}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key. `jwk` is its public half (RFC 7517), whose `kid` is the thumbprint of RFC 7638."""

    private: PrivateKey = field(repr=False)
    jwk: dict[str, str]

    @property
    def kid(self) -> str:
        """The key's id."""
        return self.jwk["kid"]


class Signer:
    """Signs with the first of its keys; `key_set` publishes all of them (RFC 7517 §5, as JSON).

    So a key is rotated without a refusal: it is added behind the one in use, everywhere; it is moved to the front; the
    old one is taken out. `source` stands for what the keys were read from. Immutable.
    """

    __slots__ = ("_algorithm", "_key", "key_set", "source")

    def __init__(self, keys: Sequence[SigningKey], algorithm: Algorithm, source: bytes = b"") -> None:
        self._key = keys[0]
        self._algorithm = algorithm
        self.key_set = orjson.dumps({"keys": [key.jwk for key in keys]})
        self.source = source

    @property
    def kid(self) -> str:
        """The id of the key that signs."""
        return self._key.kid

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A JWT with these claims. Takes from 40 us (EdDSA) to 0.7 ms (RS256)."""
        return jwt.encode(dict(claims), self._key.private, self._algorithm, {"kid": self._key.kid})


def make_signer(options: TokenOptions, folder: Path) -> Signer:
    """The signer that the options name, with a new key where they name none. ValueError, with nothing of a key in it,
    for one that cannot be read or is not the algorithm's."""
    algorithm = options.algorithm
    if options.key is None and options.key_file is None:
        return Signer([_signing_key(_KINDS[algorithm].make(), algorithm)], algorithm)
    pem = read_pem(options, folder)
    place = "token.key" if options.key_file is None else f"the key_file {options.key_file!r}"
    blocks = [match[0] for match in _PEM.finditer(pem)]
    if not blocks:
        raise ValueError(f"{place} holds no private key in PEM; make one with: {_KINDS[algorithm].command}")
    keys = [_signing_key(_private_key(block, algorithm, place), algorithm) for block in blocks]
    return Signer(keys, algorithm, sha256(pem).digest())


def is_current(signer: Signer, options: TokenOptions, folder: Path) -> bool:
    """Would the keys be the same if they were read now?"""
    if options.key_file is None:
        return True
    try:
        return sha256(read_pem(options, folder)).digest() == signer.source
    except ValueError:
        return False


def read_pem(options: TokenOptions, folder: Path) -> bytes:
    """The keys as they stand in the options or in their file. ValueError for a file that cannot be read."""
    if options.key_file is None:
        return options.key.reveal().encode() if options.key is not None else b""
    try:
        return (folder / options.key_file).read_bytes()
    except OSError as error:
        raise ValueError(
            f"the key_file {options.key_file!r} cannot be read ({error.strerror}); it is looked for in {folder}"
        ) from None


def _private_key(pem: bytes, algorithm: Algorithm, place: str) -> object:
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        command = _KINDS[algorithm].command
        raise ValueError(
            f"{place} is no private key in PEM, or is encrypted with a password; make one with: {command}"
        ) from None


def _signing_key(key: object, algorithm: Algorithm) -> SigningKey:
    kind = _KINDS[algorithm]
    if not isinstance(key, PrivateKey) or not kind.fits(key):
        raise ValueError(f"{algorithm} signs with {kind.wanted}; make one with: {kind.command}")
    public: dict[str, Any] = get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
    members = {name: public[name] for name in kind.members}
    digest = sha256(orjson.dumps(members, option=orjson.OPT_SORT_KEYS)).digest()
    kid = urlsafe_b64encode(digest).decode().rstrip("=")
    return SigningKey(key, {**members, "kid": kid, "use": "sig", "alg": algorithm})
