"""The keys that the sample auth service signs with, and how one follows another."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from math import inf
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

ALGORITHM = "RS256"
# In seconds: longer than a token lives, and long enough for whoever keeps the key set to see the next key in it.
RETIRED_FOR = 600.0
MAX_KEYS = 4

_JWS = jwt.PyJWS([ALGORITHM])


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An RSA key. `kid` is its RFC 7638 thumbprint, `jwk` its public half."""

    private: rsa.RSAPrivateKey
    kid: str
    jwk: dict[str, str]

    @classmethod
    def generate(cls) -> SigningKey:
        """A new one of 2048 bits. Takes 0.1 s and more: call it in a thread."""
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        members = {name: public[name] for name in ("e", "kty", "n")}
        kid = thumbprint(members)
        return cls(private, kid, {**members, "alg": ALGORITHM, "use": "sig", "kid": kid})


def thumbprint(members: dict[str, str]) -> str:
    """RFC 7638 §3, with SHA-256, of a key's required members."""
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return urlsafe_b64encode(sha256(text.encode()).digest()).decode().rstrip("=")


class SigningKeys:
    """The key that signs, and those that did a while ago. Times are in seconds since the epoch.

    Mutable state: the keys, the newest first, each with the time at which it is forgotten.
    """

    def __init__(self, key: SigningKey) -> None:
        self._keys = [(key, inf)]

    def rotate(self, key: SigningKey, now: float) -> None:
        """Sign with `key` from now on. The one before is still good for `RETIRED_FOR`, if not too many come after."""
        (last, _), *retired = self._keys
        self._keys = [(key, inf), (last, now + RETIRED_FOR), *retired][:MAX_KEYS]

    def sign(self, claims: dict[str, Any]) -> str:
        """A JWT."""
        key = self._keys[0][0]
        return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.kid})

    def read(self, token: str, now: float) -> dict[str, Any] | None:
        """The claims of a token that one of the keys signed, else None. No claim is looked at."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            for key in self._alive(now):
                if key.kid == kid:
                    payload = _JWS.decode(token, key.private.public_key(), algorithms=[ALGORITHM])
                    return cast("dict[str, Any]", json.loads(payload))
        except (jwt.InvalidTokenError, UnicodeEncodeError):
            pass
        return None

    def key_set(self, now: float) -> dict[str, Any]:
        """The public halves, as RFC 7517 §5."""
        return {"keys": [key.jwk for key in self._alive(now)]}

    def _alive(self, now: float) -> list[SigningKey]:
        return [key for key, forgotten in self._keys if now < forgotten]
