"""Connections to a service: kept, taken last in first out, limited, aged, and closed where they cannot be trusted."""

from __future__ import annotations

import asyncio

from tests.support.gateways import gateway, limits, request
from tests.support.polling import eventually
from tests.support.raw_upstream import OK, Peer, answering, held_until, saying, upstream


async def test_one_connection_serves_many_clients_in_turn() -> None:
    async with upstream(answering) as service, gateway(service.port) as running:
        for _ in range(5):
            async with running.client() as client:
                for _ in range(5):
                    assert (await client.ask(request())).body == b"ok"
        assert service.connections == 1
        assert running.endpoint.requests == 25


async def test_the_last_one_used_is_the_first_one_taken() -> None:
    async def script(peer: Peer) -> None:
        number = service.connections
        while True:
            message = await peer.request()
            if message.first.startswith(b"GET /wait"):
                await go.wait()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)

    go = asyncio.Event()
    async with (
        upstream(script) as service,
        gateway(service.port) as running,
        running.client() as first,
        running.client() as second,
    ):
        first.send(request("/wait"))
        await eventually(lambda: len(service.requests) == 1)
        assert (await second.ask(request())).body == b"2"
        go.set()
        assert (await first.response()).body == b"1"
        assert len(running.pool.idle) == 2
        assert [(await second.ask(request())).body for _ in range(3)] == [b"1"] * 3


async def test_no_more_connections_than_the_limit() -> None:
    most = 0

    async def script(peer: Peer) -> None:
        nonlocal most
        while True:
            await peer.request()
            most = max(most, service.open)
            await asyncio.sleep(0)
            peer.send(OK)

    async with upstream(script) as service, gateway(service.port, limits=limits(max_connections=3)) as running:

        async def client() -> None:
            async with running.client() as one:
                for _ in range(10):
                    assert (await one.ask(request())).body == b"ok"

        await asyncio.gather(*[client() for _ in range(20)])
        assert most <= 3
        assert service.connections == 3
        assert running.recorder.total("on_finish") == 200


async def test_queue_is_served_when_connections_close() -> None:
    """A service that closes after each answer: everyone in the queue gets a new connection."""
    ones = saying(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", close=True)
    async with upstream(ones) as service, gateway(service.port, limits=limits(max_connections=2)) as running:

        async def client() -> None:
            async with running.client() as one:
                assert (await one.ask(request())).body == b"ok"

        await asyncio.gather(*[client() for _ in range(20)])
        assert service.connections == 20


async def test_idle_and_old_connections_are_not_used() -> None:
    for options in ({"idle": 0.0}, {"max_age": 0.0}):
        async with upstream(answering) as service, gateway(service.port, limits=limits(**options)) as running:
            async with running.client() as client:
                for _ in range(3):
                    assert (await client.ask(request())).body == b"ok"
            assert service.connections == 3


async def test_service_closes_an_idle_connection() -> None:
    ones = saying(OK, close=True)
    async with upstream(ones) as service, gateway(service.port) as running, running.client() as client:
        for number in range(1, 4):
            assert (await client.ask(request())).body == b"ok"
            await eventually(lambda: not running.pool.connections)
            assert service.connections == number


async def test_closed_pool_closes_connections_as_they_become_free() -> None:
    go = asyncio.Event()

    async with upstream(held_until(go)) as service, gateway(service.port) as running, running.client() as client:
        client.send(request())
        await eventually(lambda: service.requests)
        running.pool.close()
        go.set()
        assert (await client.response()).body == b"ok"
        await eventually(lambda: not running.pool.connections)


async def test_drained_endpoint_gets_nothing_new() -> None:
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        running.endpoint.state = "drain"
        answer = await client.ask(request())
        assert (answer.status, answer.get("retry-after")) == (503, "1")
        assert answer.get("proxy-status") == "gateway; error=destination_unavailable"
        running.endpoint.state = "enabled"
        assert (await client.ask(request())).body == b"ok"
