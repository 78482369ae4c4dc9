"""An upstream that takes so many requests at a time: who is refused, and that every place comes back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from gateway.plugin import Failure, Plugin
from gateway.routing.actions import Forward, Importance
from gateway.upstreams.concurrency import Fixed, Limiter
from tests.support.gateways import (
    PING,
    Gateway,
    Path,
    gateway,
    limits,
    make_settings,
    make_upstream,
    request,
    timeouts,
)
from tests.support.misbehaving import CHUNKED, closing, resetting, retry, status
from tests.support.polling import eventually
from tests.support.raw_upstream import OK, Peer, Script, answering, in_turn, saying, silent, upstream
from tests.support.recording import Gate, ReadsResponse, Requester, crashing
from tests.support.standins import INSTEAD, Attempting, Fallback, endless, refuse

TO_UP = (("up", 1),)
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
IMPORTANCES: tuple[Importance, ...] = ("low", "normal", "high")
PATHS: list[Path] = [PING, *((f"/{word}", Forward(TO_UP, importance=word)) for word in IMPORTANCES)]


def places(running: Gateway) -> int:
    limiter = running.upstream.limiter
    assert limiter is not None
    return limiter.in_flight


class Held:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        while True:
            await peer.request()
            await self.go_on.wait()
            peer.send(OK)


async def test_no_place_is_left() -> None:
    held = Held()
    async with (
        upstream(held) as service,
        gateway(service.port, limiter=Limiter(Fixed(1)), retries=retry()) as running,
        running.client() as first,
        running.client() as second,
    ):
        first.send(request())
        await eventually(lambda: service.requests)
        answer = await second.ask(request())
        assert (answer.status, answer.get("retry-after")) == (503, "1")
        assert answer.get("proxy-status") == "gateway; error=connection_limit_reached"
        assert b"urn:aiogate:problem:overloaded" in answer.body
        assert (await second.ask(request("/ping"))).body == b"pong"
        assert running.recorder.finished[0] == (503, "overloaded", "UO")
        assert (len(service.requests), places(running)) == (1, 1)
        held.go_on.set()
        assert (await first.response()).body == b"ok"
        assert (await second.ask(request())).body == b"ok"


@pytest.mark.parametrize(
    ("under_way", "word", "passes"),
    [
        (2, "low", True),
        (3, "low", False),
        (3, "normal", True),
        (4, "low", False),
        (4, "normal", False),
        (4, "high", True),
        (6, "normal", False),
        (6, "high", True),
    ],
)
async def test_unimportant_requests_are_refused_first(under_way: int, word: str, passes: bool) -> None:
    held = Held()
    async with (
        upstream(held) as service,
        gateway(service.port, paths=PATHS, limiter=Limiter(Fixed(4))) as running,
        contextlib.AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(running.client()) for _ in range(under_way)]
        for client in clients:
            client.send(request("/high"))
        await eventually(lambda: places(running) == under_way)
        last = await stack.enter_async_context(running.client())
        last.send(request(f"/{word}"))
        if passes:
            await eventually(lambda: places(running) == under_way + 1)
            held.go_on.set()
        assert (await last.response()).status == (200 if passes else 503)
        held.go_on.set()
        assert [(await client.response()).status for client in clients] == [200] * under_way


WAYS_OUT: list[Any] = [
    pytest.param(answering, (), 200, id="answered"),
    pytest.param(saying(status(404)), (), 404, id="404"),
    pytest.param(saying(status(500)), (), 500, id="500"),
    pytest.param(saying(b"HTTP/1.1 204 No\r\n\r\n"), (), 204, id="204"),
    pytest.param(closing, (), 502, id="closed"),
    pytest.param(resetting, (), 502, id="reset"),
    pytest.param(saying(b"nonsense\r\n\r\n"), (), 502, id="malformed"),
    pytest.param(silent, (), 504, id="silent"),
    pytest.param(None, (), 502, id="refused"),
    pytest.param(saying(BEGUN, close=True), (), 0, id="cut"),
    pytest.param(saying(BEGUN), (), 0, id="stuck"),
    pytest.param(saying(BEGUN, close=True), (ReadsResponse(),), 502, id="cut-while-collected"),
    pytest.param(saying(status(200, body=bytes(200))), (ReadsResponse(),), 502, id="too-large"),
    pytest.param(saying(status(500)), (Fallback(INSTEAD),), 200, id="fallback"),
    pytest.param(endless, (Fallback(INSTEAD),), 200, id="fallback-for-an-endless-one"),
    pytest.param(closing, (Fallback(INSTEAD),), 200, id="fallback-for-none"),
    pytest.param(silent, (Fallback(to="standby"),), 200, id="standby"),
    pytest.param(answering, (Attempting(lambda exchange, attempt: INSTEAD),), 200, id="reply-in-place-of-an-attempt"),
    pytest.param(answering, (Attempting(refuse),), 503, id="breaker"),
    pytest.param(answering, (Requester(lambda exchange: INSTEAD),), 200, id="reply"),
    *(
        pytest.param(answering, (crashing(phase),), told, id=f"crash-in-{phase}")
        for phase, told in [
            ("on_request", 500),
            ("admit", 500),
            ("on_attempt", 500),
            ("on_attempt_end", 200),
            ("on_response", 500),
            ("on_finish", 200),
        ]
    ),
]


@pytest.mark.parametrize(("script", "plugins", "told"), WAYS_OUT)
async def test_place_is_given_back(
    script: Script | None, plugins: tuple[Plugin, ...], told: int, unused_tcp_port: int
) -> None:
    async with (
        upstream(script or answering) as service,
        upstream(answering) as standby,
        gateway(
            service.port if script else unused_tcp_port,
            plugins=plugins,
            limiter=Limiter(Fixed(1)),
            timeouts=timeouts(response=0.1, body=0.1),
            others=[make_upstream("standby", standby.port, limiter=Limiter(Fixed(1)))],
        ) as running,
    ):
        # The second one gets the place of the first.
        for _ in range(2):
            async with running.client() as client:
                client.send(request())
                if told:
                    assert (await client.response()).status == told
                else:
                    assert (await client.head()).status == 200
                    assert await client.ends() == "reset"
                await running.idle()
                assert places(running) == 0


@pytest.mark.parametrize("way", ["reset", "close"])
@pytest.mark.parametrize("script", [silent, saying(BEGUN)])
async def test_client_that_leaves_gives_its_place_back(script: Script, way: str) -> None:
    async with upstream(script) as service, gateway(service.port, limiter=Limiter(Fixed(1))) as running:
        async with running.client() as client:
            client.send(request())
            await eventually(lambda: service.requests)
            if script is not silent:
                assert (await client.head()).status == 200
            assert places(running) == 1
            client.reset() if way == "reset" else await client.close()
            await running.idle()
            assert places(running) == 0
        limiter = running.upstream.limiter
        assert limiter is not None
        assert limiter.refused == 0


async def test_client_that_leaves_while_a_plugin_waits_has_no_place() -> None:
    gate = Gate()
    async with (
        upstream(answering) as service,
        gateway(service.port, plugins=[gate], limiter=Limiter(Fixed(1))) as running,
    ):
        async with running.client() as client:
            client.send(request())
            await eventually(lambda: gate.waiting)
            assert places(running) == 0
        await running.idle()


async def test_next_attempt_takes_the_place_of_the_failed_one() -> None:
    async with (
        upstream(in_turn(closing, answering)) as service,
        gateway(service.port, limiter=Limiter(Fixed(1)), retries=retry()) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"ok"
        assert (running.recorder.errors, places(running)) == (["upstream_reset", None], 0)


@pytest.mark.parametrize("to", ["", "standby"])
async def test_fallback_stands_in_where_no_place_is_left(to: str) -> None:
    fallback = Fallback(None if to else INSTEAD, to)
    full = Limiter(Fixed(1))
    async with (
        upstream(answering) as service,
        gateway(
            service.port, plugins=[fallback], limiter=full, others=[make_upstream("standby", service.port)]
        ) as running,
        running.client() as client,
    ):
        assert full.take("high")
        assert (await client.ask(request())).body == (b"ok" if to else b"instead")
        assert fallback.asked == [Failure(503, "overloaded", "full")]
        full.give_back(0.0, None)
        assert running.recorder.finished == [(200, "fallback", "UO,FB")]


async def test_standby_has_no_place_either() -> None:
    full = Limiter(Fixed(1))
    async with (
        upstream(saying(status(500))) as service,
        gateway(
            service.port,
            plugins=[Fallback(to="standby")],
            limiter=Limiter(Fixed(1)),
            others=[make_upstream("standby", service.port, limiter=full)],
        ) as running,
        running.client() as client,
    ):
        assert full.take("high")
        answer = await client.ask(request())
        assert (answer.status, answer.get("retry-after")) == (503, "1")
        full.give_back(0.0, None)
        assert (running.recorder.finished, places(running)) == ([(503, "overloaded", "UO")], 0)


# more than the limit


async def test_refusal_is_no_fault_of_the_endpoint() -> None:
    held = Held()
    async with (
        upstream(held) as service,
        gateway(service.port, limiter=Limiter(Fixed(1)), retries=retry()) as running,
        running.client() as first,
        running.client() as second,
    ):
        first.send(request())
        await eventually(lambda: service.requests)
        for _ in range(3):
            assert (await second.ask(request(method="PUT", body=b"abc"))).status == 503
        assert running.recorder.total("on_attempt") == 1, "there was no attempt, nor another one"
        assert (running.endpoint.in_flight, running.endpoint.errors) == (1, 0)
        assert running.counted("gateway_shed_total", "up") == 3


async def test_refusal_while_the_body_is_still_to_come() -> None:
    async with (
        upstream(silent) as service,
        gateway(service.port, limiter=Limiter(Fixed(1))) as running,
        running.client() as blocker,
        running.client() as client,
    ):
        blocker.send(request("/blocker"))
        await eventually(lambda: service.requests)
        client.send(request("/x", CHUNKED, method="POST") + b"3\r\nabc\r\n")
        answer = await client.response()
        assert (answer.status, answer.get("connection")) == (503, "close")
        assert await client.rest() == b""


async def test_no_more_at_a_time_than_the_limit() -> None:
    most = 0

    async def script(peer: Peer) -> None:
        nonlocal most
        while True:
            await peer.request()
            most = max(most, running.upstream.in_flight)
            await asyncio.sleep(0)
            peer.send(OK)

    limiter = Limiter(Fixed(5))
    async with upstream(script) as service, gateway(service.port, limiter=limiter) as running:

        async def client() -> list[int]:
            async with running.client() as connection:
                return [(await connection.ask(request())).status for _ in range(20)]

        answers = [code for codes in await asyncio.gather(*(client() for _ in range(20))) for code in codes]
        assert (set(answers), len(answers)) == ({200, 503}, 400)
        assert answers.count(200) == len(service.requests)
        assert answers.count(503) == limiter.refused
        assert most == 5


# who has a place, and for how long


async def test_place_is_given_back_by_the_queue() -> None:
    async with (
        upstream(silent) as service,
        gateway(
            service.port, limiter=Limiter(Fixed(2)), limits=limits(max_connections=1, queue_timeout=0.1)
        ) as running,
        running.client() as blocker,
        running.client() as client,
    ):
        blocker.send(request("/blocker"))
        await eventually(lambda: service.requests)
        assert (await client.ask(request())).status == 503
        assert places(running) == 1
        client.send(request())
        await eventually(lambda: running.pool.queue)
        assert places(running) == 2
        client.reset()
        await eventually(lambda: places(running) == 1)


async def test_client_that_leaves_in_the_middle_of_its_body_gives_its_place_back() -> None:
    async with (
        upstream(silent) as service,
        gateway(service.port, limiter=Limiter(Fixed(1))) as running,
        running.client() as client,
    ):
        client.send(request("/x", b"Content-Length: 9", method="PUT") + b"abc")
        await eventually(lambda: running.pool.active)
        client.reset()
        await running.idle()
        assert places(running) == 0


async def test_gateway_that_stops_gives_places_back() -> None:
    async with (
        upstream(silent) as service,
        gateway(service.port, limiter=Limiter(Fixed(1))) as running,
        running.client() as client,
    ):
        client.send(request())
        await eventually(lambda: service.requests)
        running.listener.abort()
        await running.idle()
        assert places(running) == 0


async def test_no_place_is_taken_where_there_is_no_endpoint() -> None:
    limiter = Limiter(Fixed(1))
    async with gateway(limiter=limiter) as running, running.client() as client:
        running.endpoint.put("drain", 0.0)
        assert (await client.ask(request())).status == 503
        assert limiter.in_flight == limiter.refused == 0


async def test_place_is_free_during_the_pause_before_another_attempt() -> None:
    """And the attempt is let in all the same: what the first one has cost is spent."""
    scripts = in_turn(saying(status(503, b"Retry-After: 1", b"Connection: close")), silent, answering)
    async with (
        upstream(scripts) as service,
        gateway(service.port, limiter=Limiter(Fixed(1)), retries=retry()) as running,
        running.client() as client,
        running.client() as other,
    ):
        client.send(request("/1"))
        await eventually(lambda: running.recorder.total("on_attempt_end"))
        assert places(running) == 0
        other.send(request("/2"))
        await eventually(lambda: len(service.requests) == 2)
        assert places(running) == 1
        assert (await client.response()).body == b"ok"
        assert places(running) == 1


async def test_next_of_a_pipeline_has_a_place() -> None:
    async with (
        upstream(answering) as service,
        gateway(service.port, limiter=Limiter(Fixed(1))) as running,
        running.client() as client,
    ):
        client.send(request("/1") + request("/2") + request("/ping") + request("/3"))
        assert [(await client.response()).status for _ in range(4)] == [200] * 4


async def test_client_that_reads_slowly_keeps_its_place() -> None:
    """The upstream works for it all the time."""

    async def unending(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.send(b"x" * 65536)
            await peer.writer.drain()

    settings = make_settings(idle_timeout=0.3)
    async with (
        upstream(unending) as service,
        gateway(service.port, limiter=Limiter(Fixed(1)), settings=settings) as running,
    ):
        async with running.client(receive_buffer=4096) as client:
            client.send(request())
            await eventually(lambda: running.recorder.total("on_response"))
            assert places(running) == 1
            await running.idle()
        assert places(running) == 0
