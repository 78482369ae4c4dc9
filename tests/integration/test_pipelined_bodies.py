"""Bodies of requests that come before their turn."""

from __future__ import annotations

import pytest

from gateway.plugin import Exchange, Reply
from tests.support.gateways import gateway, make_settings, request
from tests.support.misbehaving import CHUNKED
from tests.support.polling import eventually, turns
from tests.support.raw_upstream import Peer, answering, echoing, upstream
from tests.support.recording import ReadsRequest

HASTE = make_settings(body_timeout=0.5)


def put(target: str, body: bytes, chunked: bool) -> bytes:
    if not chunked:
        return request(target, method="PUT", body=body)
    return request(target, CHUNKED, method="PUT", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))


@pytest.mark.parametrize("size", [1, 100, 4096, 5000, 100_000, 1_000_000])
@pytest.mark.parametrize("chunked", [True, False])
async def test_body_behind_another_request(size: int, chunked: bool) -> None:
    bodies = [letter * size for letter in (b"x", b"y", b"z")]
    asked = b"".join(put("/x", body, chunked) for body in bodies)
    async with (
        upstream(echoing) as service,
        gateway(service.port, settings=HASTE) as running,
        running.client() as client,
    ):
        client.send(request("/first") + asked + request("/last"))
        assert (await client.response()).status == 200
        assert [(await client.response()).body for _ in bodies] == bodies
        assert (await client.response()).status == 200


@pytest.mark.parametrize("cut", [1, 5, 30, 49, 55, 59, 60])
async def test_body_comes_in_pieces_while_another_request_is_served(cut: int) -> None:
    async def slow(peer: Peer) -> None:
        await peer.request()
        await eventually(lambda: held)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await echoing(peer)

    held: list[bytes] = []
    second = request("/second", method="PUT", body=b"0123456789")
    async with (
        upstream(slow) as service,
        gateway(service.port, settings=HASTE) as running,
        running.client() as client,
    ):
        client.send(request("/first") + second[:cut])
        await eventually(lambda: service.requests)
        client.send(second[cut:])
        await turns()
        held.append(second[cut:])
        assert (await client.response()).body == b"ok"
        assert (await client.response()).body == b"0123456789"


class RepliesToBodies(ReadsRequest):
    """Answers requests with a body itself."""

    def on_request(self, exchange: Exchange) -> Reply | None:
        return Reply.text(200, "read") if exchange.body else None


async def test_request_behind_a_body_that_a_plugin_answers() -> None:
    async with (
        upstream(answering) as service,
        gateway(service.port, plugins=[RepliesToBodies()]) as running,
        running.client() as client,
    ):
        client.send(request("/x", b"Content-Length: 3", method="PUT"))
        await eventually(lambda: running.proxy.active)
        client.send(b"abc" + request("/y") + request("/z", method="PUT", body=b"def") + request("/w"))
        assert [(await client.response()).body for _ in range(4)] == [b"read", b"ok", b"read", b"ok"]
