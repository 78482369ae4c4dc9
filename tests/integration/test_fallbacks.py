"""What a plugin answers in place of a failure: with a reply, or by sending the request to another upstream."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway.errors import Kind
from gateway.exchange import Exchange, Reply
from gateway.plugin import Failure, GatewayError, Plugin
from gateway.upstreams.upstream import UpstreamTimeouts
from tests.support.gateways import gateway, make_settings, make_upstream, request, timeouts
from tests.support.misbehaving import CHUNKED, closing, exchange_of, naming, resetting, retry, status
from tests.support.polling import eventually
from tests.support.raw_upstream import Peer, Script, answering, echoing, saying, silent, upstream
from tests.support.recording import Gate, ReadsRequest, ReadsResponse, Requester, crashing

INSTEAD = Reply.text(200, "instead")


class Fallback(Plugin):
    """Answers failures with `reply`, or sends their requests to the upstream `to`. `asked` holds what it saw."""

    def __init__(self, reply: Reply | None = None, to: str = "", resends: bool = True, raises: bool = False) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.name = "fallback"
        self.reply, self.to, self.resends, self.raises = reply, to, resends, raises
        self.asked: list[Failure] = []

    def on_failure(self, exchange: Exchange, failure: Failure) -> Reply | None:
        self.asked.append(failure)
        if self.raises:
            raise RuntimeError("no fallback")
        if self.to:
            exchange.set_upstream(self.to)
        return self.reply


def refuse(exchange: Exchange) -> None:
    raise GatewayError(Kind.BREAKER_OPEN)


class Guard(Plugin):
    """Forbids everything in `admit`, after the loop has gone round."""

    def __init__(self) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.name = "guard"

    async def admit(self, exchange: Exchange) -> None:
        await asyncio.sleep(0)
        refuse(exchange)


class Door(Gate):
    """An open gate, or one that nobody passes. `asked` counts who came."""

    def __init__(self, shut: bool, waits: bool) -> None:
        super().__init__()
        self.shut, self.waits, self.asked = shut, waits, 0
        self.open.set()

    async def admit(self, exchange: Exchange) -> Reply | None:
        self.asked += 1
        if self.waits:
            await asyncio.sleep(0)
        return Reply.text(401, "who?") if self.shut else await super().admit(exchange)


async def endless(peer: Peer) -> None:
    """A 500 that goes on until it is cut off."""
    await peer.request()
    peer.send(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.send(b"ffff\r\n" + bytes(0xFFFF) + b"\r\n")
        await peer.writer.drain()


async def early(peer: Peer) -> None:
    """Refuse a request by its head alone."""
    await peer.head()
    peer.send(status(500))
    await peer.gone()


async def hanging_up(peer: Peer) -> None:
    """Reset at the first byte of a body."""
    await peer.head()
    await peer.reader.readexactly(1)
    peer.reset()


def failing(script: Script | None, failed: tuple[int, str, str], flag: str, name: str) -> Any:
    return pytest.param(script, Failure(*failed), flag, id=name)


FAILURES = [
    failing(None, (502, "connect_failed", "connect"), "UF", "refused"),
    failing(closing, (502, "upstream_reset", "reset"), "UC", "closed"),
    failing(resetting, (502, "upstream_reset", "reset"), "UC", "reset"),
    failing(saying(b"nonsense\r\n\r\n"), (502, "upstream_malformed", "reset"), "UPE", "malformed"),
    failing(saying(status(500)), (500, "", "5xx"), "-", "500"),
    failing(saying(status(503), close=True), (503, "", "5xx"), "-", "503-and-closed"),
    failing(endless, (500, "", "5xx"), "-", "500-without-an-end"),
    failing(silent, (504, "response_timeout", "timeout"), "UT", "timeout"),
    failing(answering, (503, "no_endpoint", "connect"), "UH", "drained"),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("script", "failure", "flag"), FAILURES)
async def test_reply_stands_in(
    script: Script | None, failure: Failure, flag: str, method: str, unused_tcp_port: int
) -> None:
    fallback = Fallback(INSTEAD)
    async with (
        upstream(script or answering) as service,
        gateway(service.port if script else unused_tcp_port, plugins=[fallback], timeouts=timeouts(response=0.1)) as up,
        up.client() as client,
    ):
        if failure.error == "no_endpoint":
            up.endpoint.put("drain", time.monotonic())
        answer = await client.ask(request(method=method), method)
        assert (answer.status, answer.body) == (200, b"" if method == "HEAD" else b"instead")
        assert answer.get("content-length") == "7"
        assert answer.get("proxy-status") is None
        assert (await client.ask(request("/ping"))).body == b"pong", "something of the failure was left over"
        assert fallback.asked == [failure]
        assert up.recorder.finished[0] == (200, "fallback", "FB" if flag == "-" else f"{flag},FB")
        assert up.recorder.phases().count("on_response") == 1
        assert not up.pool.active
        await eventually(lambda: service.open <= (failure.error == ""), "the failed connection is still open")
        if script is endless:
            await eventually(lambda: service.open == 0, "an answer that nobody reads goes on")


@pytest.mark.parametrize("resends", [True, False])
@pytest.mark.parametrize("size", [0, 10, 60_000, 70_000])
@pytest.mark.parametrize("framing", ["length", "chunked", "length-in-parts", "chunked-in-parts"])
@pytest.mark.parametrize("script", [saying(status(500)), closing, early, hanging_up, None])
async def test_standby_gets_the_whole_request(
    script: Script | None, framing: str, size: int, resends: bool, unused_tcp_port: int
) -> None:
    if script is hanging_up and not size:
        pytest.skip("it waits for a body")
    body = bytes(range(250)) * (size // 250) + b"x" * (size % 250)
    fields = [CHUNKED] if "chunked" in framing else [b"Content-Length: %d" % size]
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if size else b"0\r\n\r\n"
    data = request("/x?y", *fields, method="POST", body=sent if "chunked" in framing else body)
    # In parts: the failure is there before the second one is sent, where the script does not wait for the whole.
    cut = len(data) - max(1, size // 2) if "parts" in framing else len(data)
    fallback = Fallback(to="standby", resends=resends)
    async with upstream(script or answering) as service, upstream(echoing) as standby:
        others = [make_upstream("standby", standby.port)]
        port = service.port if script else unused_tcp_port
        async with gateway(port, plugins=[fallback], others=others) as up, up.client() as client:
            client.send(data[:cut])
            if "parts" in framing and size and script is not saying:
                await eventually(lambda: not up.proxy.active or up.recorder.exchanges)
                await asyncio.sleep(0)
            client.send(data[cut:])
            answer = await client.response()
            await up.idle()
            exchange = exchange_of(up)
            if answer.status == 200:
                assert answer.body == body
                assert [message.first for message in standby.requests] == [b"POST /x?y HTTP/1.1"]
                assert (exchange.outcome, exchange.upstream, exchange.fallback) == ("fallback", "standby", "upstream")
            else:
                assert (answer.status, standby.requests) == (fallback.asked[0].status, [])
                assert (exchange.outcome, exchange.upstream, exchange.fallback) == (
                    fallback.asked[0].error or "answered",
                    "up",
                    "",
                )
            kept = size <= 65536 and (resends or framing in ("length", "chunked") or script is None)
            assert answer.status == 200 or not kept or not resends, "a body that fits was not sent"
            assert len(fallback.asked) == 1
