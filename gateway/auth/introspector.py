"""What an authorization server says of a token (RFC 7662), judged, and remembered for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from gateway.auth.claims import Fields, claim_headers, scopes_of
from gateway.auth.decisions import DecisionCache, SingleFlight, fingerprint
from gateway.auth.header_names import check_identity_headers
from gateway.auth.jwt_options import SCOPE
from gateway.auth.token_service import TokenService, TokenServiceError, TokenServiceOptions
from gateway.plugin import Duration, Env

# Clocks differ: the service says that a token holds, and its `nbf` is ahead of ours by no more than this, in seconds.
LEEWAY: Final = 30.0

_MINUTE = Duration("60s")
_FIVE_SECONDS = Duration("5s")


@dataclass(frozen=True)
class IntrospectionCache:
    """A good token is asked about once in `ttl` and never kept beyond its `exp`, another once in `negative_ttl`; 0s
    asks every time. `max` answers are kept."""

    ttl: Duration = _MINUTE
    negative_ttl: Duration = _FIVE_SECONDS
    max: int = 10_000

    def __post_init__(self) -> None:
        if self.max < 2:
            raise ValueError(
                f"max should be at least 2, not {self.max}; to keep nothing write ttl: 0s, negative_ttl: 0s"
            )


_CACHE = IntrospectionCache()


@dataclass(frozen=True)
class IntrospectionOptions(TokenServiceOptions):
    """`issuers` and `audience` are values of which `iss` must be one and `aud` must hold one, `scopes` must all be
    there; a request without a token passes if `optional`."""

    cache: IntrospectionCache = _CACHE
    issuers: tuple[str, ...] = ()
    audience: str | tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    claims_to_headers: dict[str, str] = field(default_factory=dict)
    optional: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_identity_headers(self.claims_to_headers.values())
        if "" in self.issuers or "" in self.audiences:
            raise ValueError("an empty issuer or audience is nobody's; leave it out")
        for scope in self.scopes:
            if not SCOPE.fullmatch(scope):
                raise ValueError(f"{scope!r} is no scope; write one without blanks, such as items:read")

    @property
    def audiences(self) -> tuple[str, ...]:
        """Of which `aud` must hold one, unless there are none."""
        return (self.audience,) if isinstance(self.audience, str) else self.audience


class Introspected(NamedTuple):
    """What became of a token. `refusal` says why it does not hold, fit for the client, and is empty for one that
    does; `missing` are the scopes that it lacks; `fields` are the headers of its claims."""

    refusal: str = ""
    principal: str | None = None
    claims: Mapping[str, Any] = {}
    fields: Fields = ()
    missing: frozenset[str] = frozenset()


class Introspector:
    """What is remembered stands under the fingerprint of the whole Authorization: to find it, nothing has to be read.

    Mutable state: what is remembered, and the questions under way.
    """

    def __init__(self, options: IntrospectionOptions, env: Env) -> None:
        """LookupError for an upstream that the configuration does not have."""
        self.service = TokenService(options, env)
        self._options = options
        self._clock = env.clock
        self._now = env.clock.now
        self._known = DecisionCache[Introspected](options.cache.max)
        self._flight = SingleFlight[Introspected]()

    def known(self, authorization: str) -> Introspected | None:
        """What is remembered of the token in an Authorization."""
        return self._known.get(fingerprint(authorization.encode()), self._now())

    async def ask(self, authorization: str, token: str) -> Introspected:
        """What the service says of the token in an Authorization; who asks at the same time shares the answer.

        TokenServiceError.
        """
        key = fingerprint(authorization.encode())
        return await self._flight.ask(key, lambda: self._ask(key, token))

    async def _ask(self, key: bytes, token: str) -> Introspected:
        try:
            answer = await self.service.ask((("token", token), ("token_type_hint", "access_token")))
        except TokenServiceError as error:
            if error.code != "unsupported_token_type":
                raise
            # So oidc-provider speaks of what is written like a JWT, and anybody can write that.
            answer = {"active": False}
        wall = self._clock.wall()
        found = judge(answer, self._options, wall)
        cache = self._options.cache
        seconds = float(cache.negative_ttl if found.refusal else cache.ttl)
        expires = found.claims.get("exp")
        if expires is not None:
            seconds = min(seconds, expires - wall)
        if seconds > 0:
            self._known.put(key, found, self._now() + seconds)
        return found


def judge(answer: Mapping[str, Any], options: IntrospectionOptions, wall: float) -> Introspected:
    """What an answer says of its token at `wall`, in seconds since 1970. TokenServiceError for one that RFC 7662 §2.2
    does not know: `active` is true or false, times are numbers. Pure."""
    active = answer.get("active")
    if not isinstance(active, bool):
        raise TokenServiceError("its answer has no `active` that is true or false")
    if not active:
        return Introspected("the token does not hold")
    refusal = _refusal(answer, options, wall)
    if refusal:
        return Introspected(refusal)
    try:
        fields = claim_headers(answer, options.claims_to_headers)
    except ValueError:
        return Introspected("a claim of the token cannot be a header")
    names = (answer.get(name) for name in ("sub", "username", "client_id"))
    principal = next((name for name in names if isinstance(name, str) and name), None)
    return Introspected("", principal, answer, fields, frozenset(options.scopes) - scopes_of(answer))


def _refusal(answer: Mapping[str, Any], options: IntrospectionOptions, wall: float) -> str:
    """Why a token that is active does not hold here, or nothing."""
    expires, begins = _moment(answer, "exp"), _moment(answer, "nbf")
    if expires is not None and expires <= wall:
        return "the token has expired"
    if begins is not None and begins > wall + LEEWAY:
        return "the token is not valid yet"
    kind = answer.get("token_type")
    if kind is not None and str(kind).lower() != "bearer":
        # One that is bound to a key holds only with its proof (RFC 9449 §7.2).
        return "the token is no bearer token"
    if options.issuers and answer.get("iss") not in options.issuers:
        return "the token's issuer is not known here"
    if options.audiences:
        audience = answer.get("aud")
        meant_for = audience if isinstance(audience, list) else [audience]
        if not any(one in meant_for for one in options.audiences):
            return "the token is meant for somebody else"
    return ""


def _moment(answer: Mapping[str, Any], name: str) -> float | None:
    value = answer.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenServiceError(f"`{name}` of its answer is no time")
    return float(value)
