"""JSON Web Tokens (RFC 7519), judged as RFC 8725 asks for: who issued one is looked up, never believed. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from sys import float_info
from typing import Any, NamedTuple

import jwt
import orjson

from gateway.auth.key_set import MAX_KID

# Header parameters that bring a key along, or point to one: such a key is the sender's (RFC 8725 §3.5).
BRINGS_A_KEY = ("jwk", "jku", "x5u")
_VERIFIER = jwt.PyJWT(options={"enforce_minimum_key_length": True})


class TokenRefused(Exception):
    """A token that does not hold. The text is fit for the client: printable ASCII without quotes."""


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """What an issuer's tokens must be. `audience` are values of which one must be in `aud`; `leeway` is in seconds;
    `required` are claims that must be there."""

    issuer: str
    audience: tuple[str, ...]
    algorithms: frozenset[str]
    leeway: float = 30.0
    required: tuple[str, ...] = ("exp",)


class Unverified(NamedTuple):
    """What a token says of itself, to look up by what it is to be judged, and for nothing else."""

    algorithm: str
    kid: str | None
    issuer: str


def read_token(token: str) -> Unverified:
    """The parts of a token that say who shall judge it. TokenRefused for what is no signed token, for the algorithm
    `none`, and for a header that brings its own key or asks for extensions."""
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenRefused("the token is not a signed JWT")
    header, claims = _part(parts[0]), _part(parts[1])
    algorithm, kid, issuer = header.get("alg"), header.get("kid"), claims.get("iss")
    if not isinstance(algorithm, str) or algorithm.lower() == "none":
        raise TokenRefused("the token is not signed")
    if "crit" in header:
        raise TokenRefused("the token asks for extensions that are not known here")
    if any(name in header for name in BRINGS_A_KEY):
        raise TokenRefused("the token brings its own key")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= MAX_KID):
        raise TokenRefused("the token names no key")
    if not isinstance(issuer, str):
        raise TokenRefused("the token does not say who issued it")
    return Unverified(algorithm, kid, issuer)


def _part(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        found = None
    if not isinstance(found, dict):
        raise TokenRefused("the token is malformed")
    return found


def verify_token(token: str, unverified: Unverified, policy: TokenPolicy, key: Any, now: float) -> dict[str, Any]:
    """The claims of a token that holds at `now`, in seconds since 1970. TokenRefused says why another does not."""
    if unverified.algorithm not in policy.algorithms:
        raise TokenRefused("the token is signed by an algorithm that is not allowed")
    try:
        claims: dict[str, Any] = _VERIFIER.decode(
            token,
            key,
            algorithms=list(policy.algorithms),
            audience=policy.audience,
            issuer=policy.issuer,
            # The time is passed in, and looked at below.
            options={
                "require": list(policy.required),
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.InvalidAudienceError:
        raise TokenRefused("the token is meant for somebody else") from None
    except jwt.InvalidIssuerError:
        raise TokenRefused("the token's issuer is not known here") from None
    except jwt.MissingRequiredClaimError as error:
        raise TokenRefused(f"the token lacks the claim {error.claim}") from None
    except jwt.InvalidSignatureError:
        raise TokenRefused("the token's signature is wrong") from None
    except (jwt.PyJWTError, RecursionError):
        raise TokenRefused("the token is not valid") from None
    _check_times(claims, now, policy.leeway)
    return claims


def _check_times(claims: dict[str, Any], now: float, leeway: float) -> None:
    """RFC 7519 §4.1.4 to §4.1.6."""
    expires, begins, issued = (_moment(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is not None and expires + leeway <= now:
        raise TokenRefused("the token has expired")
    if begins is not None and begins - leeway > now:
        raise TokenRefused("the token is not valid yet")
    if issued is not None and issued - leeway > now:
        raise TokenRefused("the token was issued in the future")


def _moment(claims: dict[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    # NaN compares with nothing, and an int may be more than a float holds.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= float_info.max:
        raise TokenRefused(f"the claim {name} is no time")
    return float(value)
