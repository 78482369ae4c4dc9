"""One side goes away, or a plugin crashes, at every stage: all is given back, and every phase is over exactly once."""

from __future__ import annotations

import logging

import pytest

from gateway.plugin import Attempt, Exchange, Plugin, Reply
from tests.support.gateways import Gateway, gateway, limits, make_settings, request
from tests.support.polling import eventually, turns
from tests.support.ports import deaf_port
from tests.support.raw_client import RawClient
from tests.support.raw_upstream import OK, Peer, answering, in_turn, saying, silent, upstream
from tests.support.recording import Cached, Gate, ReadsRequest, ReadsResponse, Requester, crashing

HEAD = b"HTTP/1.1 200 OK\r\n"
LEAVINGS = ["reset", "finish", "close"]


async def leave(client: RawClient, way: str) -> None:
    if way == "reset":
        client.reset()
    elif way == "finish":
        client.finish()
    else:
        await client.close()


def check_gone(running: Gateway, attempts: int = 1) -> None:
    assert [found[1] for found in running.recorder.finished] == ["client_gone"]
    assert running.recorder.finished[0][2] == "DC"
    assert running.recorder.total("on_attempt") == running.recorder.total("on_attempt_end") == attempts
    assert running.endpoint.errors == 0, "the client's leaving is no fault of the service"


@pytest.mark.parametrize("way", LEAVINGS)
async def test_client_leaves_while_the_service_is_silent(way: str) -> None:
    async with upstream(silent) as service, gateway(service.port) as running:
        async with running.client() as client:
            client.send(request())
            await eventually(lambda: service.requests)
            await leave(client, way)
            await running.idle()
            await eventually(lambda: service.open == 0, "the service was not told")
        check_gone(running)
        assert running.recorder.finished[0][0] == 499


@pytest.mark.parametrize("way", LEAVINGS)
async def test_client_leaves_in_the_middle_of_the_answer(way: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(HEAD + b"Content-Length: 10\r\n\r\nabc")
        await peer.gone()

    async with upstream(script) as service, gateway(service.port) as running:
        async with running.client() as client:
            client.send(request())
            await client.head()
            await leave(client, way)
            await eventually(lambda: service.open == 0)
            await running.idle()
        check_gone(running)
        assert running.recorder.finished[0][0] == 200, "what the client was told stays"


@pytest.mark.parametrize("way", LEAVINGS)
async def test_client_leaves_in_the_middle_of_its_body(way: str) -> None:
    async with upstream(silent) as service, gateway(service.port) as running:
        async with running.client() as client:
            client.send(request("/x", b"Content-Length: 10", method="POST") + b"abc")
            await eventually(lambda: service.requests)
            await leave(client, way)
            await eventually(lambda: service.open == 0)
            await running.idle()
        check_gone(running)


@pytest.mark.parametrize("way", LEAVINGS)
async def test_client_leaves_with_bodies_under_way_both_ways(way: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await peer.gone()

    async with upstream(script) as service, gateway(service.port) as running:
        async with running.client() as client:
            client.send(request("/x", b"Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n")
            await client.head()
            await leave(client, way)
            await eventually(lambda: service.open == 0)
            await running.idle()
        check_gone(running)


@pytest.mark.parametrize("way", LEAVINGS)
async def test_client_leaves_while_it_is_in_the_queue(way: str) -> None:
    settings = limits(max_connections=1, queue_timeout=30.0)
    async with upstream(silent) as service, gateway(service.port, limits=settings) as running:
        async with running.client() as first, running.client() as second:
            first.send(request())
            await eventually(lambda: service.requests)
            second.send(request("/second"))
            await eventually(lambda: running.pool.queue)
            await leave(second, way)
            await eventually(lambda: not running.pool.queue)
            assert running.endpoint.in_flight == 1
        await running.idle()
        assert len(service.requests) == 1
        assert running.recorder.total("on_attempt_end") == 2


@pytest.mark.parametrize("way", LEAVINGS)
async def test_client_leaves_while_connecting(way: str) -> None:
    async with deaf_port() as port, gateway(port, limits=limits(connect=0.5)) as running:
        async with running.client() as client:
            client.send(request())
            await eventually(lambda: running.pool.connecting)
            await leave(client, way)
            await running.idle()
        check_gone(running)


async def test_connection_made_for_a_client_that_left_serves_the_next() -> None:
    async with upstream(answering) as service, gateway(service.port) as running:
        async with running.client() as client:
            client.send(request())
            await eventually(lambda: running.recorder.total("on_attempt"))
            client.reset()
            await running.idle()
            await eventually(lambda: not running.pool.connecting)
        async with running.client() as client:
            assert (await client.ask(request("/next"))).body == b"ok"


@pytest.mark.parametrize("way", LEAVINGS)
@pytest.mark.parametrize("cached_before", [0, 1, 2])
async def test_client_leaves_while_a_plugin_waits(way: str, cached_before: int) -> None:
    gate = Gate()
    plugins: list[Plugin] = [*[Cached() for _ in range(cached_before)], gate]
    async with upstream(answering) as service, gateway(service.port, plugins=plugins) as running:
        async with running.client() as client:
            client.send(request())
            await eventually(lambda: gate.waiting)
            await leave(client, way)
            await running.idle()
            await eventually(lambda: gate.cancelled == 1, "the plugin waits on for nobody")
        check_gone(running, attempts=0)
    assert service.connections == 0


@pytest.mark.parametrize("cached_before", [0, 1])
async def test_plugin_waits_and_lets_pass(cached_before: int) -> None:
    gate = Gate()
    plugins: list[Plugin] = [*[Cached() for _ in range(cached_before)], gate, Cached()]
    async with (
        upstream(answering) as service,
        gateway(service.port, plugins=plugins) as running,
        running.client() as client,
    ):
        client.send(request(method="POST", body=b"abc") + request("/ping"))
        await eventually(lambda: gate.waiting)
        await turns()
        assert service.connections == 0
        gate.open.set()
        assert (await client.response()).body == b"ok"
        assert (await client.response()).body == b"pong"


async def test_client_leaves_while_its_body_is_collected() -> None:
    async with upstream(answering) as service, gateway(service.port, plugins=[ReadsRequest()]) as running:
        async with running.client() as client:
            client.send(request("/x", b"Content-Length: 10", method="POST") + b"abc")
            await eventually(lambda: running.proxy.active)
        await eventually(lambda: running.proxy.active == 0)
        assert running.recorder.total("on_finish") == 1
    assert service.connections == 0


async def test_half_closed_client_is_served_where_the_listener_allows_it() -> None:
    async with (
        upstream(answering) as service,
        gateway(service.port, settings=make_settings(half_close=True)) as running,
    ):
        async with running.client() as client:
            client.send(request())
            client.finish()
            assert (await client.response()).body == b"ok"
            assert await client.rest() == b""
        assert running.recorder.finished == [(200, "answered", "-")]


async def test_half_closed_client_gets_all_answers_it_asked_for() -> None:
    async with (
        upstream(answering) as service,
        gateway(service.port, settings=make_settings(half_close=True)) as running,
        running.client() as client,
    ):
        client.send(request("/1") + request("/2") + request("/3"))
        client.finish()
        for _ in range(3):
            assert (await client.response()).body == b"ok"
        assert await client.rest() == b""
    assert len(service.requests) == 3


async def test_half_closed_in_the_middle_of_its_body_is_gone() -> None:
    async with upstream(silent) as service, gateway(service.port, settings=make_settings(half_close=True)) as running:
        async with running.client() as client:
            client.send(request("/x", b"Content-Length: 10", method="POST") + b"abc")
            await eventually(lambda: service.requests)
            client.finish()
            await running.idle()
        check_gone(running)


async def test_client_that_pipelined_and_left_is_noticed() -> None:
    """Pipelined bytes wait their turn, and the end of the connection stands behind them."""
    async with upstream(silent) as service, gateway(service.port) as running, running.client() as client:
        client.send(request())
        await eventually(lambda: service.requests)
        client.send(request("/second"))
        await turns()
        client.reset()
        await eventually(lambda: service.open == 0, "the service works on for nobody")
        await running.idle()


# the service goes


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_service_leaves_before_it_answers(reset: bool, method: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if reset:
            peer.reset()

    async with upstream(script) as service, gateway(service.port) as running, running.client() as client:
        answer = await client.ask(request(method=method))
        assert answer.status == 502
        assert service.connections == 1, "a new connection that dies is not tried again"
        assert running.recorder.errors == ["upstream_reset"]
        assert (await client.ask(request("/ping"))).body == b"pong"


async def test_service_leaves_in_the_middle_of_the_head() -> None:
    async with (
        upstream(saying(b"HTTP/1.1 200 OK\r\nX: ", close=True)) as service,
        gateway(service.port) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).status == 502


async def test_service_leaves_while_the_body_is_sent() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.reset()

    async with upstream(script) as service, gateway(service.port) as running, running.client() as client:
        client.send(request("/x", b"Content-Length: 1000000", method="POST") + b"a" * 1000)
        answer = await client.response()
        assert (answer.status, answer.get("connection")) == (502, "close")
        assert await client.rest() == b""


async def test_nobody_listens() -> None:
    async with upstream(answering) as service:
        port = service.port
    async with gateway(port) as running, running.client() as client:
        answer = await client.ask(request())
        assert answer.status == 502
        assert answer.get("proxy-status") == "gateway; error=connection_refused"
        assert running.recorder.errors == ["connect_failed"]


async def test_connecting_takes_too_long() -> None:
    async with deaf_port() as port, gateway(port, limits=limits(connect=0.1)) as running, running.client() as client:
        answer = await client.ask(request())
        assert (answer.status, answer.get("proxy-status")) == (504, "gateway; error=connection_timeout")


@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 70 + ".invalid", "a..b"])
async def test_name_without_an_address(name: str) -> None:
    async with gateway(80, upstream_host=name, limits=limits(connect=4.0)) as running, running.client() as client:
        answer = await client.ask(request())
        assert answer.status in (502, 504)
        assert name.encode() not in answer.body


@pytest.mark.parametrize("how", ["close", "reset", "banner"])
async def test_service_that_accepts_and_does_not_wait_for_the_request(how: str) -> None:
    """The connection may be dead before the gateway has handed it to anybody: no place in the pool may be lost."""

    async def script(peer: Peer) -> None:
        if how == "reset":
            peer.reset()
        elif how == "banner":
            peer.send(b"220 hello\r\n")
            await peer.gone()

    settings = limits(max_connections=2)
    async with upstream(script) as service, gateway(service.port, limits=settings) as running:
        async with running.client() as client:
            for _ in range(10):
                answer = await client.ask(request())
                assert answer.status == 502, answer.body
            await turns()
            assert not running.pool.connections, "dead connections fill the pool"
        assert service.connections == 10


# a reused connection that died


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize(
    ("sent", "again"),
    [
        (request("/second"), True),
        (request("/second", method="HEAD"), True),
        (request("/second", method="PUT", body=b"abc"), True),
        (request("/second", b"Transfer-Encoding: chunked", method="PUT", body=b"3\r\nabc\r\n0\r\n\r\n"), True),
        (request("/second", method="DELETE"), True),
        (request("/second", method="POST", body=b"abc"), False),
        (request("/second", method="PATCH", body=b"abc"), False),
    ],
)
async def test_reused_connection_that_died_is_tried_again_once(sent: bytes, again: bool, reset: bool) -> None:
    async def dies(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.request()
        if reset:
            peer.reset()

    async with upstream(in_turn(dies, answering)) as service, gateway(service.port) as running:
        async with running.client() as client:
            assert (await client.ask(request("/first"))).status == 200
            answer = await client.ask(sent, sent.partition(b" ")[0].decode())
            assert answer.status == (200 if again else 502)
        assert service.connections == (2 if again else 1)
        if again:
            assert [message.body for message in service.requests[1:]] == [service.requests[1].body] * 2
            assert service.requests[1].fields == service.requests[2].fields
        assert running.recorder.total("on_finish") == 2
        assert running.recorder.total("on_attempt") == running.recorder.total("on_attempt_end") == (3 if again else 2)


async def test_reused_connection_that_died_after_a_byte_is_not_tried_again() -> None:
    async def dies(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.request()
        peer.send(b"H")

    async with upstream(in_turn(dies, answering)) as service, gateway(service.port) as running:
        async with running.client() as client:
            assert (await client.ask(request("/first"))).status == 200
            assert (await client.ask(request("/second"))).status == 502
        assert service.connections == 1


async def test_second_try_is_the_last() -> None:
    async def dies(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.request()

    async def dies_at_once(peer: Peer) -> None:
        await peer.request()

    async with upstream(in_turn(dies, dies_at_once)) as service, gateway(service.port) as running:
        async with running.client() as client:
            assert (await client.ask(request("/first"))).status == 200
            assert (await client.ask(request("/second"))).status == 502
        assert service.connections == 2


class CrashAtSecond(Plugin):
    """Raises before the second attempt of an exchange."""

    def __init__(self) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]

    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> Reply | None:
        if attempt.number == 2:
            raise RuntimeError("no second try")
        return None


async def test_plugin_crash_before_the_second_try_is_answered() -> None:
    async def dies(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.request()

    async with (
        upstream(in_turn(dies, answering)) as service,
        gateway(service.port, plugins=[CrashAtSecond()]) as running,
        running.client() as client,
    ):
        assert (await client.ask(request("/first"))).status == 200
        assert (await client.ask(request("/second"))).status == 500


# plugins crash


@pytest.mark.parametrize("phase", ["on_request", "admit", "on_attempt", "on_response"])
@pytest.mark.parametrize("answer", [OK, HEAD + b"Content-Length: 9\r\n\r\nabc"])
async def test_plugin_crash_before_the_head_fails_the_request_closed(phase: str, answer: bytes) -> None:
    async with upstream(saying(answer)) as service, gateway(service.port, plugins=[crashing(phase)]) as running:
        async with running.client() as client:
            got = await client.ask(request())
            assert got.status == 500
            assert b"crash in" not in got.body
            assert b"RuntimeError" not in got.body
            again = await client.ask(request())
            assert again.status == 500
        await running.idle()
        assert [found[:2] for found in running.recorder.finished] == [(500, "plugin_crashed")] * 2
        assert running.endpoint.errors == 0, "a plugin's crash is no error of the service"


@pytest.mark.parametrize("phase", ["on_attempt_end", "on_finish"])
async def test_plugin_crash_after_the_answer_is_logged(phase: str, caplog: pytest.LogCaptureFixture) -> None:
    async with upstream(answering) as service, gateway(service.port, plugins=[crashing(phase)]) as running:
        async with running.client() as client:
            with caplog.at_level(logging.ERROR):
                for _ in range(2):
                    assert (await client.ask(request())).body == b"ok"
            assert caplog.text.count(f"crash in {phase}") >= 2
        assert service.connections == 1


async def test_plugin_answers_for_the_service() -> None:
    plugin = Requester(lambda exchange: Reply.json(402, {"pay": 1}))
    async with upstream(answering) as service, gateway(service.port, plugins=[plugin]) as running:
        async with running.client() as client:
            answer = await client.ask(request("/x", b"Content-Length: 3", method="POST") + b"abc" + request("/y"))
            assert (answer.status, answer.body) == (402, b'{"pay":1}')
            assert (await client.response()).status == 402
        assert running.recorder.phases(0) == ["on_request", "on_response", "on_finish"]
    assert service.connections == 0


async def test_oversized_answer_does_not_harm_the_next_in_the_queue() -> None:
    """The connection was handed on when the answer was complete; giving the attempt up must not close it."""
    answers = iter([HEAD + b"Content-Length: 101\r\n\r\n" + b"a" * 101, OK, OK])

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await eventually(lambda: len(running.pool.queue) == 1 or len(service.requests) > 1)
            peer.send(next(answers))

    settings = limits(max_connections=1, queue_timeout=5.0)
    async with (
        upstream(script) as service,
        gateway(service.port, plugins=[ReadsResponse()], limits=settings) as running,
        running.client() as first,
        running.client() as second,
    ):
        first.send(request("/first"))
        await eventually(lambda: running.pool.connecting or running.pool.connections)
        second.send(request("/second"))
        assert (await first.response()).status == 502
        assert (await second.response()).body == b"ok"
