"""Requests that a plugin sends to another upstream after a failure, with their bodies."""

from __future__ import annotations

import time

import pytest

from tests.support.gateways import gateway, make_upstream, request, timeouts
from tests.support.misbehaving import CHUNKED, closing, exchange_of, naming, retry, status
from tests.support.polling import eventually
from tests.support.raw_upstream import Script, answering, echoing, saying, silent, upstream
from tests.support.standins import Fallback, devouring, early


@pytest.mark.parametrize("fields", [(), (CHUNKED,)])
@pytest.mark.parametrize("resends", [True, False])
@pytest.mark.parametrize("script", [saying(status(500)), closing, early, silent, None])
async def test_standby_gets_a_body_that_is_all_here(
    script: Script | None, resends: bool, fields: tuple[bytes, ...], unused_tcp_port: int
) -> None:
    body = b"3\r\nabc\r\n0\r\n\r\n" if fields else b"abc"
    fallback = Fallback(to="standby", resends=resends)
    async with (
        upstream(script or answering) as service,
        upstream(echoing) as standby,
        gateway(
            service.port if script else unused_tcp_port,
            plugins=[fallback],
            others=[make_upstream("standby", standby.port)],
            timeouts=timeouts(response=0.3),
        ) as up,
        up.client() as client,
    ):
        answer = await client.ask(request("/x?y", *fields, method="POST", body=body))
        assert (answer.status, answer.body) == (200, b"abc")
        assert [message.first for message in standby.requests] == [b"POST /x?y HTTP/1.1"]
        exchange = exchange_of(up)
        assert (exchange.outcome, exchange.upstream, exchange.fallback) == ("fallback", "standby", "upstream")
        assert exchange.attempts == 2
        assert len(fallback.asked) == 1


@pytest.mark.parametrize("size", [20, 60_000, 300_000])
@pytest.mark.parametrize(
    ("script", "resends", "moves"),
    [
        (None, False, True),
        (early, True, True),
        (early, False, False),
        (devouring(1), True, True),
        (devouring(1), False, False),
        (devouring(10, status(500)), True, True),
        (devouring(10, status(500)), False, False),
    ],
)
async def test_standby_gets_a_body_that_still_comes(
    script: Script | None, resends: bool, moves: bool, size: int, unused_tcp_port: int
) -> None:
    """A little of the body is there when the attempt fails."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    fallback = Fallback(to="standby", resends=resends)
    async with (
        upstream(script or answering) as service,
        upstream(echoing) as standby,
        gateway(
            service.port if script else unused_tcp_port,
            plugins=[fallback],
            others=[make_upstream("standby", standby.port)],
        ) as up,
        up.client() as client,
    ):
        client.send(request("/x", b"Content-Length: %d" % size, method="POST", body=body[:10]))
        await eventually(lambda: fallback.asked)
        if moves:
            client.send(body[10:])
        answer = await client.response()
        assert answer.status == (200 if moves else fallback.asked[0].status)
        assert len(standby.requests) == moves
        assert answer.body == body or not moves
        await up.idle()
        assert exchange_of(up).upstream == ("standby" if moves else "up")
        assert (up.recorder.finished[0][1] == "fallback") is moves


async def test_body_too_long_to_be_kept_is_not_sent_in_part() -> None:
    fallback = Fallback(to="standby")
    async with (
        upstream(devouring(70_000, status(500))) as service,
        upstream(echoing) as standby,
        gateway(service.port, plugins=[fallback], others=[make_upstream("standby", standby.port)]) as up,
        up.client() as client,
    ):
        client.send(request("/x", b"Content-Length: 80000", method="POST", body=bytes(70_000)))
        answer = await client.response()
        assert (answer.status, answer.body) == (500, b"broken")
        await up.idle()
        assert (len(fallback.asked), standby.requests) == (1, [])
        assert up.recorder.finished == [(500, "answered", "-")]


@pytest.mark.parametrize(
    ("script", "finished"),
    [
        (closing, (502, "upstream_reset", "UC")),
        (silent, (504, "response_timeout", "UT")),
        (saying(status(503)), (503, "fallback", "FB")),
        (None, (503, "no_endpoint", "UH")),
    ],
)
async def test_standby_fails_too(script: Script | None, finished: tuple[int, str, str]) -> None:
    fallback = Fallback(to="standby")
    async with upstream(saying(status(500))) as service, upstream(script or answering) as standby:
        other = make_upstream("standby", standby.port, timeouts=timeouts(response=0.1))
        if script is None:
            other.endpoints[0].put("drain", time.monotonic())
        async with gateway(service.port, plugins=[fallback], others=[other]) as up, up.client() as client:
            assert (await client.ask(request())).status == finished[0]
            assert (await client.ask(request("/ping"))).body == b"pong", "it was answered twice"
            assert len(fallback.asked) == 1
            assert len(standby.requests) == (script is not None)
            assert up.recorder.finished[0] == finished


async def test_retries_of_the_standby_begin_anew() -> None:
    fallback = Fallback(to="standby")
    async with (
        upstream(saying(status(500))) as service,
        upstream(closing) as bad,
        upstream(naming) as good,
        gateway(
            service.port,
            plugins=[fallback],
            retries=retry(),
            others=[make_upstream("standby", bad.port, good.port, retries=retry())],
        ) as up,
        up.client() as client,
    ):
        assert (await client.ask(request("/a"))).body == b"/a"
        assert (len(service.requests), len(bad.requests), len(good.requests)) == (2, 1, 1)
        assert [failure.status for failure in fallback.asked] == [500]


@pytest.mark.parametrize("own", [None, "", "own.example"])
@pytest.mark.parametrize("standbys", [None, "", "standby.example"])
async def test_each_upstream_has_its_own_host(own: str | None, standbys: str | None) -> None:
    async with (
        upstream(closing) as service,
        upstream(answering) as standby,
        gateway(
            service.port,
            host=own,
            plugins=[Fallback(to="standby")],
            others=[make_upstream("standby", standby.port, host=standbys)],
        ) as up,
        up.client() as client,
    ):
        assert (await client.ask(request("/x?y", b"X-A: 1", host=b"client.example"))).body == b"ok"
        for host, one in ((own, service), (standbys, standby)):
            expected = "client.example" if host is None else host or f"127.0.0.1:{one.port}"
            assert one.requests[0].all("host") == [expected]
        assert [message.get("x-a") for message in (*service.requests, *standby.requests)] == ["1", "1"]


@pytest.mark.parametrize("way", ["reset", "finish", "close"])
async def test_client_leaves_while_the_standby_works(way: str) -> None:
    async with (
        upstream(closing) as service,
        upstream(silent) as standby,
        gateway(service.port, plugins=[Fallback(to="standby")], others=[make_upstream("standby", standby.port)]) as up,
    ):
        async with up.client() as client:
            client.send(request())
            await eventually(lambda: standby.requests)
            if way == "close":
                await client.close()
            else:
                getattr(client, way)()
            await eventually(lambda: standby.open == 0)
            await up.idle()
        assert up.recorder.finished == [(499, "client_gone", "DC")]
