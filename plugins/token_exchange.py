"""Puts a token for the service behind in place of the client's own (RFC 8693), so that services see tokens meant for
them alone.

    - token_exchange:
        url: https://id.example.com/token
        client_id: gateway
        client_secret: ${GATEWAY_SECRET}
        audience: catalog
        scope: items:read

`resource` names the service by URL in place of, or beside, `audience`; each may be a list. `requested_token_type` and
`subject_token_type` are `access_token` unless they say otherwise. Where the service is, `client_auth`, `insecure_http`,
`timeout: 500ms` and `status_on_error: 503` are as for `introspection`. A client without a token is answered 401, one
whose token the service does not accept 401 too, and 403 where it gives no token for this audience or scope.

The new token is kept until 10 s before it expires, without `expires_in` for 60 s (`cache: {ttl: 60s, max: 10000}`), and
no longer than the client's own, where that is a JWT. So a client's token that is taken back goes on for as long: list
`jwt` or `introspection` before this one.
"""

from __future__ import annotations

from gateway.auth.bearer import shown_token
from gateway.auth.exchanger import ExchangeOptions, Exchanger
from gateway.auth.meter import AuthMeter
from gateway.auth.token_service import TokenServiceError
from gateway.plugin import ADMITTED, Env, Exchange, Kind, Plugin, Reply


class TokenExchange(Plugin):
    """Mutable state: the exchanger with the tokens it remembers."""

    Options = ExchangeOptions
    spans_routes = True

    def __init__(self, options: ExchangeOptions, env: Env) -> None:
        super().__init__(options, env)
        self._meter = AuthMeter(env.metrics, "token_exchange")
        self._exchanger = Exchanger(options, env)

    def is_current(self, env: Env) -> bool:
        return self._exchanger.service.is_current(env)

    def on_request(self, exchange: Exchange) -> Reply | None:
        authorization = exchange.headers.get("authorization")
        if authorization is not None:
            known = self._exchanger.known(authorization)
            if known is not None:
                return self._pass_on(exchange, known)
        self._token(exchange)
        return None

    async def admit(self, exchange: Exchange) -> Reply | None:
        token = self._token(exchange)
        try:
            issued = await self._exchanger.ask(exchange.headers.get("authorization") or "", token)
        except TokenServiceError as error:
            refusal = self._exchanger.refusal(error)
            (self._meter.error if refusal.kind is Kind.AUTH_UNAVAILABLE else self._meter.denied).inc()
            raise refusal from None
        self._pass_on(exchange, issued)
        return None

    def _token(self, exchange: Exchange) -> str:
        token = shown_token(exchange.headers, self.env.name, self._meter)
        assert token is not None
        return token

    def _pass_on(self, exchange: Exchange, authorization: str) -> Reply:
        self._meter.allowed.inc()
        exchange.headers.set("Authorization", authorization)
        return ADMITTED
