"""Keys that verify tokens: parsed once, found by id and algorithm. Crypto and key formats are PyJWT's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
import orjson
from jwt.algorithms import get_default_algorithms

# Which type of JSON Web Key an algorithm takes (RFC 7518 §3.1, RFC 8037), and its curve where that is settled.
KEY_TYPES: Mapping[str, tuple[str, str | None]] = {
    **dict.fromkeys(("HS256", "HS384", "HS512"), ("oct", None)),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
KEYS_READ = 100
MAX_KID = 256
PRIVATE = "the key is a private one; the gateway needs its public half alone"


@dataclass(frozen=True, slots=True)
class Key:
    """One key for one algorithm. `material` is what PyJWT verifies with."""

    kid: str | None
    algorithm: str
    material: Any = field(repr=False)


class KeySet:
    """Immutable."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._by_id: dict[tuple[str, str], Any] = {}
        by_algorithm: dict[str, list[Any]] = {}
        for key in keys:
            if key.kid is not None:
                self._by_id.setdefault((key.kid, key.algorithm), key.material)
            by_algorithm.setdefault(key.algorithm, []).append(key.material)
        # A token without an id, or a key without one, is matched only where there is no choice.
        self._only = {algorithm: found[0] for algorithm, found in by_algorithm.items() if len(found) == 1}
        self._has_ids = bool(self._by_id)

    def find(self, kid: str | None, algorithm: str) -> Any:
        """The key for a token, or None."""
        if kid is not None and self._has_ids:
            return self._by_id.get((kid, algorithm))
        return self._only.get(algorithm)


def jwk_set(data: bytes, algorithms: Iterable[str]) -> KeySet:
    """The keys of a JSON Web Key Set (RFC 7517 §5) that these algorithms can use. ValueError when it is none, or none
    of its keys will do.

    A key for encryption, of an unknown type or too short is passed over. So is a symmetric one, and a private one: a
    secret that is published verifies nothing.
    """
    document = _object(data)
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ValueError("a key set has a list of `keys`")
    allowed = [name for name in algorithms if KEY_TYPES[name][0] != "oct"]
    keys = [key for entry in listed[:KEYS_READ] if isinstance(entry, dict) for key in _usable(entry, allowed)]
    if not keys:
        raise ValueError(f"no key of the set is for {', '.join(allowed) or 'an algorithm with public keys'}")
    return KeySet(keys)


def static_keys(text: str, algorithms: Iterable[str]) -> KeySet:
    """The key that stands in the configuration: a secret for HS*, else PEM, a JSON Web Key or a set of them. ValueError
    says what is wrong, and nothing of the key."""
    names = list(algorithms)
    symmetric = [name for name in names if KEY_TYPES[name][0] == "oct"]
    if symmetric and len(symmetric) < len(names):
        raise ValueError(f"one key cannot be both a secret ({symmetric[0]}) and public; list one family of algorithms")
    if text.lstrip().startswith("{") and not symmetric:
        document = _object(text.encode())
        if "d" in document:
            raise ValueError(PRIVATE)
        return jwk_set(text.encode() if "keys" in document else orjson.dumps({"keys": [document]}), names)
    keys = []
    for name in names:
        algorithm = get_default_algorithms()[name]
        try:
            material = algorithm.prepare_key(text)
        except (TypeError, ValueError, jwt.PyJWTError):
            wanted = "a secret" if symmetric else "a public key in PEM, or a JSON Web Key,"
            raise ValueError(f"the key is not {wanted} for {name}") from None
        if hasattr(material, "private_bytes"):
            raise ValueError(PRIVATE)
        if algorithm.check_key_length(material):
            raise ValueError(f"the key is too short for {name}")
        keys.append(Key(None, name, material))
    return KeySet(keys)


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("keys in JSON are an object, and this is none")
    return found


def _usable(entry: dict[str, Any], algorithms: list[str]) -> Iterable[Key]:
    """One JSON Web Key, for each algorithm that it may be used with."""
    kid, named, use, operations = (entry.get(name) for name in ("kid", "alg", "use", "key_ops"))
    if use not in (None, "sig") or (isinstance(operations, list) and "verify" not in operations) or "d" in entry:
        return
    if kid is not None and not (isinstance(kid, str) and len(kid) <= MAX_KID):
        return
    for name in algorithms:
        kind, curve = KEY_TYPES[name]
        if entry.get("kty") != kind or named not in (None, name) or (curve is not None and entry.get("crv") != curve):
            continue
        try:
            key = jwt.PyJWK(entry, name)
            if not key.Algorithm.check_key_length(key.key):
                yield Key(kid, name, key)
        except (TypeError, ValueError, KeyError, jwt.PyJWTError):
            continue
