"""An upstream that takes so many requests at a time: who is refused, and that every place comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.errors import GatewayError, Kind
from gateway.exchange import Attempt, Exchange, Reply
from gateway.plugin import Failure, Plugin
from gateway.routing.actions import Forward, Importance
from gateway.upstreams.concurrency import Fixed, Limiter
from tests.support.fallbacks import INSTEAD, Fallback, endless, refuse
from tests.support.gateways import PING, Gateway, Path, gateway, make_upstream, request, timeouts
from tests.support.misbehaving import closing, resetting, retry, status
from tests.support.polling import eventually
from tests.support.raw_client import RawClient
from tests.support.raw_upstream import OK, Peer, Script, answering, in_turn, saying, silent, upstream
from tests.support.recording import Gate, ReadsResponse, Requester, crashing

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
    ("under_way", "passed"),
    [(2, {"low", "normal", "high"}), (3, {"normal", "high"}), (4, {"high"}), (6, {"high"})],
)
async def test_unimportant_requests_are_refused_first(under_way: int, passed: set[str]) -> None:
    held = Held()
    async with upstream(held) as service, gateway(service.port, paths=PATHS, limiter=Limiter(Fixed(4))) as running:
        clients: list[RawClient] = []
        async with running.client() as low, running.client() as normal, running.client() as high:
            asking = {"low": low, "normal": normal, "high": high}
            try:
                for count in range(under_way):
                    client = await running.client().__aenter__()
                    clients.append(client)
                    client.send(request("/high"))
                    await eventually(lambda count=count: places(running) == count + 1)
                for word in IMPORTANCES:
                    before = places(running), len(running.recorder.finished)
                    asking[word].send(request(f"/{word}"))
                    await eventually(
                        lambda before=before: (places(running), len(running.recorder.finished)) != before
                    )
                    if word in passed:
                        # It leaves again, so that the next one finds what this one found.
                        asking[word].reset()
                        await eventually(lambda: places(running) == under_way)
                    else:
                        assert (await asking[word].response()).status == 503
            finally:
                held.go_on.set()
                for client in clients:
                    assert (await client.response()).status == 200
                    await client.close()
