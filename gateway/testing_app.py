"""What the tests of an application's handlers need, beside aiohttp's own fixtures: see `with_gateway`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.application.context import GATEWAY, Gateway
from gateway.application.fetch import fetch_through
from gateway.exchange import Exchange
from gateway.plugin import UpstreamClient
from gateway.testing import make_exchange


def with_gateway(
    app: web.Application, upstreams: Mapping[str, UpstreamClient] | None = None, **fields: Any
) -> web.Application:
    """The same application, whose requests have a stand-in for the gateway, for a test without one:

        client = await aiohttp_client(with_gateway(make_app(), {"catalog": FakeUpstream(...)}, principal="ada"))

    `upstreams` answer what handlers fetch; any other name is a LookupError. `fields` are attributes of each request's
    exchange, as with `make_exchange`. RuntimeError for an application that has run already.
    """
    known = dict(upstreams or {})

    def client(exchange: Exchange, name: str) -> UpstreamClient:
        if name not in known:
            raise LookupError(f"no upstream {name!r}: give with_gateway(app, {{{name!r}: FakeUpstream(...)}})")
        return known[name]

    fetch = fetch_through(client)

    @web.middleware
    async def stand_in(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = {"client_ip": request.remote or "192.0.2.1", **fields}
        exchange = make_exchange(request.method, request.raw_path, list(request.headers.items()), **given)
        request[GATEWAY] = Gateway(exchange, fetch)
        return await handler(request)

    app.middlewares.insert(0, stand_in)
    return app
