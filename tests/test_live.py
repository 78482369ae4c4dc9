"""An exchange while it runs: its limits of time, and what plugins see of it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.exchange import Exchange
from gateway.live import LiveExchange
from gateway.upstreams.retry import RetryBudget
from gateway.wire.deadlines import NEVER
from tests.support.gateways import PING, gateway, make_settings, request, timeouts
from tests.support.misbehaving import exchange_of
from tests.support.polling import eventually
from tests.support.raw_upstream import OK, answering, echoing, silent, upstream
from tests.support.recording import Cached, Gate, Requester


async def test_what_a_plugin_sees() -> None:
    seen: dict[str, Any] = {}

    def look(exchange: Exchange) -> None:
        names = ("method", "raw_path", "path", "query", "client_ip", "route", "upstream", "host", "version", "scheme")
        seen.update({name: getattr(exchange, name) for name in names})
        seen["captures"] = dict(exchange.captures)
        seen["names"] = "up" in exchange.upstream_names and "none" not in exchange.upstream_names
        exchange.state["x"] = 1

    async with upstream(answering) as service, gateway(service.port, plugins=[Requester(look)]) as running:
        async with running.client() as client:
            await client.ask(request("/a%20b?q=1", host=b"A.example:1"))
        (exchange,) = running.recorder.exchanges
    assert seen == {
        "method": "GET",
        "raw_path": "/a%20b",
        "path": "/a b",
        "query": "q=1",
        "client_ip": "127.0.0.1",
        "route": "r1",
        "upstream": "up",
        "host": "A.example:1",
        "version": "1.1",
        "scheme": "http",
        "captures": {"**": "a%20b"},
        "names": True,
    }
    assert (exchange.status, exchange.outcome, exchange.attempts, exchange.bytes_out) == (200, "answered", 1, 2)
    assert exchange.state == {"x": 1}
    assert exchange.started <= exchange.ended
    assert exchange.upstream_seconds >= 0


async def test_total_is_an_end_to_every_wait() -> None:
    async with (
        upstream(silent) as service,
        gateway(service.port, timeouts=timeouts(total=50.0)) as running,
        running.client() as client,
    ):
        client.send(request())
        await eventually(lambda: service.requests)
        (exchange,) = running.recorder.exchanges
        assert isinstance(exchange, LiveExchange)
        exchange.wait(None, NEVER)
        assert exchange.client.deadline == exchange.total_at == exchange.started + 50.0
        exchange.wait(None, 1.0)
        assert exchange.client.deadline < exchange.total_at


async def test_bytes_are_counted() -> None:
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        chunks = request("/x", b"Transfer-Encoding: chunked", method="POST") + b"3;e\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        await client.ask(chunks)
        (exchange,) = running.recorder.exchanges
        assert (exchange.bytes_in, exchange.bytes_out) == (5, len(OK.partition(b"\r\n\r\n")[2]))


async def test_plugin_chooses_path_and_upstream() -> None:
    def choose(exchange: Exchange) -> None:
        exchange.set_path("/other")
        exchange.set_upstream("up")

    async with (
        upstream(answering) as service,
        gateway(service.port, plugins=[Requester(choose)]) as running,
        running.client() as client,
    ):
        await client.ask(request("/x?q=1"))
    assert service.requests[0].first == b"GET /other?q=1 HTTP/1.1"


async def test_trusted_peer_is_known_as_one() -> None:
    async with gateway(paths=[PING], settings=make_settings(trusted=True)) as running, running.client() as client:
        await client.ask(request("/ping", b"X-Forwarded-For: 9.9.9.9"))
        (exchange,) = running.recorder.exchanges
        assert (exchange.peer_trusted, exchange.client_ip) == (True, "9.9.9.9")


def limiting(exchange: Exchange) -> None:
    """A plugin's own limit for bodies below /small."""
    if exchange.raw_path == "/small":
        exchange.limit_body(8)


CHUNKED = b"Transfer-Encoding: chunked"


def chunked(target: str, *sizes: int) -> bytes:
    pieces = b"".join(b"%x\r\n%b\r\n" % (size, b"a" * size) for size in sizes)
    return request(target, CHUNKED, method="POST") + pieces + b"0\r\n\r\n"


@pytest.mark.parametrize("waits", [False, True])
async def test_a_plugin_limits_the_body(waits: bool) -> None:
    gate = Gate()
    gate.open.set()
    async with (
        upstream(echoing) as service,
        gateway(service.port, plugins=[gate if waits else Cached(), Requester(limiting)]) as running,
    ):
        for sent, status in (
            (request("/small", method="POST", body=b"a" * 8), 200),
            (request("/small", method="POST", body=b"a" * 9), 413),
            (request("/small", b"Content-Length: 9", method="POST"), 413),
            (request("/large", method="POST", body=b"a" * 9), 200),
            (chunked("/small", 4, 4), 200),
            (chunked("/small", 4, 5), 413),
            (chunked("/large", 4, 5), 200),
            (request("/small"), 200),
        ):
            async with running.client() as client:
                answer = await client.ask(sent)
                assert answer.status == status, sent
                if status == 413:
                    assert b"limited to 8 bytes" in answer.body
                if answer.get("connection") == "close":
                    assert await client.rest() == b""
                else:
                    assert (await client.ask(request("/small"))).status == 200, "it is all here: the connection goes on"
    assert [len(message.body) for message in service.requests if message.body] == [8, 9, 8, 9]


async def test_a_chunked_body_is_cut_where_it_passes_the_plugins_limit() -> None:
    async with (
        upstream(answering) as service,
        gateway(service.port, plugins=[Requester(limiting)]) as running,
        running.client() as client,
    ):
        client.send(request("/small", CHUNKED, method="POST") + b"8\r\n12345678\r\n")
        await eventually(lambda: running.recorder.exchanges and exchange_of(running).bytes_in == 8)
        client.send(b"1\r\n9\r\n")
        assert (await client.response()).status == 413
        assert await client.rest() == b""


async def test_the_plugins_limit_is_of_one_request_alone() -> None:
    async with (
        upstream(echoing) as service,
        gateway(service.port, plugins=[Requester(limiting)]) as running,
        running.client() as client,
    ):
        client.send(chunked("/small", 8) + chunked("/large", 50) + chunked("/small", 8) + chunked("/large", 9))
        assert [len((await client.response()).body) for _ in range(4)] == [8, 50, 8, 9]
        client.send(chunked("/large", 9) + chunked("/small", 9))
        assert [(await client.response()).status for _ in range(2)] == [200, 413]


async def test_a_plugin_cannot_raise_the_listeners_limit() -> None:
    settings = make_settings(request_body=8)
    plugin = Requester(lambda exchange: exchange.limit_body(100))
    async with upstream(answering) as service, gateway(service.port, plugins=[plugin], settings=settings) as running:
        for head, body in (
            (request("/x", b"Content-Length: 9", method="POST"), b"a" * 9),
            (request("/x", CHUNKED, method="POST"), b"9\r\naaaaaaaaa\r\n0\r\n\r\n"),
        ):
            async with running.client() as client:
                begun = len(running.recorder.exchanges)
                client.send(head)
                await eventually(lambda begun=begun: len(running.recorder.exchanges) > begun)
                answer = await client.ask(body)
                assert (answer.status, b"limited to 8 bytes" in answer.body) == (413, True)


@pytest.mark.parametrize(
    ("pieces", "kept", "spent"),
    [
        ([], b"", False),
        ([b"abc", b"", b"de"], b"abcde", False),
        ([b"abcdef"], None, True),
        ([b"abc", b"def"], None, True),
        ([b"abcdef", b"g"], None, True),
    ],
)
async def test_body_is_kept_while_it_fits(pieces: list[bytes], kept: object, spent: bool) -> None:
    async with upstream(silent) as service, gateway(service.port) as running, running.client() as client:
        client.send(request())
        await eventually(lambda: service.requests)
        exchange = exchange_of(running)
        exchange.replay = bytearray()
        for piece in pieces:
            exchange.keep(piece, 5)
        assert (exchange.replay, exchange.spent) == (kept, spent)


async def test_what_an_attempt_took_comes_before_what_came_since() -> None:
    async with upstream(silent) as service, gateway(service.port) as running, running.client() as client:
        client.send(request(method="PUT", body=b"abc"))
        await eventually(lambda: service.requests)
        exchange = exchange_of(running)
        exchange.pending = [b"def"]
        exchange.upstream_congested = True
        exchange.rewind()
        assert (exchange.pending, exchange.replay) == ([b"abc", b"def"], None)
        assert not exchange.upstream_congested, "the next connection has its own buffers"
        exchange.rewind()
        assert exchange.pending == [b"abc", b"def"], "it is there once"


async def test_permit_is_given_back_once() -> None:
    async with upstream(silent) as service, gateway(service.port) as running, running.client() as client:
        client.send(request())
        await eventually(lambda: service.requests)
        exchange, budget = exchange_of(running), RetryBudget()
        assert budget.take(0)
        exchange.permit = budget
        for _ in range(2):
            exchange.give_back()
            assert budget.taken == 0


async def test_it_is_prepared_when_all_plugins_have_let_it_pass() -> None:
    gate = Gate()
    async with (
        upstream(silent) as service,
        gateway(service.port, plugins=[gate]) as running,
        running.client() as client,
    ):
        client.send(request())
        await eventually(lambda: gate.waiting)
        exchange = exchange_of(running)
        assert not exchange.prepared
        gate.open.set()
        await eventually(lambda: service.requests)
        assert exchange_of(running).prepared
