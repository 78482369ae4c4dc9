"""A request that goes on as a WebSocket: from the upstream's 101 on, until either side leaves."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, Kind
from gateway.routing.actions import Forward
from gateway.wire.deadlines import NEVER
from gateway.wire.head import ResponseHead
from gateway.wire.tunnel import Tunnel, answers_with_websocket, asks_for_websocket

if TYPE_CHECKING:
    from gateway.attempt import LiveAttempt
    from gateway.live import LiveExchange
    from gateway.proxy import Proxy


def begin_tunnel(proxy: Proxy, exchange: LiveExchange, attempt: LiveAttempt, head: ResponseHead, body: bytes) -> None:
    """The upstream has answered with 101. GatewayError UPSTREAM_MALFORMED unless it was asked to.

    What follows is relayed as bodies are, and ends as they end: the upstream's with its connection, the client's when
    it leaves. Only time limits are gone, those of the whole request too.
    """
    action = exchange.matched.action if exchange.matched is not None else None
    asked = isinstance(action, Forward) and action.upgrades and asks_for_websocket(exchange.headers)
    if not asked or not answers_with_websocket(head):
        raise GatewayError(Kind.UPSTREAM_MALFORMED, cause="an upgrade that nobody asked for")
    attempt.status = 101
    attempt.waited = monotonic() - attempt.started
    if exchange.chain.run_responses(exchange, head, exchange.ran) is not None:
        exchange.crashed = True
        proxy.fail(exchange, GatewayError(Kind.PLUGIN_CRASHED))
        return
    if exchange.cookie is not None:
        head.add("Set-Cookie", exchange.cookie)
    if exchange.told:
        head.add_all(exchange.told)
    exchange.status = 101
    exchange.responding = True
    exchange.replay = None
    exchange.bytes_out = len(body)
    exchange.total_at = NEVER
    exchange.wait(None, NEVER)
    # No plugin watches what is no answer's body.
    tunnel = exchange.tap = Tunnel(exchange.client)
    tunnel.open(head, body)
