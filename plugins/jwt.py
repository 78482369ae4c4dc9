"""Lets in who shows a JSON Web Token that holds, and tells the services behind who that is.

    - jwt:
        issuers: [{issuer: "https://id.example.com", audience: api, algorithms: [RS256], discovery: true}]
        claims_to_headers: {sub: X-User-Id}

An issuer's keys come from `discovery: true` (OpenID Connect), a `jwks: URL`, or stand here as `key` or `key_file` (PEM,
JSON Web Key, or the secret of HS256). Fetched keys are refreshed in the background and kept while the issuer is down;
an unknown key id makes it be asked at most once in 30 s. `audience` is one of which a token's `aud` must hold one,
`leeway: 30s` is for clocks. `scopes` must all be there, `require: [exp]` are claims that must, `exp` with them unless
the list is empty. With `optional: true` a request without a token passes, as nobody's; a token that does not hold never
does. `revocation: true` asks the shared state, once a second at most for each token, whether it was taken back
(`POST /api/revocations`).

What a token came to is kept for up to 60 s under its digest. Answers are RFC 6750's.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.auth.bearer import insufficient_scope, invalid_token, shown_token
from gateway.auth.claims import set_identity
from gateway.auth.decisions import DecisionCache, fingerprint
from gateway.auth.jwt_options import JwtOptions
from gateway.auth.known import KnownTokens
from gateway.auth.meter import AuthMeter
from gateway.auth.remote_keys import KeysUnavailable
from gateway.auth.revocations import Revocations
from gateway.auth.token_judge import Issuer, TokenJudge, Verified
from gateway.auth.tokens import TokenRefused
from gateway.plugin import ADMITTED, Env, Exchange, GatewayError, Kind, Plugin, Reply, SharedUnavailable

KEPT = 10_000
KEPT_SECONDS = 60.0
# A revocation holds everywhere after that.
REVOKED_SECONDS = 1.0


class Jwt(Plugin):
    """Mutable state: the judge with its keys, `_known` tokens by digest, and `_unrevoked`, those of which the shared
    state has just said that they still hold."""

    Options = JwtOptions
    spans_routes = True

    def __init__(self, options: JwtOptions, env: Env) -> None:
        super().__init__(options, env)
        self._meter = AuthMeter(env.metrics, "jwt")
        self._now = env.clock.now
        self._judge = TokenJudge(
            options,
            {
                one.issuer: Issuer(one, options.require, env.folder, lambda: env.http, env.clock, env.log)
                for one in options.issuers
            },
        )
        self._known = DecisionCache[Verified](KEPT)
        self._tokens = KnownTokens(self._known, self._meter.allowed, self._now)
        self._unrevoked = DecisionCache[bool](KEPT)
        self._revocations = Revocations(env.shared) if options.revocation else None

    def identity_headers(self) -> Iterable[str]:
        return tuple(self.options.claims_to_headers.values())

    def is_current(self, env: Env) -> bool:
        return self._judge.is_current()

    async def start(self) -> None:
        """Have keys, or go on trying."""
        await self._judge.start()

    async def stop(self) -> None:
        """Refresh no more."""
        await self._judge.stop()

    def on_request(self, exchange: Exchange) -> Reply | None:
        # What is done below for all, in one call for most.
        if self._revocations is None and self._tokens.let_in(exchange):
            return ADMITTED
        field = exchange.headers.raw(b"authorization")
        if field is None:
            self._token(exchange)
            return ADMITTED
        digest = fingerprint(field)
        now = self._now()
        verified = self._known.get(digest, now)
        if verified is None or (self._revocations is not None and not self._unrevoked.get(digest, now)):
            return None
        return self._let_in(exchange, verified)

    async def admit(self, exchange: Exchange) -> Reply | None:
        realm = self.env.name
        token = self._token(exchange)
        if token is None:
            return None
        digest = fingerprint(exchange.headers.raw(b"authorization") or b"")
        now = self._now()
        try:
            verified = self._known.get(digest, now)
            if verified is None:
                verified = await self._judge.judge(token, self.env.clock.wall())
                self._known.put(digest, verified, now + min(verified.seconds, KEPT_SECONDS))
            if self._revocations is not None and not await self._revocations.hold(verified.claims):
                raise TokenRefused("the token has been revoked")
        except TokenRefused as refused:
            self._meter.denied.inc()
            raise invalid_token(realm, str(refused)) from None
        except KeysUnavailable:
            self._meter.error.inc()
            raise GatewayError(Kind.AUTH_UNAVAILABLE, cause="the issuer's keys are not there") from None
        except SharedUnavailable as error:
            self._meter.error.inc()
            raise GatewayError(Kind.AUTH_UNAVAILABLE, cause=f"revocations cannot be read: {error}") from None
        if self._revocations is not None:
            self._unrevoked.put(digest, True, now + REVOKED_SECONDS)
        self._let_in(exchange, verified)
        return None

    def _token(self, exchange: Exchange) -> str | None:
        return shown_token(exchange.headers, self.env.name, self._meter, self.options.optional)

    def _let_in(self, exchange: Exchange, verified: Verified) -> Reply:
        if verified.missing:
            self._meter.denied.inc()
            raise insufficient_scope(self.env.name, self.options.scopes)
        self._meter.allowed.inc()
        set_identity(exchange, verified.principal, verified.claims, verified.fields)
        return ADMITTED
