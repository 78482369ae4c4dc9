"""One try at one endpoint: what it takes, what it tells, and that it gives everything back once."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.attempt import LiveAttempt
from gateway.errors import Kind
from gateway.plugin import Attempt, Exchange, Plugin, Reply
from gateway.upstreams.upstream import REPLAY_LIMIT
from tests.support.gateways import Gateway, gateway, limits, request
from tests.support.misbehaving import retry
from tests.support.polling import eventually
from tests.support.raw_upstream import OK, Peer, RawUpstream, answering, saying, silent, upstream
from tests.support.standins import Fallback


class Trier(Plugin):
    """Answers in `on_attempt` with `reply`, and notes how the attempts end."""

    def __init__(self, reply: Reply | None = None) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.name = "trier"
        self.reply = reply
        self.ends: list[tuple[int | None, str | None]] = []

    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> Reply | None:
        return self.reply

    def on_attempt_end(self, exchange: Exchange, attempt: Attempt) -> None:
        self.ends.append((attempt.status, attempt.error))


def running_attempt(running: Gateway, number: int = -1) -> LiveAttempt:
    """The attempt of an exchange that is under way."""
    attempt = running.recorder.exchanges[number].attempt
    assert isinstance(attempt, LiveAttempt)
    return attempt


async def asked(service: RawUpstream, count: int = 1) -> None:
    await eventually(lambda: len(service.requests) == count, f"{len(service.requests)} requests")


async def test_it_is_in_flight_until_its_client_is_gone_which_is_no_error() -> None:
    async with upstream(silent) as service, gateway(service.port) as running:
        async with running.client() as client:
            client.send(request())
            await asked(service)
            attempt = running_attempt(running)
            assert (running.endpoint.in_flight, running.endpoint.requests, attempt.over) == (1, 1, False)
            assert (attempt.number, attempt.endpoint, attempt.queued) == (1, running.endpoint.address, False)
        await running.idle()
        assert (running.endpoint.in_flight, running.endpoint.requests, running.endpoint.errors) == (0, 1, 0)
        assert (attempt.over, attempt.error) == (True, "client_gone")


@pytest.mark.parametrize(
    ("answer", "errors"),
    [
        (OK, 0),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 0),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", 1),
        (b"nonsense\r\n\r\n", 1),
    ],
)
async def test_endpoint_counts_what_it_is_to_blame_for(answer: bytes, errors: int) -> None:
    async with upstream(saying(answer)) as service, gateway(service.port) as running, running.client() as client:
        await client.ask(request())
        await running.idle()
        assert (running.endpoint.requests, running.endpoint.errors, running.endpoint.in_flight) == (1, errors, 0)


@pytest.mark.parametrize(("kind", "errors"), [(Kind.TOTAL_TIMEOUT, 1), (Kind.STOPPING, 0), (Kind.CLIENT_GONE, 0)])
async def test_second_end_does_nothing(kind: Kind, errors: int) -> None:
    async with upstream(silent) as service, gateway(service.port) as running, running.client() as client:
        client.send(request())
        await asked(service)
        attempt = running_attempt(running)
        attempt.drop(kind)
        seconds = attempt.seconds
        attempt.drop(Kind.RESPONSE_TIMEOUT)
        attempt.end(Kind.RESPONSE_TIMEOUT, attempt.started + 1000.0)
        assert (attempt.error, attempt.seconds, running.endpoint.errors) == (kind.word, seconds, errors)
        assert (running.endpoint.in_flight, attempt.connection, running.pool.active) == (0, None, 0)
        assert running.recorder.total("on_attempt_end") == 1


async def test_reply_of_a_plugin_comes_in_place_of_the_try() -> None:
    first, refusing, last = Trier(), Trier(Reply.text(429, "later")), Trier()
    plugins = [first, refusing, last]
    async with (
        upstream(answering) as service,
        gateway(service.port, plugins=plugins) as running,
        running.client() as client,
    ):
        answer = await client.ask(request())
        assert (answer.status, answer.body, service.connections) == (429, b"later", 0)
        assert [plugin.ends for plugin in plugins] == [[(None, None)], [(None, None)], []]
        assert (running.endpoint.in_flight, running.endpoint.errors) == (0, 0)


async def test_plugins_see_status_and_error_at_the_end() -> None:
    plugin = Trier()
    scripted = saying(OK, close=True)
    async with upstream(scripted) as service, gateway(service.port, plugins=[plugin]) as running:
        async with running.client() as client:
            await client.ask(request())
        service.script = saying(b"junk\r\n\r\n")
        async with running.client() as client:
            await client.ask(request(method="POST", body=b"x"))
        await running.idle()
    assert plugin.ends == [(200, None), (None, "upstream_malformed")]


async def test_place_in_the_queue_is_given_back() -> None:
    async with upstream(silent) as service, gateway(service.port, limits=limits(max_connections=1)) as running:
        async with running.client() as first:
            first.send(request("/1"))
            await asked(service)
            async with running.client() as second:
                second.send(request("/2"))
                await eventually(lambda: running.pool.queue)
                attempt = running_attempt(running)
                assert (attempt.queued, attempt.connection, running.endpoint.in_flight) == (True, None, 2)
            await eventually(lambda: attempt.over)
            assert (attempt.queued, len(running.pool.queue), running.endpoint.in_flight) == (False, 0, 1)
        await running.idle()
    assert [message.first for message in service.requests] == [b"GET /1 HTTP/1.1"]


@pytest.mark.parametrize("size", [0, 3, REPLAY_LIMIT, REPLAY_LIMIT + 1])
async def test_small_whole_body_is_kept_for_another_try_until_the_answer(size: int) -> None:
    async with (
        upstream(silent) as service,
        gateway(service.port, plugins=[Whole()]) as running,
        running.client() as client,
    ):
        body = b"x" * size
        client.send(request(method="PUT", body=body))
        await asked(service)
        assert service.requests[0].body == body
        replay = running_attempt(running).exchange.replay
        assert replay == (body if size <= REPLAY_LIMIT else None)


class Whole(Trier):
    """Wants the whole body, so that it is all there when the connection is."""

    needs_body = "request"
    max_body = 1 << 20

    def on_request(self, exchange: Exchange) -> Reply | None:
        return None


async def test_body_that_is_still_to_come_is_not_kept() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.gone()

    async with upstream(script) as service, gateway(service.port) as running, running.client() as client:
        client.send(request("/x", b"Content-Length: 10", method="PUT") + b"abc")
        await asked(service)
        attempt = running_attempt(running)
        assert (attempt.exchange.replay, attempt.exchange.pending) == (None, [])
        assert attempt.exchange.waiting is Kind.REQUEST_TIMEOUT


@pytest.mark.parametrize(
    ("method", "fields", "options", "kept"),
    [
        ("PUT", (), {"retries": retry()}, True),
        ("POST", (), {"retries": retry()}, False),
        ("POST", (b"Idempotency-Key: k",), {"retries": retry()}, True),
        ("POST", (), {"retries": retry(non_idempotent=True)}, True),
        ("PUT", (), {"retries": retry(replay=2)}, False),
        ("PUT", (), {}, False),
        ("POST", (), {"plugins": [Fallback()]}, True),
        ("POST", (), {"plugins": [Fallback(resends=False)]}, False),
    ],
)
async def test_body_that_is_still_to_come_is_kept_where_it_may_be_sent_again(
    method: str, fields: tuple[bytes, ...], options: dict[str, Any], kept: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.gone()

    async with upstream(script) as service, gateway(service.port, **options) as running, running.client() as client:
        client.send(request("/x", b"Content-Length: 10", *fields, method=method) + b"abc")
        await asked(service)
        exchange = running_attempt(running).exchange
        assert (exchange.replay, exchange.spent) == ((b"abc", False) if kept else (None, True))
        client.send(b"def")
        await eventually(lambda: exchange.bytes_in == 6)
        assert (exchange.replay, exchange.spent) == ((b"abcdef", False) if kept else (None, True))


async def test_congested_upstream_stops_the_clock_of_the_client() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.gone()

    async with upstream(script) as service, gateway(service.port) as running, running.client() as client:
        client.send(request("/x", b"Content-Length: 10", method="PUT") + b"abc")
        await asked(service)
        attempt = running_attempt(running)
        exchange = attempt.exchange
        attempt.pause_sending()
        assert (exchange.upstream_congested, exchange.waiting) == (True, Kind.BODY_TIMEOUT)
        attempt.resume_sending()
        assert (exchange.upstream_congested, exchange.waiting) == (False, Kind.REQUEST_TIMEOUT)


async def test_congestion_leaves_the_wait_for_the_answer_alone() -> None:
    async with upstream(silent) as service, gateway(service.port) as running, running.client() as client:
        client.send(request())
        await asked(service)
        attempt = running_attempt(running)
        exchange = attempt.exchange
        assert exchange.waiting is Kind.RESPONSE_TIMEOUT
        exchange.responding = True
        attempt.pause_sending()
        attempt.resume_sending()
        assert (exchange.upstream_congested, exchange.waiting) == (False, Kind.RESPONSE_TIMEOUT)


async def test_100_that_nobody_waits_for_goes_no_further() -> None:
    pieces = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK
    async with upstream(saying(*pieces)) as service, gateway(service.port) as running, running.client() as client:
        client.send(request())
        hints = await client.head()
        assert (hints.status, hints.get("link")) == (103, "</a>")
        assert (await client.response()).body == b"ok"


async def test_second_100_goes_no_further() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 2)
        await peer.reader.readexactly(3)
        peer.send(OK)
        await peer.gone()

    async with upstream(script) as service, gateway(service.port) as running, running.client() as client:
        client.send(request("/x", b"Expect: 100-continue", b"Content-Length: 3", method="POST"))
        assert (await client.head()).status == 100
        assert running_attempt(running).exchange.waiting is Kind.REQUEST_TIMEOUT
        client.send(b"abc")
        assert (await client.response()).body == b"ok"
