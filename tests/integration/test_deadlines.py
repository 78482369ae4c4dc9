"""The time for a whole request: what it covers, whose word counts, and what the upstream is told of it."""

from __future__ import annotations

import pytest

from gateway.routing.actions import Forward
from tests.support.gateways import Path, gateway, limits, make_settings, make_upstream, request, timeouts
from tests.support.misbehaving import closing, exchange_of, retry, status
from tests.support.polling import eventually
from tests.support.raw_upstream import OK, Peer, RawUpstream, answering, in_turn, saying, silent, upstream
from tests.support.recording import Gate
from tests.support.standins import INSTEAD, Fallback

NAME = "X-Request-Deadline-Ms"
MINUTE = 60_000


def within(seconds: float | None) -> list[Path]:
    return [("/**", Forward((("up", 1),), total=seconds))]


def told(service: RawUpstream) -> list[list[int]]:
    """The values that each request brought."""
    return [[int(value) for value in message.all(NAME)] for message in service.requests]


# what the total covers


@pytest.mark.parametrize(
    ("route", "upstreams"), [(0.25, None), (0.25, 60.0), (60.0, 0.25), (None, 0.25)], ids=lambda value: f"{value}"
)
async def test_total_covers_retries(route: float | None, upstreams: float | None) -> None:
    policy = retry(attempts=100, per_try=0.05, budget=1.0)
    async with (
        upstream(silent) as service,
        gateway(service.port, paths=within(route), retries=policy, timeouts=timeouts(total=upstreams)) as running,
        running.client() as client,
    ):
        answer = await client.ask(request())
        assert answer.status == 504
        assert answer.get("proxy-status") == "gateway; error=http_response_timeout"
        assert b"urn:aiogate:problem:total_timeout" in answer.body
        await running.idle()
        assert running.recorder.finished == [(504, "total_timeout", "UT")]
        assert running.recorder.errors[-1] == "total_timeout" or len(running.recorder.errors) > 1
        exchange = exchange_of(running)
        assert exchange.ended - exchange.started >= 0.25


async def test_total_covers_the_queue() -> None:
    async with (
        upstream(silent) as service,
        gateway(
            service.port, paths=[("/slow", Forward((("up", 1),))), *within(0.1)], limits=limits(max_connections=1)
        ) as running,
        running.client() as first,
        running.client() as second,
    ):
        first.send(request("/slow"))
        await eventually(lambda: service.requests)
        answer = await second.ask(request())
        assert answer.status == 504
        assert running.recorder.finished == [(504, "total_timeout", "UT")]
        assert (len(service.requests), len(running.pool.queue)) == (1, 0)


async def test_total_covers_a_pause() -> None:
    """The upstream asks for a pause that fits, and then says nothing."""
    script = in_turn(saying(status(503, b"Retry-After: 0")), silent)
    async with (
        upstream(script) as service,
        gateway(service.port, paths=within(0.1), retries=retry(base=0.02, longest=0.02)) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).status in (503, 504)


async def test_no_attempt_begins_that_could_not_end_in_time() -> None:
    async with (
        upstream(saying(status(503, b"Retry-After: 1"))) as service,
        gateway(service.port, paths=within(0.9), retries=retry()) as running,
        running.client() as client,
    ):
        answer = await client.ask(request())
        assert (answer.status, answer.body, len(service.requests)) == (503, b"broken", 1)


async def test_answer_that_has_begun_is_cut_when_the_time_is_over() -> None:
    script = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    async with (
        upstream(script) as service,
        gateway(service.port, paths=within(0.1)) as running,
        running.client() as client,
    ):
        client.send(request())
        assert (await client.head()).status == 200
        assert await client.ends() == "reset"
        await running.idle()
        assert running.recorder.finished == [(200, "total_timeout", "UT")]


async def test_total_covers_the_clients_own_time() -> None:
    async with (
        upstream(silent) as service,
        gateway(service.port, paths=within(0.2), retries=retry()) as running,
        running.client() as client,
    ):
        client.send(request("/x", b"Content-Length: 9", method="PUT") + b"abc")
        answer = await client.response()
        assert (answer.status, answer.get("connection")) == (504, "close")
        assert await client.rest() == b""


async def test_total_covers_a_client_that_reads_slowly() -> None:
    async def unending(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.send(b"x" * 65536)
            await peer.writer.drain()

    async with upstream(unending) as service, gateway(service.port, paths=within(0.5)) as running:
        async with running.client(receive_buffer=4096) as client:
            client.send(request())
            await eventually(lambda: running.recorder.total("on_response"))
            await running.idle()
        assert running.recorder.finished == [(200, "total_timeout", "UT")]


async def test_total_covers_a_plugin_that_waits() -> None:
    gate = Gate()
    async with (
        upstream(answering) as service,
        gateway(service.port, paths=within(60.0), plugins=[gate]) as running,
        running.client() as client,
    ):
        client.send(request())
        await eventually(lambda: gate.waiting)
        exchange_of(running).total_at -= 61.0
        gate.open.set()
        assert (await client.response()).status == 504
        assert not service.requests


async def test_total_ends_the_wait_of_a_plugin() -> None:
    gate = Gate()
    async with (
        upstream(answering) as service,
        gateway(service.port, paths=within(0.2), plugins=[gate]) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).status == 504
        await eventually(lambda: gate.cancelled == 1, "the plugin waits on for nobody")
        assert running.recorder.finished == [(504, "total_timeout", "UT")]
        assert not service.requests


# what the upstream is told


async def test_upstream_is_told_what_is_left() -> None:
    async with (
        upstream(in_turn(silent, answering)) as service,
        gateway(service.port, paths=within(60.0), retries=retry(per_try=0.05)) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"ok"
        ((first,), (second,)) = told(service)
        assert 0 < second <= first - 50 < first <= MINUTE


async def test_upstream_is_told_nothing_without_a_total() -> None:
    async with (
        upstream(in_turn(closing, answering)) as service,
        gateway(service.port, retries=retry()) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"ok"
        assert told(service) == [[], []]


@pytest.mark.parametrize("total", [None, 60.0])
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([b"30000"], 30_000),
        ([b" 30000 "], 30_000),
        ([b"000030000"], 30_000),
        ([b"30000", b"rubbish"], 30_000),
        ([b"90000"], 90_000),
        ([b"9" * 400], 10**15),
        ([b""], None),
        ([b"-30000"], None),
        ([b"+30000"], None),
        ([b"30000.5"], None),
        ([b"3e4"], None),
        ([b"30_000"], None),
        ([b"30s"], None),
        ([b"30000, 20000"], None),
        ([b"\xb2\xb3"], None),
    ],
)
async def test_trusted_peer_may_shorten_the_time(
    fields: list[bytes], expected: int | None, total: float | None
) -> None:
    lines = [b"x-request-DEADLINE-ms: " + value for value in fields]
    async with (
        upstream(answering) as service,
        gateway(service.port, paths=within(total), settings=make_settings(trusted=True)) as running,
        running.client() as client,
    ):
        assert (await client.ask(request("/x", *lines))).body == b"ok"
        most = min((limit for limit in (expected, total and int(total * 1000)) if limit is not None), default=None)
        if most is None:
            assert told(service) == [[]]
        else:
            ((left,),) = told(service)
            assert most - 10_000 < left <= most or (most == 10**15 and left > 10**10)


@pytest.mark.parametrize("value", [b"0", b"1", b"100"])
async def test_time_of_a_trusted_peer_is_over(value: bytes) -> None:
    async with (
        upstream(silent) as service,
        gateway(service.port, paths=within(60.0), settings=make_settings(trusted=True)) as running,
        running.client() as client,
    ):
        answer = await client.ask(request("/x", NAME.encode() + b": " + value))
        assert answer.status == 504
        assert b"urn:aiogate:problem:deadline_exceeded" in answer.body
        assert running.recorder.finished == [(504, "deadline_exceeded", "DE")]
        assert running.endpoint.errors == 0, "that says nothing of the service"


@pytest.mark.parametrize("total", [None, 60.0])
@pytest.mark.parametrize("value", [b"0", b"1", b"999999999", b"rubbish"])
async def test_untrusted_peer_has_no_say(value: bytes, total: float | None) -> None:
    async with (
        upstream(answering) as service,
        gateway(service.port, paths=within(total)) as running,
        running.client() as client,
    ):
        assert (await client.ask(request("/x", NAME.encode() + b": " + value))).body == b"ok"
        (values,) = told(service)
        assert len(values) == (total is not None)
        assert all(MINUTE - 10_000 < left <= MINUTE for left in values)


async def test_other_spelling_of_an_untrusted_peer_does_not_pass() -> None:
    async with (
        upstream(answering) as service,
        gateway(service.port, paths=within(60.0)) as running,
        running.client() as client,
    ):
        assert (await client.ask(request("/x", b"X_Request_Deadline_Ms: 0"))).body == b"ok"
        spelt = [name for name in service.requests[0].names if name.lower().replace("_", "-") == NAME.lower()]
        assert spelt == [NAME], "ours alone"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nobody_is_asked_when_no_time_is_left(method: str) -> None:
    async with (
        upstream(answering) as service,
        gateway(service.port, settings=make_settings(trusted=True), retries=retry()) as running,
        running.client() as client,
    ):
        assert (await client.ask(request("/x", NAME.encode() + b": 0", method=method))).status == 504
        assert not service.requests
        assert (await client.ask(request())).body == b"ok"


async def test_next_request_has_its_own_time() -> None:
    async with (
        upstream(in_turn(silent, saying(OK))) as service,
        gateway(service.port, settings=make_settings(trusted=True)) as running,
        running.client() as client,
    ):
        client.send(request("/1", NAME.encode() + b": 100") + request("/2"))
        assert (await client.response()).status == 504
        assert (await client.response()).body == b"ok"
        assert told(service)[1] == []


# after it


async def test_fallback_still_answers_when_the_time_is_over() -> None:
    fallback = Fallback(INSTEAD)
    async with (
        upstream(silent) as service,
        gateway(service.port, paths=within(0.1), plugins=[fallback]) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"instead"
        assert running.recorder.finished == [(200, "fallback", "UT,FB")]
        assert [failure.error for failure in fallback.asked] == ["total_timeout"]


async def test_standby_is_not_asked_when_the_time_is_over() -> None:
    fallback = Fallback(to="standby")
    async with (
        upstream(silent) as service,
        upstream(answering) as standby,
        gateway(
            service.port, paths=within(0.1), plugins=[fallback], others=[make_upstream("standby", standby.port)]
        ) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).status == 504
        assert (len(fallback.asked), standby.requests) == (1, [])
        assert running.recorder.finished == [(504, "total_timeout", "UT")]
        assert exchange_of(running).upstream == "up"


async def test_standby_has_what_is_left_of_the_time() -> None:
    fallback = Fallback(to="standby")
    async with (
        upstream(saying(status(500))) as service,
        upstream(answering) as standby,
        gateway(
            service.port,
            paths=within(60.0),
            plugins=[fallback],
            others=[make_upstream("standby", standby.port, timeouts=timeouts(total=5.0))],
        ) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"ok"
        ((left,),) = told(standby)
        assert 0 < left <= 5000


@pytest.mark.parametrize(
    ("theirs", "total", "expected"), [(60_000, 0.2, "total_timeout"), (200, 60.0, "deadline_exceeded")]
)
async def test_standby_is_late_by_whichever_limit_is_sooner(theirs: int, total: float, expected: str) -> None:
    async with (
        upstream(saying(status(500))) as service,
        upstream(silent) as standby,
        gateway(
            service.port,
            settings=make_settings(trusted=True),
            plugins=[Fallback(to="standby")],
            others=[make_upstream("standby", standby.port, timeouts=timeouts(total=total))],
        ) as running,
        running.client() as client,
    ):
        assert (await client.ask(request("/x", f"{NAME}: {theirs}".encode()))).status == 504
        assert running.recorder.finished[0][1] == expected
