"""Lets in who shows a token that an authorization server calls active (RFC 7662), and tells services whose it is.

    - introspection:
        url: https://id.example.com/introspect
        client_id: gateway
        client_secret: ${GATEWAY_SECRET}
        audience: api
        claims_to_headers: {sub: X-User-Id}

In place of `url`, `upstream: NAME` with `path: /introspect` asks by way of an upstream of the configuration. A url is
https, or http to this machine, unless it has `insecure_http: true` beside it. `client_auth: post` sends id and secret
in the form (`basic`, the default, in Authorization). Also `timeout: 500ms`, `status_on_error: 503` while the service
gives no answer that can be used, `cache: {ttl: 60s, negative_ttl: 5s, max: 10000}` for tokens that are active (never
beyond their `exp`) and those that are not, `scopes` that must all be there (403), and `optional: true`: a request
without a token passes, as nobody's; a token that does not hold never does.

`issuers` and `audience` are values of which `iss` must be one and `aud` must hold one. A service may call a refresh
token active too, or a token for somebody else: `audience` keeps them out. A token that is taken back holds here for up
to `ttl`. The principal is `sub`, else `username`, else `client_id`.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.auth.bearer import insufficient_scope, invalid_token, shown_token
from gateway.auth.claims import set_identity
from gateway.auth.introspector import Introspected, IntrospectionOptions, Introspector
from gateway.auth.meter import AuthMeter
from gateway.auth.token_service import TokenServiceError
from gateway.plugin import ADMITTED, Env, Exchange, Plugin, Reply


class Introspection(Plugin):
    """Mutable state: the introspector with what it remembers."""

    Options = IntrospectionOptions
    spans_routes = True

    def __init__(self, options: IntrospectionOptions, env: Env) -> None:
        super().__init__(options, env)
        self._meter = AuthMeter(env.metrics, "introspection")
        self._introspector = Introspector(options, env)

    def identity_headers(self) -> Iterable[str]:
        return tuple(self.options.claims_to_headers.values())

    def is_current(self, env: Env) -> bool:
        return self._introspector.service.is_current(env)

    def on_request(self, exchange: Exchange) -> Reply | None:
        authorization = exchange.headers.get("authorization")
        if authorization is not None:
            known = self._introspector.known(authorization)
            if known is not None:
                return self._let_in(exchange, known)
        return ADMITTED if self._token(exchange) is None else None

    async def admit(self, exchange: Exchange) -> Reply | None:
        token = self._token(exchange)
        if token is not None:
            try:
                found = await self._introspector.ask(exchange.headers.get("authorization") or "", token)
            except TokenServiceError as error:
                self._meter.error.inc()
                raise self._introspector.service.unavailable(error) from None
            self._let_in(exchange, found)
        return None

    def _token(self, exchange: Exchange) -> str | None:
        return shown_token(exchange.headers, self.env.name, self._meter, self.options.optional)

    def _let_in(self, exchange: Exchange, found: Introspected) -> Reply:
        if found.refusal:
            self._meter.denied.inc()
            raise invalid_token(self.env.name, found.refusal)
        if found.missing:
            self._meter.denied.inc()
            raise insufficient_scope(self.env.name, self.options.scopes)
        self._meter.allowed.value += 1
        set_identity(exchange, found.principal, found.claims, found.fields)
        return ADMITTED
