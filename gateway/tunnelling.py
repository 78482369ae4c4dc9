"""A request that goes on as a WebSocket: from the client's wish and the upstream's 101 on, until either side leaves."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, Kind
from gateway.routing.actions import Forward, WebSockets
from gateway.wire.client_connection import ClientConnection
from gateway.wire.deadlines import NEVER
from gateway.wire.head import RequestHead, ResponseHead
from gateway.wire.tunnel import UPGRADE, Tunnel, answers_with_websocket, asks_for_websocket

if TYPE_CHECKING:
    from gateway.attempt import LiveAttempt
    from gateway.live import LiveExchange
    from gateway.proxy import Proxy


def upgrade_lines(websockets: WebSockets, head: RequestHead) -> bytes:
    """The lines of the upstream's head that ask for a WebSocket, none where the client does not. GatewayError
    TOO_MANY_CONNECTIONS when the route has as many as it may."""
    if not asks_for_websocket(head):
        return b""
    websockets.check()
    return UPGRADE


def begin_tunnel(proxy: Proxy, exchange: LiveExchange, attempt: LiveAttempt, head: ResponseHead, body: bytes) -> None:
    """The upstream has answered with 101. GatewayError UPSTREAM_MALFORMED unless it was asked to.

    With that the attempt has done what it should, and what becomes of the tunnel says nothing of the upstream. What
    follows passes from transport to transport; no time limit is left but that of WebSockets. The end of either side is
    that of an answer's body, or of a client.
    """
    if not exchange.added.endswith(UPGRADE) or not answers_with_websocket(head):
        raise GatewayError(Kind.UPSTREAM_MALFORMED, cause="an upgrade that nobody asked for")
    action = exchange.matched.action if exchange.matched is not None else None
    websockets = action.websockets if isinstance(action, Forward) else None
    client, upstream = exchange.client, attempt.connection
    assert isinstance(client, ClientConnection)
    assert websockets is not None
    assert upstream is not None
    now = monotonic()
    attempt.status = 101
    attempt.waited = now - attempt.started
    attempt.settle(None, now)
    # Others may have been let in meanwhile.
    websockets.check()
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
    tunnel = exchange.tap = Tunnel(client, upstream, websockets.idle, websockets.open)
    tunnel.open(head, body)
