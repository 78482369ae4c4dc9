"""API keys: the digests that are written down of them, and whose key a request brings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from math import inf
from pathlib import Path
from secrets import token_bytes
from typing import Any, Literal

from gateway.auth.claims import Fields
from gateway.auth.files import read_beside
from gateway.auth.header_names import check_credential_header, check_identity_headers
from gateway.auth.jwt_options import SCOPE
from gateway.config.document import parse
from gateway.config.options import build_options
from gateway.config.plugin_use import PluginUse
from gateway.limits.rate import Rate
from gateway.units import Secret

LONGEST_KEY = 1024

_HASH = re.compile(r"sha256:([0-9A-Fa-f]{64})")
_CONSUMER = re.compile(r"[A-Za-z0-9._@-]{1,128}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt][0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2}))?")


@dataclass(frozen=True)
class ApiKey:
    """One key. `hash` is of the key's bytes; the key holds until `expires` begins, a day in UTC or a time of RFC 3339.

    `hash` is a Secret, so that a key that was written in its place is shown nowhere.
    """

    hash: Secret
    consumer: str
    scopes: tuple[str, ...] = ()
    expires: str | None = None
    quota: Rate | None = None

    def __post_init__(self) -> None:
        if not _HASH.fullmatch(self.hash.reveal()):
            raise ValueError("hash should be sha256: and 64 hex digits; printf %s KEY | sha256sum prints them")
        if not _CONSUMER.fullmatch(self.consumer):
            raise ValueError(
                f"{self.consumer!r} is no name of a consumer; use letters, digits, '.', '_', '-' and '@', at most 128"
            )
        for scope in self.scopes:
            if not SCOPE.fullmatch(scope):
                raise ValueError(f"{scope!r} is no scope; write one such as items:read, without blanks and quotes")
        expiry(self.expires)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the key."""
        return bytes.fromhex(self.hash.reveal().removeprefix("sha256:"))


@dataclass(frozen=True)
class KeyFile:
    """What a file of keys holds."""

    keys: tuple[ApiKey, ...]


@dataclass(frozen=True)
class ApiKeyOptions:
    """The options of `api_key`. Keys are listed here, in `file`, or in both; `headers` are what services are told."""

    header: str = "X-Api-Key"
    keys: tuple[ApiKey, ...] = ()
    file: str | None = None
    optional: bool = False
    forward: bool = False
    headers: dict[Literal["consumer"], str] = field(default_factory=lambda: {"consumer": "X-Consumer"})
    on_store_error: Literal["open", "closed"] = "open"

    def __post_init__(self) -> None:
        if not self.keys and self.file is None:
            raise ValueError("no key would be known; list some as in keys: [{hash: 'sha256:...', consumer: shop}]")
        check_credential_header(self.header)
        check_identity_headers(self.headers.values(), credential=self.header)


def expiry(text: str | None) -> float:
    """When a key ends, in seconds since 1970; never without a text. ValueError for what is no date."""
    if text is None:
        return inf
    try:
        if _DATE.fullmatch(text):
            moment = datetime.fromisoformat(text.upper())
            return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        pass  # the 31st of February
    raise ValueError(f"{text!r} is no date; write one such as 2027-01-01, or a time such as 2027-01-01T12:00:00Z")


def read_keys(folder: Path, name: str) -> tuple[ApiKey, ...]:
    """The keys in a file, which has `keys:` at the top. ValueError that tells everything that is wrong, and where."""
    document = parse(name, read_beside(folder, name))
    problems = document.problems
    if document.root is not None and not problems:
        built, problems = build_options(KeyFile, PluginUse(name, document.root.plain(), document.root))
        if isinstance(built, KeyFile):
            return built.keys
    raise ValueError("; ".join(map(str, problems)))


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key stands for. `until` is in seconds since 1970, `fields` are what services are told."""

    digest: bytes
    consumer: str
    claims: Mapping[str, Any]
    fields: Fields
    until: float


class KeyRing:
    """The keys that are accepted, by digest. Immutable.

    `quotas` are the rates of the consumers that have one.
    """

    __slots__ = ("_grants", "quotas")

    def __init__(self, keys: Iterable[ApiKey], header: str | None = None) -> None:
        """`header` is the one that tells services the consumer. ValueError for a key that is there twice, and for a
        consumer with two quotas."""
        self._grants: dict[bytes, Grant] = {}
        found: dict[str, Rate | None] = {}
        for key in keys:
            if key.digest in self._grants:
                other = self._grants[key.digest].consumer
                raise ValueError(f"a key of {key.consumer} is there twice, the other one for {other}; keep one")
            if found.setdefault(key.consumer, key.quota) != key.quota:
                raise ValueError(
                    f"the keys of {key.consumer} have different quotas; a quota is the consumer's: give each the same"
                )
            claims = {"consumer": key.consumer, "scope": " ".join(key.scopes)}
            fields = ((header, key.consumer),) if header is not None else ()
            self._grants[key.digest] = Grant(key.digest, key.consumer, claims, fields, expiry(key.expires))
        self.quotas = {consumer: quota for consumer, quota in found.items() if quota is not None}

    def find(self, key: str, wall: float) -> Grant | None:
        """What this text of a header stands for, None for a key that is unknown, or has ended at `wall`."""
        if len(key) > LONGEST_KEY:
            return None
        digest = sha256(key.encode("latin-1")).digest()
        grant = self._grants.get(digest, _NOBODY)
        return grant if compare_digest(grant.digest, digest) and wall < grant.until else None


# In place of a key that is not there, so that the comparison is made for it too.
_NOBODY = Grant(token_bytes(32), "", {}, (), 0.0)
