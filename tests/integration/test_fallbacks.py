"""What a plugin answers in place of a failure: with a reply, or by sending the request to another upstream."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway.exchange import Exchange, Reply
from gateway.plugin import Failure, Plugin
from tests.support.fallbacks import INSTEAD, Fallback, endless, refuse
from tests.support.gateways import gateway, make_settings, make_upstream, request, timeouts
from tests.support.misbehaving import closing, resetting, status
from tests.support.polling import eventually
from tests.support.raw_upstream import Script, answering, echoing, saying, silent, upstream
from tests.support.recording import Gate, ReadsRequest, ReadsResponse, Requester, crashing

WHOLE = saying(status(500))


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


def failing(script: Script | None, failed: tuple[int, str, str], flag: str, name: str) -> Any:
    return pytest.param(script, Failure(*failed), flag, id=name)


FAILURES = [
    failing(None, (502, "connect_failed", "connect"), "UF", "refused"),
    failing(closing, (502, "upstream_reset", "reset"), "UC", "closed"),
    failing(resetting, (502, "upstream_reset", "reset"), "UC", "reset"),
    failing(saying(b"nonsense\r\n\r\n"), (502, "upstream_malformed", "reset"), "UPE", "malformed"),
    failing(WHOLE, (500, "", "5xx"), "-", "500"),
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
        # An answer that was all here leaves its connection to the pool; one to HEAD has no body.
        await eventually(
            lambda: service.open == (script is WHOLE and method == "GET"), "the failed connection is still open"
        )


@pytest.mark.parametrize("script", [closing, saying(status(500))])
@pytest.mark.parametrize(
    ("fallback", "told"),
    [
        (Fallback(raises=True), None),
        (Fallback(to="nowhere"), None),
        (Fallback(), None),
        (Fallback(Reply(200, {"X": "a\r\nb"})), 500),
    ],
)
async def test_plugin_that_has_nothing_leaves_the_failure(script: Script, fallback: Fallback, told: int | None) -> None:
    fallback.asked.clear()
    async with (
        upstream(script) as service,
        gateway(service.port, plugins=[fallback]) as up,
        up.client() as client,
    ):
        answer = await client.ask(request())
        assert answer.status == (told or fallback.asked[0].status)
        assert (answer.body == b"broken") == (script is not closing and not told)
        assert len(fallback.asked) == 1
        await up.idle()
        assert up.recorder.finished[0][1] != "fallback"


async def test_next_plugin_is_asked_when_one_has_nothing() -> None:
    first, second, third = Fallback(INSTEAD), Fallback(INSTEAD), Fallback(raises=True)
    async with (
        upstream(closing) as service,
        gateway(service.port, plugins=[first, second, third]) as up,
        up.client() as client,
    ):
        assert (await client.ask(request())).body == b"instead"
        assert [len(plugin.asked) for plugin in (first, second, third)] == [0, 1, 1]


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("shut", [True, False])
@pytest.mark.parametrize("guard", [Requester(refuse), Guard()])
async def test_plugins_behind_one_that_refuses_still_decide(guard: Plugin, shut: bool, waits: bool) -> None:
    fallback, door, reader = Fallback(to="standby"), Door(shut, waits), ReadsRequest()
    async with (
        upstream(echoing) as service,
        upstream(echoing) as standby,
        gateway(
            service.port,
            plugins=[fallback, guard, door, reader],
            others=[make_upstream("standby", standby.port)],
        ) as up,
        up.client() as client,
    ):
        answer = await client.ask(request(method="POST", body=b"abc"))
        assert (answer.status, answer.body) == ((401, b"who?") if shut else (200, b"abc"))
        assert fallback.asked == [Failure(503, "breaker_open", "")]
        assert (door.asked, len(reader.bodies)) == (1, not shut)
        assert (service.requests, len(standby.requests)) == ([], not shut)
        await up.idle()
        # Nothing stood in for the answer of a plugin that decides who may ask.
        assert up.recorder.finished == [(401, "local", "-") if shut else (200, "fallback", "UO,FB")]


@pytest.mark.parametrize("phase", ["on_request", "admit"])
async def test_crash_behind_one_that_refuses_fails_closed(phase: str) -> None:
    fallback = Fallback(to="standby")
    async with (
        upstream(answering) as service,
        gateway(
            service.port,
            plugins=[fallback, Requester(refuse), crashing(phase)],
            others=[make_upstream("standby", service.port)],
        ) as up,
        up.client() as client,
    ):
        assert (await client.ask(request())).status == 500
        assert (len(fallback.asked), service.requests) == (1, [])


@pytest.mark.parametrize(
    ("plugins", "script", "body", "told"),
    [
        ((), saying(status(404)), b"", 404),
        ((), saying(status(429)), b"", 429),
        ((), answering, bytes(201), 413),
        ((ReadsRequest(),), answering, bytes(101), 413),
        ((crashing("on_request"),), answering, b"", 500),
        ((crashing("on_attempt"),), answering, b"", 500),
        ((crashing("on_response"),), answering, b"", 500),
        ((Requester(lambda exchange: Reply.text(503, "own")),), answering, b"", 503),
    ],
)
async def test_what_is_not_the_upstreams_fault_has_no_fallback(
    plugins: tuple[Plugin, ...], script: Script, body: bytes, told: int
) -> None:
    fallback = Fallback(INSTEAD)
    async with (
        upstream(script) as service,
        gateway(service.port, plugins=[fallback, *plugins], settings=make_settings(request_body=200)) as up,
        up.client() as client,
    ):
        answer = await client.ask(request(method="POST", body=body))
        assert (answer.status, fallback.asked) == (told, [])


@pytest.mark.parametrize("close", [True, False])
async def test_answer_that_has_begun_is_cut_and_not_replaced(close: bool) -> None:
    fallback = Fallback(INSTEAD)
    script = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", close=close)
    async with (
        upstream(script) as service,
        gateway(service.port, plugins=[fallback], timeouts=timeouts(body=0.1)) as up,
        up.client() as client,
    ):
        client.send(request())
        assert (await client.head()).status == 200
        assert await client.ends() == "reset"
        await up.idle()
        assert fallback.asked == []


async def test_answer_that_is_collected_may_still_be_replaced() -> None:
    fallback = Fallback(INSTEAD)
    script = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", close=True)
    async with (
        upstream(script) as service,
        gateway(service.port, plugins=[fallback, ReadsResponse()]) as up,
        up.client() as client,
    ):
        assert (await client.ask(request())).body == b"instead"
        assert fallback.asked == [Failure(502, "upstream_incomplete", "reset")]
