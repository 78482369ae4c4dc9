"""Tokens that are taken back before they expire: by `jti` alone, or all that a `sub` has been given until now."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from gateway.plugin import Shared


class Revocations:
    """In the shared state, each entry for as long as what it revokes could still hold. Every call may raise
    SharedUnavailable."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def revoke_token(self, issuer: str, jti: str, ttl: float) -> None:
        """The token with this id holds no more; remembered for `ttl` seconds."""
        await self._shared.set(_key("jti", issuer, jti), b"1", ttl)

    async def revoke_subject(self, issuer: str, subject: str, until: float, ttl: float) -> None:
        """No token of `subject` holds that was issued before `until`, in seconds since 1970; remembered for `ttl`."""
        await self._shared.set(_key("sub", issuer, subject), b"%d" % int(until), ttl)

    async def hold(self, claims: Mapping[str, Any]) -> bool:
        """Has the token with these verified claims not been revoked?"""
        issuer, jti, subject = claims.get("iss"), claims.get("jti"), claims.get("sub")
        if isinstance(jti, str) and await self._shared.get(_key("jti", str(issuer), jti)) is not None:
            return False
        if isinstance(subject, str):
            until = await self._shared.get(_key("sub", str(issuer), subject))
            issued = claims.get("iat")
            if until is not None and not (isinstance(issued, int | float) and int(issued) > int(until)):
                return False
        return True


def _key(kind: str, issuer: str, name: str) -> str:
    """Names may be long, or a person's: what is written down is their digest."""
    return f"revoked:{kind}:{sha256(f'{len(issuer)}:{issuer}{name}'.encode()).hexdigest()}"
