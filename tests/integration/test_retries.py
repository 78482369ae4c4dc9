"""More than one attempt at an upstream: when, where, and that nothing of a failed one is seen."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from gateway.plugin import Attempt, Exchange, Plugin, Reply
from tests.support.gateways import gateway, limits, make_settings, request, timeouts
from tests.support.misbehaving import InOrder, closing, exchange_of, naming, resetting, retry, status
from tests.support.polling import eventually
from tests.support.raw_upstream import (
    OK,
    Peer,
    Script,
    answering,
    echoing,
    held_until,
    in_turn,
    saying,
    silent,
    upstream,
)

# after which failures


@pytest.mark.parametrize("base", [0.0, 0.01])
@pytest.mark.parametrize(
    ("script", "reason", "error"),
    [
        (closing, "reset", "upstream_reset"),
        (resetting, "reset", "upstream_reset"),
        (saying(b"HTTP/1.1 200 OK\r\nX: ", close=True), "reset", "upstream_reset"),
        (saying(b"nonsense\r\n\r\n"), "reset", "upstream_malformed"),
        (silent, "timeout", "response_timeout"),
        (saying(status(500)), "500", None),
        (saying(status(503)), "503", None),
        (saying(status(503), close=True), "503", None),
        (saying(status(503, b"Retry-After: 0")), "503", None),
        (saying(status(503, b"Retry-After: soon")), "503", None),
        (saying(status(503, b"Retry-After: Mon, 01 Jan 2001 00:00:00 GMT")), "503", None),
        (saying(status(429)), "429", None),
        (saying(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nleft "), "500", None),
        (saying(b"HTTP/1.1 500 No\r\n\r\n", close=True), "500", None),
    ],
)
async def test_second_attempt_goes_to_another_endpoint(
    script: Script, reason: str, error: str | None, base: float
) -> None:
    retries = retry(per_try=0.3, base=base)
    async with (
        upstream(script) as bad,
        upstream(answering) as good,
        gateway(bad.port, good.port, retries=retries) as running,
    ):
        async with running.client() as client:
            answer = await client.ask(request())
            assert (answer.status, answer.names, answer.body) == (200, ["Content-Length", "Date"], b"ok")
            assert (await client.ask(request("/ping"))).body == b"pong", "something of the first answer was left over"
        assert (len(bad.requests), len(good.requests)) == (1, 1)
        assert running.recorder.errors == [error, None]
        assert running.recorder.phases() == [
            *["on_request", "on_attempt", "on_attempt_end", "on_attempt", "on_attempt_end", "on_response", "on_finish"]
        ]
        assert running.recorder.finished[0] == (200, "answered", "-")
        assert running.counted("gateway_retries_total", "up", reason) == 1
        await eventually(lambda: bad.open <= 1)


async def test_refused_connection_is_tried_at_another_endpoint(unused_tcp_port: int) -> None:
    async with (
        upstream(answering) as good,
        gateway(unused_tcp_port, good.port, retries=retry("connect")) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"ok"
        assert running.recorder.errors == ["connect_failed", None]
        assert running.counted("gateway_retries_total", "up", "connect") == 1
        assert [endpoint.errors for endpoint in running.upstream.endpoints] == [1, 0]


@pytest.mark.parametrize(
    ("on", "script", "expected"),
    [
        ("connect", saying(status(503)), 503),
        ("connect", closing, 502),
        ("reset", saying(status(503)), 503),
        ("503", closing, 502),
        ("503", saying(status(500)), 500),
        ("500", saying(status(503)), 503),
        ("503", saying(status(429)), 429),
        ("reset", silent, 504),
    ],
)
async def test_what_the_policy_does_not_name_is_the_answer(on: str, script: Script, expected: int) -> None:
    async with (
        upstream(script) as bad,
        upstream(answering) as good,
        gateway(bad.port, good.port, retries=retry(on, per_try=0.3)) as running,
        running.client() as client,
    ):
        answer = await client.ask(request())
        assert answer.status == expected
        assert (answer.body == b"broken") == (script not in (closing, silent)), "an upstream's own answer passes whole"
        assert not good.requests


@pytest.mark.parametrize("code", [503, 429])
async def test_upstream_that_asks_for_more_time_than_allowed_is_not_asked_again(code: int) -> None:
    async with (
        upstream(saying(status(code, b"Retry-After: 3"))) as bad,
        upstream(answering) as good,
        gateway(bad.port, good.port, retries=retry(max_retry_after=2.0)) as running,
        running.client() as client,
    ):
        answer = await client.ask(request())
        assert (answer.status, answer.get("retry-after"), answer.body) == (code, "3", b"broken")
        assert not good.requests


@pytest.mark.parametrize("code", [503, 429])
async def test_upstream_gets_the_time_that_it_asks_for(code: int) -> None:
    retries = retry(max_retry_after=60.0)
    async with upstream(saying(status(code, b"Retry-After: 50"))) as bad, gateway(bad.port, retries=retries) as running:
        async with running.client() as client:
            client.send(request())
            await eventually(lambda: running.recorder.total("on_attempt_end"))
            timer: Any = exchange_of(running).task
            assert 40 < timer.when() - asyncio.get_running_loop().time() <= 50
        assert len(bad.requests) == 1


async def test_retry_after_of_another_status_counts_for_nothing() -> None:
    async with (
        upstream(in_turn(saying(status(500, b"Retry-After: 50", b"Connection: close")), answering)) as service,
        gateway(service.port, retries=retry()) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"ok"


# how many, and where


async def test_attempts_are_all_tries_each_at_an_endpoint_of_its_own() -> None:
    async with (
        upstream(saying(status(503, body=b"1"))) as first,
        upstream(saying(status(503, body=b"2"))) as second,
        upstream(saying(status(503, body=b"3"))) as third,
        upstream(answering) as fourth,
        gateway(first.port, second.port, third.port, fourth.port, retries=retry(attempts=3)) as running,
        running.client() as client,
    ):
        answer = await client.ask(request())
        assert (answer.status, answer.body) == (503, b"3"), "the last answer passes"
        assert [len(one.requests) for one in (first, second, third, fourth)] == [1, 1, 1, 0]
        assert exchange_of(running).attempts == running.recorder.total("on_attempt") == 3
        assert running.counted("gateway_retries_total", "up", "503") == 2


async def test_only_endpoint_is_asked_again() -> None:
    async with (
        upstream(saying(status(503))) as service,
        gateway(service.port, retries=retry(attempts=4)) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).status == 503
        assert len(service.requests) == 4
        assert service.connections == 1, "an answer that is all here leaves its connection in order"


async def test_reused_connection_that_died_costs_no_attempt() -> None:
    async def dies(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.request()

    scripts = in_turn(dies, closing, answering)
    async with upstream(scripts) as service, gateway(service.port, retries=retry("reset", attempts=2)) as running:
        async with running.client() as client:
            assert (await client.ask(request("/1"))).body == b"ok"
            assert (await client.ask(request("/2"))).body == b"ok"
        assert service.connections == 3
        assert running.recorder.errors == [None, "upstream_reset", "upstream_reset", None]
        assert running.counted("gateway_retries_total", "up", "reset") == 2


# which requests


@pytest.mark.parametrize("script", [closing, saying(status(503)), silent])
@pytest.mark.parametrize(
    ("fields", "options", "again"),
    [((), {}, False), ((b"Idempotency-Key: k1",), {}, True), ((), {"non_idempotent": True}, True)],
)
async def test_post_that_was_sent(script: Script, fields: tuple[bytes, ...], options: Any, again: bool) -> None:
    async with (
        upstream(script) as bad,
        upstream(echoing) as good,
        gateway(bad.port, good.port, retries=retry(per_try=0.3, **options)) as running,
        running.client() as client,
    ):
        answer = await client.ask(request("/x", *fields, method="POST", body=b"order"))
        assert (answer.body == b"order") == (answer.status == 200) == (len(good.requests) == 1) == again
        assert bad.requests[0].body == b"order"


async def test_post_that_was_never_sent(unused_tcp_port: int) -> None:
    async with (
        upstream(echoing) as good,
        gateway(unused_tcp_port, good.port, retries=retry()) as running,
        running.client() as client,
    ):
        assert (await client.ask(request(method="POST", body=b"order"))).body == b"order"
        assert running.recorder.errors == ["connect_failed", None]


async def test_head() -> None:
    async with (
        upstream(saying(b"HTTP/1.1 503 No\r\nContent-Length: 6\r\n\r\n")) as bad,
        upstream(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")) as good,
        gateway(bad.port, good.port, retries=retry()) as running,
        running.client() as client,
    ):
        answer = await client.ask(request(method="HEAD"), "HEAD")
        assert (answer.status, answer.get("content-length")) == (200, "5")
        assert (await client.ask(request("/ping"))).body == b"pong"


async def test_pipelined_requests_stay_in_order() -> None:
    async with (
        upstream(in_turn(closing, saying(status(503)), resetting)) as bad,
        upstream(naming) as good,
        gateway(bad.port, good.port, retries=retry(base=0.005)) as running,
        running.client() as client,
    ):
        client.send(b"".join(request(f"/{number}") for number in range(20)))
        assert [(await client.response()).body for _ in range(20)] == [b"/%d" % number for number in range(20)]
        assert bad.requests


# budget and time


async def test_without_a_budget_the_failure_passes() -> None:
    async with (
        upstream(saying(status(503))) as bad,
        upstream(answering) as good,
        gateway(bad.port, good.port, retries=retry(budget=0.0, min_retries=0)) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"broken"
        assert not good.requests


@pytest.mark.parametrize("script", [closing, saying(status(503))])
async def test_retry_under_way_takes_its_part_of_the_budget(script: Script) -> None:
    go = asyncio.Event()

    async with (
        upstream(script) as bad,
        upstream(held_until(go)) as good,
        gateway(bad.port, good.port, retries=retry(budget=0.0, min_retries=1)) as running,
        running.client() as first,
        running.client() as second,
    ):
        first.send(request("/first"))
        await eventually(lambda: good.requests)
        assert running.upstream.budget.taken == 1
        assert (await second.ask(request("/second"))).status in (502, 503), "there is no room for another retry"
        go.set()
        assert (await first.response()).body == b"ok"
        assert running.upstream.budget.taken == 0
        assert (await second.ask(request("/third"))).body == b"ok"


async def test_pause_that_does_not_fit_into_the_total_is_not_made() -> None:
    async with (
        upstream(saying(status(503, b"Retry-After: 30"))) as bad,
        upstream(answering) as good,
        gateway(bad.port, good.port, retries=retry(max_retry_after=60.0), timeouts=timeouts(total=20.0)) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"broken"
        assert not good.requests
        assert running.upstream.budget.taken == 0


@pytest.mark.parametrize("way", ["reset", "finish", "close", "gateway"])
async def test_client_leaves_during_the_pause(way: str) -> None:
    async with (
        upstream(saying(status(503, b"Retry-After: 30"))) as bad,
        upstream(answering) as good,
        gateway(bad.port, good.port, retries=retry(max_retry_after=60.0)) as running,
    ):
        async with running.client() as client:
            client.send(request())
            await eventually(lambda: running.recorder.total("on_attempt_end"))
            assert running.upstream.budget.taken == 1
            if way == "gateway":
                running.listener.abort()
            elif way == "close":
                await client.close()
            else:
                getattr(client, way)()
            await running.idle()
        assert running.recorder.finished == [(499, "client_gone", "DC")]
        assert exchange_of(running).task is None
        assert not good.requests


async def test_client_leaves_during_the_second_attempt() -> None:
    async with (
        upstream(saying(status(503))) as bad,
        upstream(silent) as good,
        gateway(bad.port, good.port, retries=retry()) as running,
    ):
        async with running.client() as client:
            client.send(request())
            await eventually(lambda: good.requests)
            client.reset()
            await eventually(lambda: good.open == 0)
        assert running.recorder.errors == [None, "client_gone"]


async def test_slow_client_is_its_own_fault() -> None:
    async with (
        upstream(silent) as bad,
        upstream(answering) as good,
        gateway(bad.port, good.port, retries=retry(), settings=make_settings(body_timeout=0.1)) as running,
        running.client() as client,
    ):
        client.send(request("/x", b"Content-Length: 10", method="PUT") + b"abc")
        assert (await client.response()).status == 408
        assert not good.requests


# no room, or no connection in time


@pytest.mark.parametrize(("queue", "counted"), [(0, 0), (5, 1)])
async def test_endpoint_without_room_is_passed_over(queue: int, counted: int) -> None:
    """At once where its queue is full, else when it has waited there for too long."""
    settings = limits(max_connections=1, max_queue=queue, queue_timeout=0.1)
    async with (
        upstream(silent) as full,
        upstream(echoing) as free,
        gateway(full.port, free.port, retries=retry("connect"), limits=settings, balance=InOrder()) as running,
        running.client() as blocker,
        running.client() as client,
    ):
        blocker.send(request("/blocker"))
        await eventually(lambda: full.requests)
        assert (await client.ask(request(method="POST", body=b"order"))).body == b"order"
        assert running.recorder.total("on_attempt") == 3, "it was first in line at the full one"
        assert running.counted("gateway_retries_total", "up", "full") == counted
        assert (len(full.requests), len(running.pool.queue)) == (1, 0)
        assert running.endpoint.errors <= 1


async def test_only_endpoint_without_room_is_not_asked_again() -> None:
    settings = limits(max_connections=1, max_queue=5, queue_timeout=0.1)
    async with (
        upstream(silent) as service,
        gateway(service.port, retries=retry(attempts=9), limits=settings) as running,
        running.client() as blocker,
        running.client() as client,
    ):
        blocker.send(request("/blocker"))
        await eventually(lambda: service.requests)
        assert (await client.ask(request())).status == 503
        assert running.recorder.errors == ["queue_timeout"]


async def test_time_of_one_try_covers_the_connection() -> None:
    # A queue of connections that nobody accepts, and that is full: the next one stays in its handshake.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        async with (
            upstream(answering) as service,
            gateway(full.getsockname()[1], service.port, retries=retry("timeout", per_try=0.3)) as running,
            running.client() as client,
        ):
            assert (await client.ask(request())).body == b"ok"
            assert running.recorder.errors == ["response_timeout", None]


# too late for another attempt


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nrubbish\r\n",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_answer_that_breaks_off_is_never_begun_again(begun: bytes, method: str) -> None:
    async def breaking(peer: Peer) -> None:
        await peer.request()
        head, _, body = begun.partition(b"\r\n\r\n")
        peer.send(head + b"\r\n\r\n")
        await eventually(lambda: exchange_of(running).responding)
        peer.send(body)

    async with (
        upstream(breaking) as bad,
        upstream(answering) as good,
        gateway(bad.port, good.port, retries=retry(attempts=3)) as running,
        running.client() as client,
    ):
        client.send(request(method=method, body=b"x" if method == "PUT" else b""))
        assert (await client.head()).status == 200
        assert await client.ends() == "reset"
        await running.idle()
        assert (bad.connections, good.connections) == (1, 0)
        assert running.recorder.finished[0][0] == 200
        assert running.recorder.total("on_attempt") == 1


async def test_body_that_stops_is_cut_and_not_tried_again() -> None:
    async with (
        upstream(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")) as bad,
        upstream(answering) as good,
        gateway(bad.port, good.port, retries=retry(), timeouts=timeouts(body=0.1)) as running,
        running.client() as client,
    ):
        client.send(request())
        assert (await client.head()).status == 200
        assert await client.ends() == "reset"
        assert not good.requests


# what else may happen before the second attempt


class CrashAtSecond(Plugin):
    """Raises before the second attempt of an exchange."""

    def __init__(self) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]

    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> Reply | None:
        if attempt.number == 2:
            raise RuntimeError("no second try")
        return None


@pytest.mark.parametrize("base", [0.0, 0.02])
async def test_plugin_crashes_before_the_second_attempt(base: float) -> None:
    async with (
        upstream(saying(status(503))) as bad,
        upstream(answering) as good,
        gateway(bad.port, good.port, retries=retry(base=base), plugins=[CrashAtSecond()]) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).status == 500
        await running.idle()
        assert (running.upstream.budget.taken, running.upstream.in_flight, len(good.requests)) == (0, 0, 0)


async def test_endpoint_is_drained_before_the_second_attempt() -> None:
    async with (
        upstream(saying(status(503, b"Retry-After: 1"))) as service,
        gateway(service.port, retries=retry()) as running,
        running.client() as client,
    ):
        client.send(request())
        await eventually(lambda: running.recorder.total("on_attempt_end"))
        running.endpoint.put("drain", 0.0)
        answer = await client.response()
        assert (answer.status, answer.get("proxy-status")) == (503, "gateway; error=destination_unavailable")
        assert running.upstream.budget.taken == 0
        assert running.recorder.finished == [(503, "no_endpoint", "UH")]


async def test_second_attempt_finds_no_room() -> None:
    async def failing(peer: Peer) -> None:
        await peer.request()
        full.put("enabled", 0.0)
        peer.send(status(503))
        await peer.gone()

    settings = limits(max_connections=1, max_queue=0)
    async with (
        upstream(failing) as bad,
        upstream(silent) as busy,
        gateway(bad.port, busy.port, retries=retry(), limits=settings) as running,
        running.client() as first,
        running.client() as second,
    ):
        _, full = running.upstream.endpoints
        running.endpoint.put("drain", 0.0)
        first.send(request("/first"))
        await eventually(lambda: busy.requests)
        running.endpoint.put("enabled", 0.0)
        full.put("drain", 0.0)
        answer = await second.ask(request("/second"))
        assert (answer.status, answer.get("proxy-status")) == (503, "gateway; error=connection_limit_reached")
        assert running.upstream.budget.taken == 0
