"""A token for a service in place of the client's own, by token exchange (RFC 8693), remembered while it lasts."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.auth.bearer import MAX_TOKEN, TOKEN, insufficient_scope, invalid_token
from gateway.auth.decisions import DecisionCache, SingleFlight, fingerprint
from gateway.auth.jwt_options import SCOPE
from gateway.auth.token_service import TokenService, TokenServiceError, TokenServiceOptions
from gateway.plugin import Duration, Env, GatewayError, Kind

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
# RFC 8693 §3: the words that come after it.
TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:"
TOKEN_TYPES: Final = ("access_token", "jwt", "id_token", "refresh_token", "saml1", "saml2")
# A token is not handed out any more when it has so many seconds left: it has a way to go.
SPARE: Final = 10.0

_MINUTE = Duration("60s")


@dataclass(frozen=True)
class ExchangeCache:
    """Tokens are kept until 10 s before they expire, those that do not say when for `ttl`; `max` of them."""

    ttl: Duration = _MINUTE
    max: int = 10_000

    def __post_init__(self) -> None:
        if self.max < 2:
            raise ValueError(f"max should be at least 2, not {self.max}")


_CACHE = ExchangeCache()


@dataclass(frozen=True)
class ExchangeOptions(TokenServiceOptions):
    """What the token is to be good for: the parameters of RFC 8693 §2.1. A type is one of its §3 by its last word, or
    any URI."""

    audience: str | tuple[str, ...] = ()
    resource: str | tuple[str, ...] = ()
    scope: str | tuple[str, ...] = ()
    requested_token_type: str = "access_token"
    subject_token_type: str = "access_token"
    cache: ExchangeCache = _CACHE

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, values in (("audience", self.audience), ("resource", self.resource)):
            if "" in _several(values):
                raise ValueError(f"an empty {name} is nobody's; leave it out")
        for resource in _several(self.resource):
            if ":" not in resource or "#" in resource:
                # RFC 8693 §2.1.
                raise ValueError(f"{resource!r} is no absolute URI without a fragment; write https://api.example.com")
        for scope in self.scopes:
            if not SCOPE.fullmatch(scope):
                raise ValueError(f"{scope!r} is no scope; write one such as items:read")
        for kind in (self.requested_token_type, self.subject_token_type):
            if ":" not in kind and kind not in TOKEN_TYPES:
                raise ValueError(f"{kind!r} is no token type; write one of {', '.join(TOKEN_TYPES)}, or a URI")

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that the token is to have."""
        return tuple(self.scope.split()) if isinstance(self.scope, str) else self.scope

    def form(self) -> tuple[tuple[str, str], ...]:
        """The request of §2.1, all but the subject's token."""
        fields = [
            ("grant_type", GRANT_TYPE),
            ("subject_token_type", _uri(self.subject_token_type)),
            ("requested_token_type", _uri(self.requested_token_type)),
        ]
        fields += [("audience", audience) for audience in _several(self.audience)]
        fields += [("resource", resource) for resource in _several(self.resource)]
        if self.scopes:
            fields.append(("scope", " ".join(self.scopes)))
        return tuple(fields)


class Exchanger:
    """Audience, resource and scope are the same for all it asks: the client's Authorization alone says what stands for
    it. It is kept by the fingerprint of that, so that nothing has to be read to find it.

    Mutable state: what is remembered, and the questions under way.
    """

    def __init__(self, options: ExchangeOptions, env: Env) -> None:
        """LookupError for an upstream that the configuration does not have."""
        self.service = TokenService(options, env)
        self._options = options
        self._form = options.form()
        self._realm = env.name
        self._clock = env.clock
        self._now = env.clock.now
        self._known = DecisionCache[str](options.cache.max)
        self._flight = SingleFlight[str]()

    def known(self, authorization: str) -> str | None:
        """The Authorization that is remembered in place of a client's."""
        return self._known.get(fingerprint(authorization.encode()), self._now())

    async def ask(self, authorization: str, token: str) -> str:
        """The Authorization in place of the client's with this token; who asks at the same time shares the answer.

        TokenServiceError.
        """
        key = fingerprint(authorization.encode())
        return await self._flight.ask(key, lambda: self._ask(key, token))

    async def _ask(self, key: bytes, token: str) -> str:
        answer = await self.service.ask((*self._form, ("subject_token", token)))
        authorization, seconds = issued(answer, self._options)
        expires = expiry(token)
        if expires is not None:
            seconds = min(seconds, expires - self._clock.wall())
        if seconds > 0:
            self._known.put(key, authorization, self._now() + seconds)
        return authorization

    def refusal(self, error: TokenServiceError) -> GatewayError:
        """What a client is told whose token was not exchanged. Status 401 or 403 when that is the token's fault.

        RFC 8693 §2.2.2: `invalid_request` is what a service says of a subject's token that is invalid for any reason,
        and `invalid_target` when it gives nobody a token for this audience. RFC 6749 §5.2 has `invalid_grant` for what
        has expired, and `invalid_scope` for more than was granted.
        """
        cause = f"the token service says {error.code}"
        if error.code in ("invalid_request", "invalid_grant"):
            return invalid_token(self._realm, "the token is not accepted", cause)
        if error.code == "invalid_target":
            return GatewayError(Kind.FORBIDDEN, "the token is not accepted for this service", cause)
        if error.code == "invalid_scope" and self._options.scopes:
            return insufficient_scope(self._realm, self._options.scopes)
        return self.service.unavailable(error)


def issued(answer: Mapping[str, Any], options: ExchangeOptions) -> tuple[str, float]:
    """The Authorization that an answer of RFC 8693 §2.2.1 gives, and for how many seconds it may be kept.

    TokenServiceError for an answer without a token, and for a token that does not go into `Authorization: Bearer`: one
    of another token_type, or of an issued_token_type that is neither what was requested nor an access token. Pure.
    """
    token, use, kind, lifetime = (
        answer.get(name) for name in ("access_token", "token_type", "issued_token_type", "expires_in")
    )
    if not isinstance(token, str) or len(token) > MAX_TOKEN or not TOKEN.fullmatch(token):
        raise TokenServiceError("its answer has no access_token that fits into a header")
    requested, access_token = _uri(options.requested_token_type), _uri("access_token")
    # N_A is what an answer says of a token that is no access token; it goes where one was asked for that is none.
    uses = ("bearer",) if requested == access_token else ("bearer", "n_a")
    if not isinstance(use, str) or use.lower() not in uses:
        raise TokenServiceError("its answer has another token_type than Bearer")
    if kind not in (requested, access_token, _uri("jwt")):
        raise TokenServiceError("its answer has another issued_token_type than the one that was requested")
    if lifetime is None:
        return f"Bearer {token}", float(options.cache.ttl)
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float):
        raise TokenServiceError("`expires_in` of its answer is no time")
    return f"Bearer {token}", lifetime - SPARE


def expiry(token: str) -> float | None:
    """When a token expires that is a JWT, in seconds since 1970; None for another. Nothing of it is verified: it serves
    to forget earlier. Pure."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = orjson.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    expires = claims.get("exp") if isinstance(claims, dict) else None
    return float(expires) if isinstance(expires, int | float) and not isinstance(expires, bool) else None


def _several(values: str | tuple[str, ...]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else values


def _uri(kind: str) -> str:
    return kind if ":" in kind else TOKEN_TYPE + kind
