"""How a request comes into its frontend, before it is routed."""

from __future__ import annotations

from gateway.live import LiveExchange
from gateway.routing.frontend import NOWHERE, Frontends
from gateway.routing.router import Router


def enter(exchange: LiveExchange, frontends: Frontends) -> Router:
    """Have the request join its frontend, if there is one, and go on without the prefix. Returns the router to ask.

    GatewayError for a path that can be read in two ways, and for a body that is too long.
    """
    settings, head = exchange.client.settings, exchange.headers
    frontend = frontends.named.get(settings.frontend)
    sent = exchange.raw_path
    limit, router = frontends.body_limit, exchange.table.router
    path: str | None
    if frontend is None:
        frontend, path = frontends.choose(head.block.host, sent, exchange)
        if frontend is not None:
            exchange.join(frontend)
    else:
        # The listener's: a path that is refused is refused within the frontend.
        exchange.join(frontend)
        path = frontend.inner_path(sent)
    if frontend is not None:
        limit, router = frontend.body_limit, frontend.router
    if path is None:
        router = NOWHERE
    elif path != sent:
        exchange.raw_path = path
        head.target = path + head.target[len(sent) :]
        head.line = None
    if limit < settings.request_body and (exchange.bytes_in or not exchange.request_ended):
        exchange.limit_body(limit)
    return router
