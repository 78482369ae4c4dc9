"""A copy of a request for another upstream: faithful, and of no consequence to the request itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.routing.actions import Forward, HeaderEdit, Mirror, Rewrite
from gateway.routing.pattern import parse_template
from gateway.upstreams.balance.sticky import StickyCookie
from gateway.upstreams.concurrency import Fixed, Limiter
from gateway.upstreams.upstream import Upstream
from tests.support.gateways import PING, Gateway, gateway, limits, make_settings, make_upstream, request, timeouts
from tests.support.messages import Message
from tests.support.misbehaving import CHUNKED, closing, resetting, retry, status
from tests.support.polling import eventually
from tests.support.raw_upstream import (
    OK,
    Peer,
    RawUpstream,
    Script,
    answering,
    echoing,
    held_until,
    in_turn,
    saying,
    silent,
    upstream,
)
from tests.support.recording import ReadsRequest


def mirroring(service: RawUpstream, copies: Upstream, policy: Mirror | None = None, **options: Any) -> Any:
    """A gateway in front of `service` that mirrors to the upstream `copies`."""
    action = Forward((("up", 1),), options.pop("rewrite", None), mirror=policy or Mirror("copies"))
    return gateway(service.port, paths=(PING, ("/**", action)), others=[copies], **options)


def copies_at(*services: RawUpstream, **options: Any) -> Upstream:
    return make_upstream("copies", *(service.port for service in services), **options)


def results(running: Gateway) -> dict[str, float]:
    """How many copies there were, by what became of them."""
    return {result: running.counted("gateway_mirrored_total", "copies", result) for result in ("sent", "dropped")}


def same(copy: Message, original: Message) -> bool:
    return (copy.first, copy.fields, copy.body) == (original.first, original.fields, original.body)


@pytest.mark.parametrize(
    "sent",
    [
        request("/a%20b?c=d", b"X-A: 1", b"x-a: 2"),
        request(method="HEAD"),
        request(method="POST", body=b"order"),
        request("/x", CHUNKED, method="PUT", body=b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"),
        request("/x", b"Expect: 100-continue", method="PUT", body=b"abc"),
        request(host=None, version="1.0"),
        request(method="DELETE"),
    ],
)
async def test_copy_is_the_same(sent: bytes) -> None:
    method = sent.partition(b" ")[0].decode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with (
        upstream(saying(answer)) as service,
        upstream(saying(status(200, body=b"" if method == "HEAD" else b"ignored"))) as mirror,
        mirroring(service, copies_at(mirror)) as running,
    ):
        async with running.client() as client:
            assert (await client.ask(sent, method)).status == 200
        await eventually(lambda: mirror.requests)
        (copy,), (original,) = mirror.requests, service.requests
        if b"Host" in sent:
            assert same(copy, original)
        else:
            assert (copy.get("host"), original.get("host")) == (f"127.0.0.1:{mirror.port}", f"127.0.0.1:{service.port}")
        assert results(running) == {"sent": 1, "dropped": 0}
        await eventually(lambda: running.counted("gateway_upstream_requests_total", "copies", "200") == 1)


async def test_copy_goes_where_the_rewrite_leads() -> None:
    edit = Rewrite(parse_template("/other/{**}", frozenset(["**"])), headers=HeaderEdit({"X-Added": "1"}))
    async with (
        upstream(answering) as service,
        upstream(answering) as mirror,
        mirroring(service, copies_at(mirror), rewrite=edit) as running,
        running.client() as client,
    ):
        await client.ask(request("/x?q=1"))
        await eventually(lambda: mirror.requests)
        assert mirror.requests[0].first == b"GET /other/x?q=1 HTTP/1.1"
        assert mirror.requests[0].get("x-added") == "1"
        assert same(mirror.requests[0], service.requests[0])


async def test_copy_has_no_deadline() -> None:
    async with (
        upstream(answering) as service,
        upstream(answering) as mirror,
        mirroring(service, copies_at(mirror), settings=make_settings(trusted=True)) as running,
        running.client() as client,
    ):
        await client.ask(request("/x", b"X-Request-Deadline-Ms: 5000"))
        await eventually(lambda: mirror.requests)
        assert mirror.requests[0].get("x-request-deadline-ms") is None
        assert service.requests[0].get("x-request-deadline-ms") is not None


@pytest.mark.parametrize(
    ("service_host", "mirror_host"), [(None, None), ("", None), (None, ""), ("own.example", None), ("own.example", "m")]
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_each_has_its_own_host(service_host: str | None, mirror_host: str | None, streamed: bool) -> None:
    async with (
        upstream(answering) as service,
        upstream(answering) as mirror,
        mirroring(service, copies_at(mirror, host=mirror_host), host=service_host) as running,
        running.client() as client,
    ):
        if streamed:
            client.send(request("/x", b"Content-Length: 3", method="PUT", host=b"client.example") + b"a")
            await eventually(lambda: running.pool.connections)
            client.send(b"bc")
        else:
            client.send(request(method="PUT", body=b"abc", host=b"client.example"))
        assert (await client.response()).status == 200
        await eventually(lambda: mirror.requests)
        for name, one in ((service_host, service), (mirror_host, mirror)):
            expected = "client.example" if name is None else name or f"127.0.0.1:{one.port}"
            assert one.requests[0].get("host") == expected


@pytest.mark.parametrize(
    "script",
    [
        closing,
        resetting,
        saying(status(500)),
        saying(status(503, b"Retry-After: 1")),
        saying(b"rubbish\r\n\r\n"),
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", close=True),
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
        saying(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n", OK + b"surplus"),
        saying(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000, close=True),
        silent,
    ],
)
async def test_answer_to_the_copy_is_nobodys(script: Script) -> None:
    copies: dict[str, Any] = {"timeouts": timeouts(response=0.1 if script is silent else 10.0), "retries": retry()}
    async with upstream(answering) as service, upstream(script) as mirror:
        async with mirroring(service, copies_at(mirror, **copies)) as running:
            async with running.client() as client:
                for _ in range(3):
                    assert (await client.ask(request(method="PUT", body=b"x"))).body == b"ok"
            await eventually(lambda: results(running)["sent"] == 3)
        assert running.recorder.finished == [(200, "answered", "-")] * 3
        assert running.recorder.errors == [None] * 3
        assert len(mirror.requests) == 3, "a copy is never tried again"


async def test_nobody_takes_the_copy(unused_tcp_port: int) -> None:
    async with (
        upstream(answering) as service,
        mirroring(service, make_upstream("copies", unused_tcp_port)) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"ok"
        assert running.recorder.errors == [None]


async def test_mirror_without_an_endpoint_drops_copies() -> None:
    async with (
        upstream(answering) as service,
        upstream(answering) as mirror,
        mirroring(service, copies_at(mirror)) as running,
        running.client() as client,
    ):
        running.upstreams[1].endpoints[0].put("drain", 0.0)
        assert (await client.ask(request())).body == b"ok"
        assert results(running) == {"sent": 0, "dropped": 1}
        assert not mirror.requests


@pytest.mark.parametrize("queue", [0, 5])
async def test_full_pool_drops_copies(queue: int) -> None:
    settings = limits(max_connections=1, max_queue=queue)
    async with upstream(answering) as service, upstream(silent) as mirror:
        copies = copies_at(mirror, limits=settings, timeouts=timeouts(response=0.5))
        async with mirroring(service, copies) as running, running.client() as client:
            assert (await client.ask(request("/1"))).body == b"ok"
            await eventually(lambda: mirror.requests)
            assert (await client.ask(request("/2"))).body == b"ok"
            assert (await client.ask(request("/3"))).body == b"ok"
            assert results(running) == {"sent": 1, "dropped": 2}
            assert (running.upstreams[1].in_flight, len(running.pools[1].queue)) == (1, 0)


@pytest.mark.parametrize("script", [answering, saying(status(500)), closing, silent, saying(b"rubbish\r\n\r\n")])
async def test_copy_takes_a_place_of_the_mirrors_limit(script: Script) -> None:
    limiter = Limiter(Fixed(4))
    async with upstream(answering) as service, upstream(script) as mirror:
        copies = copies_at(mirror, limiter=limiter, timeouts=timeouts(response=0.2))
        async with mirroring(service, copies) as running, running.client() as client:
            limiter.in_flight = 3
            assert (await client.ask(request("/none"))).body == b"ok"
            assert results(running) == {"sent": 0, "dropped": 1}, "a copy is of low importance"
            limiter.in_flight = 2
            assert (await client.ask(request("/one"))).body == b"ok"
            await eventually(lambda: mirror.requests)
            await eventually(lambda: limiter.in_flight == 2, "its place is not given back")
            assert results(running) == {"sent": 1, "dropped": 1}
            limiter.in_flight = 0


async def test_original_is_answered_while_the_copy_waits_for_ever() -> None:
    async with (
        upstream(answering) as service,
        upstream(silent) as mirror,
        mirroring(service, copies_at(mirror, timeouts=timeouts(response=0.3))) as running,
    ):
        async with running.client() as client:
            assert (await client.ask(request())).body == b"ok"
            await running.idle()
            await eventually(lambda: mirror.requests)
            assert running.upstreams[1].in_flight == 1
        await eventually(lambda: mirror.open == 0, "its time is over, and it is not cut")


async def test_original_fails_and_the_copy_does_not() -> None:
    async with (
        upstream(closing) as service,
        upstream(echoing) as mirror,
        mirroring(service, copies_at(mirror)) as running,
        running.client() as client,
    ):
        assert (await client.ask(request(method="POST", body=b"abc"))).status == 502
        await eventually(lambda: mirror.requests)
        assert mirror.requests[0].body == b"abc"


async def test_one_copy_of_a_request_that_is_tried_again() -> None:
    async with (
        upstream(in_turn(closing, answering)) as service,
        upstream(answering) as mirror,
        mirroring(service, copies_at(mirror), retries=retry()) as running,
        running.client() as client,
    ):
        assert (await client.ask(request(method="PUT", body=b"abc"))).body == b"ok"
        await eventually(lambda: mirror.requests)
        assert (len(service.requests), len(mirror.requests)) == (2, 1)
        assert results(running) == {"sent": 1, "dropped": 0}


# bodies


@pytest.mark.parametrize("chunked", [True, False])
async def test_streamed_body_is_copied_when_it_is_all_here(chunked: bool) -> None:
    framing = CHUNKED if chunked else b"Content-Length: 6"
    pieces = [b"3\r\nabc\r\n", b"3\r\ndef\r\n0\r\n\r\n"] if chunked else [b"abc", b"def"]
    async with (
        upstream(echoing) as service,
        upstream(answering) as mirror,
        mirroring(service, copies_at(mirror)) as running,
        running.client() as client,
    ):
        client.send(request("/x", framing, method="PUT") + pieces[0])
        await eventually(lambda: running.pool.active)
        assert mirror.connections == 0
        client.send(pieces[1])
        assert (await client.response()).body == b"abcdef"
        await eventually(lambda: mirror.requests)
        assert same(mirror.requests[0], service.requests[0])


@pytest.mark.parametrize(("size", "copied"), [(10, True), (11, False)])
@pytest.mark.parametrize("way", ["whole", "chunked", "streamed"])
async def test_body_over_the_cap_is_not_copied(size: int, copied: bool, way: str) -> None:
    body = b"x" * size
    async with (
        upstream(echoing) as service,
        upstream(answering) as mirror,
        mirroring(service, copies_at(mirror), Mirror("copies", body=10)) as running,
        running.client() as client,
    ):
        if way == "whole":
            client.send(request(method="PUT", body=body))
        elif way == "chunked":
            client.send(request("/x", CHUNKED, method="PUT") + b"%x\r\n%b\r\n0\r\n\r\n" % (size, body))
        else:
            client.send(request("/x", b"Content-Length: %d" % size, method="PUT") + body[:9])
            await eventually(lambda: running.pool.connections)
            client.send(body[9:])
        assert (await client.response()).body == body
        await eventually(lambda: len(mirror.requests) == copied)
        assert results(running) == {"sent": copied, "dropped": not copied}
    assert mirror.connections == copied


async def test_body_that_a_plugin_has_read_is_copied() -> None:
    async with (
        upstream(echoing) as service,
        upstream(answering) as mirror,
        mirroring(service, copies_at(mirror), plugins=[ReadsRequest()]) as running,
        running.client() as client,
    ):
        sent = request("/x", CHUNKED, method="PUT") + b"3\r\nabc\r\n0\r\n\r\n"
        assert (await client.ask(sent)).body == b"abc"
        await eventually(lambda: mirror.requests)
        assert same(mirror.requests[0], service.requests[0])


@pytest.mark.parametrize("way", ["leaves", "is answered"])
async def test_body_that_never_comes_whole_is_not_copied(way: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        if way != "leaves":
            peer.send(status(403))
        await peer.gone()

    async with (
        upstream(script) as service,
        upstream(answering) as mirror,
        mirroring(service, copies_at(mirror)) as running,
    ):
        async with running.client() as client:
            client.send(request("/x", b"Content-Length: 9", method="PUT") + b"abc")
            await eventually(lambda: service.requests)
            if way == "leaves":
                client.reset()
            else:
                assert (await client.response()).status == 403
            await running.idle()
        assert mirror.connections == 0


async def test_answer_that_comes_before_the_body_does_not_stop_the_copy() -> None:
    async def early(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        await peer.reader.readexactly(6)
        peer.send(b"done")
        await peer.gone()

    async with (
        upstream(early) as service,
        upstream(answering) as mirror,
        mirroring(service, copies_at(mirror)) as running,
        running.client() as client,
    ):
        client.send(request("/x", b"Content-Length: 6", method="PUT") + b"abc")
        assert (await client.head()).status == 200
        client.send(b"def")
        assert await client.read(4) == b"done"
        await eventually(lambda: mirror.requests)
        assert mirror.requests[0].body == b"abcdef"


# which requests


@pytest.mark.parametrize(("share", "copied"), [(0.0, 0), (1.0, 20)])
async def test_share(share: float, copied: int) -> None:
    async with (
        upstream(answering) as service,
        upstream(answering) as mirror,
        mirroring(service, copies_at(mirror), Mirror("copies", share=share)) as running,
        running.client() as client,
    ):
        for _ in range(20):
            assert (await client.ask(request())).body == b"ok"
        await eventually(lambda: len(mirror.requests) == copied)
        assert results(running) == {"sent": copied, "dropped": 0}


async def test_share_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([0.29, 0.3, 0.0, 0.99])
    async with (
        upstream(answering) as service,
        upstream(answering) as mirror,
        mirroring(service, copies_at(mirror), Mirror("copies", share=0.3)) as running,
        running.client() as client,
    ):
        monkeypatch.setattr("gateway.mirror.random.random", lambda: next(draws))
        for number in range(4):
            await client.ask(request(f"/{number}", b"X-Request-Id: 1"))
        monkeypatch.undo()
        await eventually(lambda: len(mirror.requests) == 2)
        assert {message.first for message in mirror.requests} == {b"GET /0 HTTP/1.1", b"GET /2 HTTP/1.1"}


async def test_client_hears_nothing_of_a_sticky_mirror() -> None:
    async with (
        upstream(answering) as service,
        upstream(answering) as one,
        upstream(answering) as other,
        mirroring(service, copies_at(one, other, balance=StickyCookie("m", None))) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).get("set-cookie") is None
        client.send(request("/x", b"Content-Length: 2", method="PUT") + b"a")
        await eventually(lambda: len(service.requests) == 2 or running.pool.active)
        client.send(b"b")
        assert (await client.response()).get("set-cookie") is None


async def test_many_at_once() -> None:
    """Copies are sent, dropped and late by turns, and no answer is anybody else's."""
    go = asyncio.Event()

    async with upstream(echoing) as service, upstream(held_until(go, status(500))) as mirror:
        copies = copies_at(mirror, limits=limits(max_connections=3))
        async with mirroring(service, copies) as running:

            async def client(name: int) -> None:
                async with running.client() as connection:
                    for number in range(10):
                        body = b"%d.%d" % (name, number)
                        assert (await connection.ask(request(method="PUT", body=body))).body == body

            await asyncio.gather(*(client(name) for name in range(10)))
            assert sum(results(running).values()) == 100
            assert results(running)["sent"] == 3
            go.set()
