"""Judges bearer tokens by their issuers' keys, and remembers for a while what came of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.auth.claims import Fields, claim_headers, scopes_of
from gateway.auth.jwt_options import IssuerOptions, JwtOptions
from gateway.auth.key_set import KeySet, static_keys
from gateway.auth.remote_keys import RemoteKeys
from gateway.auth.tokens import TokenPolicy, TokenRefused, read_token, verify_token

if TYPE_CHECKING:
    import aiohttp

    from gateway.plugin import Clock


class Verified(NamedTuple):
    """A token that holds. `seconds` is for how long yet; `missing` are the scopes that it lacks."""

    principal: str | None
    claims: Mapping[str, Any]
    fields: Fields
    missing: frozenset[str]
    seconds: float


class Issuer:
    """One issuer: its policy, and its keys, which stand in the configuration or are fetched."""

    def __init__(
        self,
        options: IssuerOptions,
        required: tuple[str, ...],
        folder: Path,
        http: Callable[[], aiohttp.ClientSession],
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self.policy: TokenPolicy = options.policy(required)
        self.remote: RemoteKeys | None = None
        self._static: KeySet | None = None
        self._file = folder / options.key_file if options.key_file is not None else None
        self._digest = b""
        if options.is_remote:
            self.remote = RemoteKeys(options.place(), options.algorithms, http, clock, log)
        elif options.key is not None:
            self._static = static_keys(options.key.reveal(), options.algorithms)
        else:
            text = self._read()
            self._digest = _digest(text)
            self._static = static_keys(text, options.algorithms)

    async def key(self, kid: str | None, algorithm: str) -> Any:
        """The key, or None. KeysUnavailable while there are none at all."""
        if self._static is not None:
            return self._static.find(kid, algorithm)
        assert self.remote is not None
        return await self.remote.find(kid, algorithm)

    def is_current(self) -> bool:
        """Is the file with its key as it was?"""
        if self._file is None:
            return True
        try:
            return _digest(self._read()) == self._digest
        except ValueError:
            return False

    def _read(self) -> str:
        assert self._file is not None
        try:
            # An editor ends a file with a line end, which is no part of a secret.
            return self._file.read_bytes().decode().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ValueError(f"cannot read the key file {self._file}: {why}") from None


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


class TokenJudge:
    """Mutable state: the keys of its issuers."""

    def __init__(self, options: JwtOptions, issuers: Mapping[str, Issuer]) -> None:
        self._scopes = frozenset(options.scopes)
        self._headers = options.claims_to_headers
        self._issuers = issuers

    async def start(self) -> None:
        """Fetch keys, from all issuers at once."""
        await asyncio.gather(*(one.remote.start() for one in self._issuers.values() if one.remote is not None))

    async def stop(self) -> None:
        """Fetch no more."""
        await asyncio.gather(*(one.remote.stop() for one in self._issuers.values() if one.remote is not None))

    def is_current(self) -> bool:
        """Are the files with keys as they were?"""
        return all(issuer.is_current() for issuer in self._issuers.values())

    async def judge(self, token: str, wall: float) -> Verified:
        """What a token says that holds at `wall`, in seconds since 1970. TokenRefused for another; KeysUnavailable."""
        unverified = read_token(token)
        issuer = self._issuers.get(unverified.issuer)
        if issuer is None:
            raise TokenRefused("the token's issuer is not known here")
        if unverified.algorithm not in issuer.policy.algorithms:
            raise TokenRefused("the token is signed by an algorithm that is not allowed")
        key = await issuer.key(unverified.kid, unverified.algorithm)
        if key is None:
            raise TokenRefused("the token is signed by a key that is not known here")
        claims = verify_token(token, unverified, issuer.policy, key, wall)
        try:
            fields = claim_headers(claims, self._headers)
        except (TypeError, ValueError):
            raise TokenRefused("a claim of the token cannot be a header") from None
        subject = claims.get("sub")
        expires = claims.get("exp")
        return Verified(
            subject if isinstance(subject, str) else None,
            claims,
            fields,
            self._scopes - scopes_of(claims),
            max(0.0, expires - wall) if isinstance(expires, int | float) else float("inf"),
        )
