"""Bearer tokens as RFC 6750 has them: where one is read, and what is said to who has none that will do."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.auth.meter import AuthMeter
from gateway.errors import GatewayError, Kind
from gateway.exchange import Headers

# RFC 6750 §2.1, `b64token`.
TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
MAX_TOKEN = 8 * 1024


def bearer_token(headers: Headers, realm: str) -> str | None:
    """The token of `Authorization: Bearer`; None where there is no Authorization, or one of another scheme.

    GatewayError UNAUTHENTICATED for what is no token, or longer than 8 KiB. A scheme that only begins with `Bearer` is
    refused too, and one behind a blank of Unicode: a service may read a token where RFC 9110 §11.4 has none.
    """
    field = headers.get("authorization")
    if field is None or field.lstrip()[:6].lower() != "bearer":
        return None
    if field[:6].lower() != "bearer" or field[6:7] not in ("", " "):
        raise invalid_token(realm, "the token is malformed")
    token = field[7:].strip(" ")
    if len(token) > MAX_TOKEN:
        raise invalid_token(realm, "the token is too long")
    if not TOKEN.fullmatch(token):
        raise invalid_token(realm, "the token is malformed")
    return token


def shown_token(headers: Headers, realm: str, meter: AuthMeter, optional: bool = False) -> str | None:
    """The token of a request, counted where it is refused: `denied` for what is no token, `missing` for none at all,
    unless it is `optional`; then None. GatewayError UNAUTHENTICATED."""
    try:
        token = bearer_token(headers, realm)
    except GatewayError:
        meter.denied.inc()
        raise
    if token is None and not optional:
        meter.missing.inc()
        raise no_token(realm)
    return token


def no_token(realm: str) -> GatewayError:
    """401 for a request without credentials: the scheme, and no error code (§3.1)."""
    challenge = f'Bearer realm="{realm}"'
    return GatewayError(Kind.UNAUTHENTICATED, "a bearer token is needed", headers={"WWW-Authenticate": challenge})


def invalid_token(realm: str, why: str, cause: str = "") -> GatewayError:
    """401 for a token that does not hold. `why` is told: printable ASCII without quotes or backslashes; `cause` is for
    the log."""
    challenge = f'Bearer realm="{realm}", error="invalid_token", error_description="{why}"'
    return GatewayError(Kind.UNAUTHENTICATED, why, cause, headers={"WWW-Authenticate": challenge})


def insufficient_scope(realm: str, scopes: Iterable[str]) -> GatewayError:
    """403 for a token that lacks some of these scopes."""
    wanted = " ".join(sorted(scopes))
    challenge = f'Bearer realm="{realm}", error="insufficient_scope", scope="{wanted}"'
    headers = {"WWW-Authenticate": challenge}
    return GatewayError(Kind.FORBIDDEN, f"the token lacks a scope of: {wanted}", headers=headers)
