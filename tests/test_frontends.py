"""A request comes into its frontend: what it is known by from there on, and what is asked of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.chain import Chain
from gateway.exchange import Reply
from gateway.live import LiveExchange
from gateway.routing.actions import Respond
from gateway.routing.frontend import Frontend, Frontends
from gateway.routing.pattern import parse_pattern
from gateway.routing.route import Route
from gateway.routing.router import Router
from tests.support.gateways import PING, Gateway, gateway, make_settings, request
from tests.support.recording import Recorder


@contextlib.asynccontextmanager
async def serving(own: str = "", body_limit: int = 100) -> AsyncIterator[tuple[Gateway, Recorder]]:
    """A gateway with a frontend `mobile` under /m, and what its plugin has seen."""
    recorder = Recorder()
    chain = Chain([recorder])
    page = Route("page", parse_pattern("/page/{id}"), Respond(Reply.text(200, "page")), chain=chain, frontend="mobile")
    mobile = Frontend("mobile", Router([page]), chain, prefix="/m", body_limit=body_limit)
    async with gateway(paths=[PING], settings=make_settings(frontend=own, request_body=1000)) as running:
        table = replace(running.proxy.table, chain=Chain(()), frontends=Frontends([mobile], body_limit=10))
        running.proxy.table = table
        yield running, recorder


@pytest.mark.parametrize("own", ["", "mobile"])
async def test_what_it_is_known_by(own: str) -> None:
    async with serving(own) as (running, recorder), running.client() as client:
        assert (await client.ask(request("/m/page/1?q=2"))).body == b"page"
        assert (await client.ask(request("/m/none"))).status == 404
        page, none = recorder.exchanges
    assert isinstance(page, LiveExchange)
    assert (page.frontend, page.route, page.route_id) == ("mobile", "page", "mobile/page")
    assert (page.raw_path, page.path, page.sent_path, page.query) == ("/page/1", "/page/1", "/m/page/1", "q=2")
    assert (dict(page.captures), page.headers.target) == ({"id": "1"}, "/page/1?q=2")
    assert (none.frontend, none.route, none.route_id, none.sent_path) == ("mobile", "-", "mobile/-", "/m/none")
    assert recorder.phases(1) == ["on_response", "on_finish"]


async def test_outside_of_frontends() -> None:
    async with serving() as (running, recorder), running.client() as client:
        assert (await client.ask(request("/ping"))).body == b"pong"
        assert (await client.ask(request("/page/1"))).status == 404
        (ping,) = running.recorder.exchanges
    assert recorder.exchanges == []
    assert (ping.frontend, ping.route, ping.route_id, ping.sent_path) == ("", "r0", "r0", "/ping")


async def test_where_the_listener_says_whose_it_is() -> None:
    async with serving("mobile") as (running, recorder), running.client() as client:
        assert (await client.ask(request("/page/1"))).status == 404
        assert (await client.ask(request("/%6d/page/1"))).status == 400
        assert (await client.ask(b"GET / HTTP/9.9\r\n\r\n")).status == 505
        assert [exchange.route_id for exchange in recorder.exchanges] == ["mobile/-"] * 3
        assert [exchange.sent_path for exchange in recorder.exchanges][:2] == ["/page/1", "/%6d/page/1"]


@pytest.mark.parametrize(
    ("target", "length", "status"),
    [
        ("/m/page/1", 100, 200),
        ("/m/page/1", 101, 413),
        ("/ping", 10, 200),
        ("/ping", 11, 413),
        ("/ping", 1001, 413),
    ],
)
async def test_the_longest_body(target: str, length: int, status: int) -> None:
    async with serving() as (running, _), running.client() as client:
        assert (await client.ask(request(target, method="POST", body=b"x" * length))).status == status
