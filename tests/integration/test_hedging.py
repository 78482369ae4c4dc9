"""Two attempts at once: the first answer counts, the other attempt ends, and its service is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.hedging import HedgedAttempt
from gateway.plugin import Attempt, Exchange, GatewayError, Kind, Plugin, Reply
from gateway.upstreams.balance.sticky import StickyCookie, endpoint_id
from gateway.upstreams.concurrency import Fixed, Limiter
from gateway.upstreams.retry import HedgePolicy
from tests.support.gateways import Gateway, gateway, limits, request, timeouts
from tests.support.misbehaving import CHUNKED, InOrder, closing, exchange_of, resetting, retry, status
from tests.support.polling import eventually
from tests.support.raw_upstream import OK, Peer, RawUpstream, Script, answering, held_until, saying, silent, upstream
from tests.support.recording import ReadsResponse

SOON = HedgePolicy(after=0.01)


class Once:
    """A service's answer is held back until `go` is set."""

    def __init__(self, answer: bytes = OK) -> None:
        self.go = asyncio.Event()
        self.answer = answer
        self.ends: list[str] = []

    async def script(self, peer: Peer) -> None:
        """Answer each request when it may; tell how the gateway left."""
        await peer.request()
        leaving = asyncio.ensure_future(peer.gone())
        going = asyncio.ensure_future(self.go.wait())
        await asyncio.wait([leaving, going], return_when=asyncio.FIRST_COMPLETED)
        going.cancel()
        if not leaving.done():
            peer.send(self.answer)
        self.ends.append(await leaving)


def hedged(*services: RawUpstream, **options: Any) -> Any:
    """A gateway in front of the services, the first of which is asked first."""
    return gateway(*(one.port for one in services), **{"hedge": SOON, "balance": InOrder(), **options})


def attempt_of(running: Gateway) -> HedgedAttempt:
    attempt = exchange_of(running).attempt
    assert isinstance(attempt, HedgedAttempt)
    return attempt


async def both_asked(*services: RawUpstream) -> None:
    await eventually(lambda: all(service.requests for service in services), "the second attempt never came")


# who wins


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
async def test_second_is_faster(method: str) -> None:
    slow = Once()
    quick = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    async with upstream(slow.script) as first, upstream(quick) as second, hedged(first, second) as running:
        async with running.client() as client:
            assert (await client.ask(request(method=method), method)).status == 200
            await eventually(lambda: first.open == 0, "the slow one is not told")
            assert (await client.ask(request("/ping"))).body == b"pong"
        assert slow.ends == ["closed"]
        assert first.requests[0].fields == second.requests[0].fields
        assert running.recorder.errors == ["superseded", None]
        assert running.recorder.finished[0] == (200, "answered", "-")
        assert [endpoint.errors for endpoint in running.upstream.endpoints] == [0, 0], "to be slow is no error"
        assert running.counted("gateway_hedges_total", "up") == 1
        assert running.counted("gateway_upstream_requests_total", "up", "0") == 0


async def test_first_answers_after_all() -> None:
    slow, slower = Once(status(200, body=b"first")), Once()
    async with upstream(slow.script) as first, upstream(slower.script) as second, hedged(first, second) as running:
        async with running.client() as client:
            client.send(request())
            await both_asked(first, second)
            slow.go.set()
            assert (await client.response()).body == b"first"
            await eventually(lambda: second.open == 0, "the second one is not told")
            assert (await client.ask(request("/ping"))).body == b"pong"
        assert running.recorder.errors == ["superseded", None]
        assert running.recorder.finished[0] == (200, "answered", "-")


async def test_first_answers_in_time() -> None:
    async with (
        upstream(answering) as first,
        upstream(answering) as second,
        hedged(first, second, hedge=HedgePolicy(after=30.0)) as running,
        running.client() as client,
    ):
        client.send(request())
        assert (await client.response()).body == b"ok"
        assert running.recorder.errors == [None]
        assert not second.requests


async def test_answer_of_many_slices_is_the_winners_alone() -> None:
    slow = Once(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
    slices = [b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", *[b"abcd"] * 3]
    async with (
        upstream(slow.script) as first,
        upstream(saying(*slices)) as second,
        hedged(first, second) as running,
        running.client() as client,
    ):
        client.send(request())
        assert (await client.head()).get("content-length") == "12"
        slow.go.set()
        assert await client.read(12) == b"abcdabcdabcd"
        assert (await client.ask(request("/ping"))).body == b"pong"


async def test_winner_that_breaks_off_has_no_successor() -> None:
    slow = Once()
    broken = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"abc", close=True)
    async with (
        upstream(slow.script) as first,
        upstream(broken) as second,
        hedged(first, second, retries=retry(attempts=3)) as running,
        running.client() as client,
    ):
        client.send(request())
        assert (await client.head()).status == 200
        assert await client.ends() == "reset"
        assert (len(first.requests), len(second.requests)) == (1, 1)


# failures


@pytest.mark.parametrize("script", [closing, resetting, saying(status(500)), saying(b"rubbish\r\n\r\n")])
async def test_second_fails(script: Script) -> None:
    slow = Once(status(200, body=b"first"))
    async with upstream(slow.script) as first, upstream(script) as second, hedged(first, second) as running:
        async with running.client() as client:
            client.send(request())
            await eventually(lambda: running.recorder.total("on_attempt_end") == 1)
            slow.go.set()
            assert (await client.response()).body == b"first"
            assert (await client.ask(request("/ping"))).body == b"pong"
        assert running.recorder.finished[0] == (200, "answered", "-")
        assert [endpoint.errors for endpoint in running.upstream.endpoints] == [0, 1]


async def test_second_begins_an_endless_error() -> None:
    slow = Once(status(200, body=b"first"))
    endless = Once(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n")
    endless.go.set()
    async with (
        upstream(slow.script) as first,
        upstream(endless.script) as second,
        hedged(first, second) as running,
        running.client() as client,
    ):
        client.send(request())
        await eventually(lambda: endless.ends == ["closed"], "it is not cut")
        slow.go.set()
        assert (await client.response()).body == b"first"


async def test_second_cannot_connect(unused_tcp_port: int) -> None:
    slow = Once(status(200, body=b"first"))
    async with (
        upstream(slow.script) as first,
        gateway(first.port, unused_tcp_port, hedge=SOON, balance=InOrder()) as running,
        running.client() as client,
    ):
        client.send(request())
        await eventually(lambda: running.recorder.errors == ["connect_failed"])
        slow.go.set()
        assert (await client.response()).body == b"first"


@pytest.mark.parametrize("answer", [b"", status(503), b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nabc"])
async def test_first_fails_while_the_second_runs(answer: bytes) -> None:
    async def failing(peer: Peer) -> None:
        await peer.request()
        await eventually(lambda: second.requests)
        if answer:
            peer.send(answer)
            await peer.gone()

    slow = Once(status(200, body=b"second"))
    async with upstream(failing) as first, upstream(slow.script) as second, hedged(first, second) as running:
        async with running.client() as client:
            client.send(request())
            await eventually(lambda: running.recorder.total("on_attempt_end") == 1)
            assert attempt_of(running).number == 2
            slow.go.set()
            assert (await client.response()).body == b"second"
            assert (await client.ask(request("/ping"))).body == b"pong"
        assert running.recorder.finished[0] == (200, "answered", "-")


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("last", [b"", status(503, body=b"sorry")])
async def test_both_fail(order: str, last: bytes) -> None:
    hanging_up, dying = Once(b""), Once(last)
    one, other = (hanging_up, dying) if order == "first" else (dying, hanging_up)

    def script(once: Once) -> Script:
        async def fail(peer: Peer) -> None:
            await peer.request()
            await once.go.wait()
            peer.send(once.answer)

        return fail

    async with upstream(script(one)) as first, upstream(script(other)) as second, hedged(first, second) as running:
        async with running.client() as client:
            client.send(request())
            await both_asked(first, second)
            hanging_up.go.set()
            await eventually(lambda: running.recorder.total("on_attempt_end") == 1)
            dying.go.set()
            answer = await client.response()
            assert (answer.status, answer.body == b"sorry") == ((503, True) if last else (502, False))
            assert (await client.ask(request("/ping"))).body == b"pong"
        assert running.recorder.total("on_attempt") == 2
        assert [endpoint.errors for endpoint in running.upstream.endpoints] == [1, 1]


@pytest.mark.parametrize("answer", [b"", status(503)])
async def test_retry_after_both_failed_goes_to_a_third(answer: bytes) -> None:
    async def failing(peer: Peer) -> None:
        await peer.request()
        await both_asked(first, second)
        peer.send(answer)

    async with (
        upstream(failing) as first,
        upstream(failing) as second,
        upstream(answering) as third,
        hedged(first, second, third, retries=retry()) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"ok"
        assert (len(first.requests), len(second.requests), len(third.requests)) == (1, 1, 1)


@pytest.mark.parametrize("again", [True, False])
async def test_time_of_both_is_over(again: bool) -> None:
    retries = retry("timeout" if again else "connect", per_try=0.1)
    async with (
        upstream(silent) as first,
        upstream(silent) as second,
        upstream(answering) as third,
        hedged(first, second, third, retries=retries) as running,
        running.client() as client,
    ):
        answer = await client.ask(request())
        assert answer.status == (200 if again else 504)
        assert running.recorder.errors == ["response_timeout", "response_timeout", *([None] if again else [])]
        assert len(third.requests) == again
        await eventually(lambda: first.open == second.open == 0)


async def test_total_is_over_for_both() -> None:
    async with (
        upstream(silent) as first,
        upstream(silent) as second,
        hedged(first, second, timeouts=timeouts(total=0.2), retries=retry()) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).status == 504
        assert running.recorder.errors == ["total_timeout", "total_timeout"]
        assert running.recorder.finished == [(504, "total_timeout", "UT")]


async def test_plugin_reads_the_winners_answer() -> None:
    slow = Once()
    plugin = ReadsResponse()
    async with (
        upstream(slow.script) as first,
        upstream(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", b"second")) as second,
        hedged(first, second, plugins=[plugin]) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"second"
        assert plugin.bodies == [b"second"]


# which requests


async def test_body_is_sent_in_full_to_both() -> None:
    slow = Once()
    for fields, sent in [((), b"hello"), ((CHUNKED,), b"5\r\nhello\r\n0\r\n\r\n")]:
        async with upstream(slow.script) as first, upstream(answering) as second, hedged(first, second) as running:
            async with running.client() as client:
                client.send(request("/x", *fields, method="PUT", body=sent))
                assert (await client.response()).body == b"ok"
            assert first.requests[0].body == second.requests[0].body == b"hello"


async def test_first_that_connects_late_still_has_its_body() -> None:
    """It waits in the queue while the second one has sent the body already."""
    go = asyncio.Event()

    async with (
        upstream(held_until(go)) as first,
        upstream(silent) as second,
        hedged(first, second, limits=limits(max_connections=1, queue_timeout=30.0)) as running,
        running.client() as blocker,
        running.client() as client,
    ):
        blocker.send(request("/blocker", method="POST"))
        await eventually(lambda: first.requests)
        client.send(request("/x", method="PUT", body=b"hello"))
        await eventually(lambda: second.requests)
        go.set()
        assert (await blocker.response()).body == b"ok"
        assert (await client.response()).body == b"ok"
        assert [service.requests[-1].body for service in (first, second)] == [b"hello", b"hello"]


@pytest.mark.parametrize(
    "sent",
    [
        request(method="POST", body=b"x"),
        request("/x", b"Idempotency-Key: k", method="POST", body=b"x"),
        request(method="PATCH", body=b"x"),
        request("/x", b"Content-Length: 5", method="PUT") + b"abc",
        request("/x", CHUNKED, method="PUT") + b"3\r\nabc\r\n",
    ],
)
async def test_what_is_never_sent_twice_at_once(sent: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.gone()

    async with (
        upstream(script) as first,
        upstream(answering) as second,
        hedged(first, second, hedge=HedgePolicy(after=0.0)) as running,
    ):
        async with running.client() as client:
            client.send(sent)
            await eventually(lambda: first.requests)
            assert attempt_of(running)._timer is None
            assert running.recorder.total("on_attempt") == 1
        assert not second.requests


# who may, and who is there


async def test_only_endpoint_has_no_rival() -> None:
    slow = Once()
    async with upstream(slow.script) as service, hedged(service) as running, running.client() as client:
        client.send(request())
        await eventually(lambda: service.requests and attempt_of(running)._timer is None)
        slow.go.set()
        assert (await client.response()).body == b"ok"
        assert running.recorder.total("on_attempt") == 1
        assert running.counted("gateway_hedges_total", "up") == 0


async def test_budget_is_taken_while_the_second_runs() -> None:
    slow, slower = Once(), Once()
    async with (
        upstream(slow.script) as first,
        upstream(slower.script) as second,
        hedged(first, second) as running,
        running.client() as one,
        running.client() as other,
    ):
        running.upstream.hedges.smallest = 1
        one.send(request("/one"))
        await both_asked(first, second)
        assert running.upstream.hedges.taken == 1
        other.send(request("/other"))
        await eventually(lambda: len(first.requests) == 2 and attempt_of(running)._timer is None)
        assert (len(second.requests), attempt_of(running).rival) == (1, None)
        slow.go.set()
        assert (await one.response()).body == (await other.response()).body == b"ok"
        assert running.upstream.hedges.taken == 0


@pytest.mark.parametrize(("size", "second_comes"), [(1, False), (2, False), (3, True)])
async def test_second_is_of_low_importance(size: int, second_comes: bool) -> None:
    slow, limiter = Once(), Limiter(Fixed(size))
    async with (
        upstream(slow.script) as first,
        upstream(silent) as second,
        hedged(first, second, limiter=limiter) as running,
        running.client() as client,
    ):
        client.send(request())
        if second_comes:
            await both_asked(first, second)
        else:
            await eventually(lambda: first.requests and attempt_of(running)._timer is None)
        assert limiter.in_flight == 1 + second_comes
        slow.go.set()
        assert (await client.response()).body == b"ok"
        assert (limiter.in_flight, running.upstream.hedges.taken) == (0, 0)


@pytest.mark.parametrize("way", ["reset", "finish", "close"])
async def test_client_leaves_while_both_run(way: str) -> None:
    async with upstream(silent) as first, upstream(silent) as second, hedged(first, second) as running:
        async with running.client() as client:
            client.send(request())
            await both_asked(first, second)
            if way == "close":
                await client.close()
            else:
                getattr(client, way)()
            await eventually(lambda: first.open == second.open == 0, "a service works on for nobody")
            await running.idle()
        assert running.recorder.errors == ["client_gone", "client_gone"]
        assert running.recorder.finished == [(499, "client_gone", "DC")]


async def test_client_leaves_before_the_second_begins() -> None:
    async with (
        upstream(silent) as first,
        upstream(silent) as second,
        hedged(first, second, hedge=HedgePolicy(after=30.0)) as running,
    ):
        async with running.client() as client:
            client.send(request())
            await eventually(lambda: first.requests)
            attempt = attempt_of(running)
            timers = [attempt._timer]
            client.reset()
            await running.idle()
            timers.append(attempt._timer)
        assert timers[0] is not None
        assert timers[1] is None
        assert not second.requests


# queues


async def test_second_that_would_have_to_queue_is_none() -> None:
    slow = Once()
    async with (
        upstream(slow.script) as first,
        upstream(silent) as second,
        hedged(first, second, limits=limits(max_connections=1)) as running,
        running.client() as blocker,
        running.client() as client,
    ):
        running.endpoint.put("drain", 0.0)
        blocker.send(request("/blocker", method="POST"))
        await eventually(lambda: second.requests)
        running.endpoint.put("enabled", 0.0)
        client.send(request())
        await eventually(lambda: running.recorder.errors == ["superseded"])
        assert running.upstream.hedges.taken == 0
        slow.go.set()
        assert (await client.response()).body == b"ok"
        assert running.counted("gateway_hedges_total", "up") == 0


@pytest.mark.parametrize("script", [resetting, saying(status(500))])
async def test_first_goes_on_waiting_in_the_queue_no_longer_than_before(script: Script) -> None:
    async with (
        upstream(silent) as first,
        upstream(script) as second,
        hedged(first, second, limits=limits(max_connections=1, queue_timeout=0.2)) as running,
        running.client() as blocker,
        running.client() as client,
    ):
        blocker.send(request("/blocker", method="POST"))
        await eventually(lambda: first.requests)
        answer = await client.ask(request())
        assert (answer.status, answer.get("proxy-status")) == (503, "gateway; error=connection_limit_reached")
        assert second.requests, "there was a second attempt"
        assert running.recorder.finished == [(503, "queue_timeout", "UO")]


async def test_second_wins_while_the_first_is_in_the_queue() -> None:
    async with (
        upstream(silent) as first,
        upstream(answering) as second,
        hedged(first, second, limits=limits(max_connections=1, queue_timeout=30.0)) as running,
        running.client() as blocker,
        running.client() as client,
    ):
        blocker.send(request("/blocker", method="POST"))
        await eventually(lambda: first.requests)
        assert (await client.ask(request())).body == b"ok"
        assert not running.pool.queue
        assert len(first.requests) == 1


# plugins


class Refuses(Plugin):
    """Does something else before the second attempt."""

    def __init__(self, what: str) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.what = what
        self.ended: list[int] = []

    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> Reply | None:
        if attempt.number == 1:
            return None
        if self.what == "crash":
            raise RuntimeError("no second attempt")
        if self.what == "breaker":
            raise GatewayError(Kind.BREAKER_OPEN)
        return Reply.text(429, "no")

    def on_attempt_end(self, exchange: Exchange, attempt: Attempt) -> None:
        self.ended.append(attempt.number)


@pytest.mark.parametrize("what", ["crash", "breaker", "reply"])
async def test_plugin_lets_no_second_attempt_happen(what: str) -> None:
    slow, plugin = Once(), Refuses(what)
    async with (
        upstream(slow.script) as first,
        upstream(answering) as second,
        hedged(first, second, plugins=[plugin]) as running,
        running.client() as client,
    ):
        client.send(request())
        await eventually(lambda: plugin.ended == [2])
        assert attempt_of(running).number == 1
        slow.go.set()
        assert (await client.response()).body == b"ok"
        assert (plugin.ended, second.requests) == ([2, 1], [])
        assert running.recorder.finished == [(200, "answered", "-")]
        assert [endpoint.errors for endpoint in running.upstream.endpoints] == [0, 0]


@pytest.mark.parametrize("winner", [0, 1])
@pytest.mark.parametrize("loser_fails", [True, False])
@pytest.mark.parametrize("known", [True, False])
async def test_sticky_client_stays_with_who_answered(winner: int, loser_fails: bool, known: bool) -> None:
    def script(number: int) -> Script:
        async def answer(peer: Peer) -> None:
            await peer.request()
            await both_asked(*services)
            if number == winner:
                if loser_fails:
                    await eventually(lambda: running.recorder.total("on_attempt_end") == 1)
                peer.send(OK)
            if number == winner or not loser_fails:
                await peer.gone()

        return answer

    async with (
        upstream(script(0)) as first,
        upstream(script(1)) as second,
        hedged(first, second, balance=StickyCookie("s", None)) as running,
        running.client() as client,
    ):
        services = (first, second)
        ids = [endpoint_id(f"127.0.0.1:{service.port}") for service in services]
        answer = await client.ask(request("/x", *([f"Cookie: s={ids[0]}".encode()] if known else [])))
        assert answer.body == b"ok"
        named = (answer.get("set-cookie") or "").partition(";")[0]
        assert named == ("" if known and winner == 0 else f"s={ids[winner]}")
