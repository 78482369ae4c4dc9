"""Taking tokens back before they expire: one by its `jti`, or all that a `sub` has been given until now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.admin.bodies import text_of
from gateway.admin.problems import Refused
from gateway.auth.revocations import Revocations
from gateway.plugin import SharedUnavailable
from gateway.units import Duration

if TYPE_CHECKING:
    from gateway.plugin import Env

KEYS = ("issuer", "jti", "sub", "for")
# As long as the longest-lived of these tokens could still hold.
DEFAULT_FOR = "24h"


async def revoke(env: Env, body: dict[str, Any]) -> dict[str, Any]:
    """Revoke what a request's body names. Refused for a body that does not name it, or when nothing can be stored."""
    issuer = text_of(body, "issuer")
    kinds = [kind for kind in ("jti", "sub") if kind in body]
    if len(kinds) != 1:
        raise Refused(400, "give `jti` for one token, or `sub` for all tokens that somebody has been given until now")
    name = text_of(body, kinds[0])
    given = text_of(body, "for", DEFAULT_FOR)
    try:
        seconds = float(Duration.parse(given))
    except ValueError as error:
        raise Refused(400, f"'for': {error}") from None
    if seconds <= 0:
        raise Refused(400, "'for' should be more than 0s, such as 24h")
    revocations = Revocations(env.shared)
    try:
        if kinds[0] == "jti":
            await revocations.revoke_token(issuer, name, seconds)
        else:
            await revocations.revoke_subject(issuer, name, env.clock.wall(), seconds)
    except SharedUnavailable:
        raise Refused(503, "the shared state does not answer: nothing was revoked", {"Retry-After": "1"}) from None
    return {"issuer": issuer, kinds[0]: name, "seconds": seconds}
