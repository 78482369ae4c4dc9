"""An application's handlers are tested with aiohttp's own fixtures."""

from typing import Any

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from gateway.application import GATEWAY
from gateway.errors import GatewayError, Kind
from gateway.plugin import UpstreamReply
from gateway.testing import FakeUpstream
from gateway.testing_app import with_gateway


async def page(request: web.Request) -> web.Response:
    given = request[GATEWAY]
    try:
        reply = await given.fetch("catalog", f"/items/{request.match_info['id']}", timeout=1.0)
    except GatewayError as error:
        raise web.HTTPBadGateway(text=error.kind.word) from None
    exchange = given.exchange
    return web.json_response([reply.json(), exchange.principal, exchange.raw_path, exchange.headers.get("x-a")])


async def talk(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    await ws.send_str(request[GATEWAY].exchange.route)
    await ws.close()
    return ws


def make_app() -> web.Application:
    @web.middleware
    async def known(request: web.Request, handler: Any) -> web.StreamResponse:
        assert request[GATEWAY], "it is there before the application's own middlewares"
        response: web.StreamResponse = await handler(request)
        return response

    app = web.Application(middlewares=[known])
    app.add_routes([web.get("/page/{id}", page), web.get("/talk", talk)])
    return app


async def test_a_handler_with_a_stand_in(aiohttp_client: AiohttpClient) -> None:
    catalog = FakeUpstream([UpstreamReply(200, {}, b'{"a":1}'), GatewayError(Kind.RESPONSE_TIMEOUT)])
    client = await aiohttp_client(with_gateway(make_app(), {"catalog": catalog}, principal="ada", route="web"))
    response = await client.get("/page/7?x=1", headers={"X-A": "b"})
    assert await response.json() == [{"a": 1}, "ada", "/page/7", "b"]
    assert catalog.calls == [("GET", "/items/7", {}, b"")]
    response = await client.get("/page/7")
    assert (response.status, await response.text()) == (502, "response_timeout")
    async with client.ws_connect("/talk") as ws:
        assert await ws.receive_str() == "web"


async def test_an_upstream_that_was_not_given(aiohttp_client: AiohttpClient, caplog: pytest.LogCaptureFixture) -> None:
    client = await aiohttp_client(with_gateway(make_app()))
    assert (await client.get("/page/7")).status == 500
    assert "no upstream 'catalog': give with_gateway(app, {'catalog': FakeUpstream(...)})" in caplog.text
