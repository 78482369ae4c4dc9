"""What a plugin answers in place of a failure: with a reply, or by sending the request to another upstream."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway.exchange import Exchange, Reply
from gateway.plugin import Failure, GatewayError, Kind, Plugin, ResponseHead
from gateway.routing.actions import Forward
from gateway.upstreams.retry import HedgePolicy
from tests.support.gateways import PING, gateway, limits, make_settings, make_upstream, request, timeouts
from tests.support.misbehaving import CHUNKED, closing, resetting, retry, status
from tests.support.polling import eventually
from tests.support.raw_upstream import Peer, Script, answering, echoing, saying, silent, upstream
from tests.support.recording import Editor, Gate, ReadsRequest, ReadsResponse, Requester, crashing
from tests.support.standins import INSTEAD, Attempting, Fallback, early, endless, refuse

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
        gateway(service.port if script else unused_tcp_port, plugins=[fallback], timeouts=timeouts(response=0.3)) as up,
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
        assert fallback.asked == ([] if shut else [Failure(503, "breaker_open", "")]), "a fallback is for who may ask"
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
        assert (fallback.asked, service.requests) == ([], [])


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


@pytest.mark.parametrize("to", ["", "standby"])
async def test_answer_that_is_too_large_to_be_collected_may_be_replaced(to: str) -> None:
    """All of the request's body is kept until then."""
    fallback = Fallback(None if to else INSTEAD, to)
    async with (
        upstream(saying(status(200, body=bytes(101)))) as service,
        upstream(echoing) as standby,
        gateway(
            service.port, plugins=[fallback, ReadsResponse()], others=[make_upstream("standby", standby.port)]
        ) as up,
        up.client() as client,
    ):
        assert (await client.ask(request(method="PUT", body=b"hello"))).body == (b"hello" if to else b"instead")
        assert fallback.asked == [Failure(502, "upstream_body_too_large", "reset")]


async def test_error_that_has_begun_is_cut_when_nothing_stood_in_for_it() -> None:
    fallback = Fallback()
    script = saying(b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n", b"abc", close=True)
    async with (
        upstream(script) as service,
        gateway(service.port, plugins=[fallback]) as up,
        up.client() as client,
    ):
        client.send(request())
        assert (await client.head()).status == 500
        assert await client.ends() == "reset"
        await up.idle()
        assert fallback.asked == [Failure(500, "", "5xx")], "once, before it began"


async def test_reply_while_the_body_is_still_to_come() -> None:
    async with (
        upstream(early) as service,
        gateway(service.port, plugins=[Fallback(INSTEAD)]) as up,
        up.client() as client,
    ):
        client.send(request("/x", b"Content-Length: 9", method="PUT") + b"abc")
        answer = await client.response()
        assert (answer.body, answer.get("connection")) == (b"instead", "close")
        assert await client.rest() == b""


class Naming(Fallback):
    """Replies with the request's path."""

    def on_failure(self, exchange: Exchange, failure: Failure) -> Reply | None:
        return Reply.text(200, exchange.raw_path)


async def test_replies_to_pipelined_requests_stay_in_order() -> None:
    async with (
        upstream(saying(status(500))) as service,
        gateway(service.port, plugins=[Naming()]) as up,
        up.client() as client,
    ):
        client.send(b"".join(request(f"/{number}") for number in range(10)))
        assert [(await client.response()).body for _ in range(10)] == [b"/%d" % number for number in range(10)]


async def test_reply_where_the_queue_is_full() -> None:
    fallback = Fallback(INSTEAD)
    async with (
        upstream(silent) as service,
        gateway(service.port, plugins=[fallback], limits=limits(max_connections=1, max_queue=0)) as up,
        up.client() as blocker,
        up.client() as client,
    ):
        blocker.send(request())
        await eventually(lambda: service.requests)
        assert (await client.ask(request())).body == b"instead"
        assert fallback.asked == [Failure(503, "queue_full", "full")]


async def test_reply_passes_the_plugins_that_edit() -> None:
    def edit(exchange: Exchange, head: ResponseHead) -> None:
        head.headers.set("X-Fallback", exchange.fallback)

    async with (
        upstream(closing) as service,
        gateway(service.port, plugins=[Editor(edit), Fallback(INSTEAD)]) as up,
        up.client() as client,
    ):
        answer = await client.ask(request())
        assert (answer.body, answer.get("x-fallback")) == (b"instead", "reply")


async def test_crash_while_the_reply_is_edited_is_500() -> None:
    fallback = Fallback(INSTEAD)
    async with (
        upstream(closing) as service,
        gateway(service.port, plugins=[crashing("on_response"), fallback]) as up,
        up.client() as client,
    ):
        assert (await client.ask(request())).status == 500
        assert up.recorder.finished == [(500, "plugin_crashed", "PE")]
        assert len(fallback.asked) == 1


async def test_plugins_are_asked_when_no_attempt_is_left() -> None:
    fallback = Fallback(INSTEAD)
    async with (
        upstream(closing) as one,
        upstream(saying(status(503))) as other,
        gateway(one.port, other.port, plugins=[fallback], retries=retry(attempts=2)) as up,
        up.client() as client,
    ):
        assert (await client.ask(request())).body == b"instead"
        assert fallback.asked == [Failure(503, "", "5xx")]
        assert (len(one.requests), len(other.requests)) == (1, 1)


async def test_plugins_are_asked_once_for_two_attempts_at_a_time() -> None:
    fallback = Fallback(INSTEAD)

    async def failing_together(peer: Peer) -> None:
        await peer.request()
        await eventually(lambda: one.requests and other.requests)

    async with (
        upstream(failing_together) as one,
        upstream(failing_together) as other,
        gateway(one.port, other.port, plugins=[fallback], hedge=HedgePolicy(0.01)) as up,
        up.client() as client,
    ):
        assert (await client.ask(request())).body == b"instead"
        assert fallback.asked == [Failure(502, "upstream_reset", "reset")]


class MovesAndCrashes(Fallback):
    """Fails when it has chosen already."""

    def on_failure(self, exchange: Exchange, failure: Failure) -> Reply | None:
        super().on_failure(exchange, failure)
        raise RuntimeError("no fallback")


async def test_choice_of_a_plugin_that_fails_counts_for_nothing() -> None:
    async with (
        upstream(closing) as service,
        upstream(answering) as standby,
        gateway(
            service.port, plugins=[MovesAndCrashes(to="standby")], others=[make_upstream("standby", standby.port)]
        ) as up,
        up.client() as client,
    ):
        assert (await client.ask(request())).status == 502
        assert not standby.requests


@pytest.mark.parametrize("plugin", [Requester(refuse), Guard(), Attempting(refuse)])
async def test_reply_to_an_open_breaker(plugin: Plugin) -> None:
    fallback = Fallback(INSTEAD)
    async with (
        upstream(answering) as service,
        gateway(service.port, plugins=[fallback, plugin]) as up,
        up.client() as client,
    ):
        for _ in range(2):
            assert (await client.ask(request(method="PUT", body=b"abc"))).body == b"instead"
        assert fallback.asked == [Failure(503, "breaker_open", "")] * 2
        assert not service.requests


class AsksInVain(Plugin):
    """Who may pass is known elsewhere, where nobody answers."""

    def __init__(self, waits: bool) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.waits = waits

    async def admit(self, exchange: Exchange) -> Reply | None:
        if self.waits:
            await asyncio.sleep(0)
        raise GatewayError(Kind.CONNECT_FAILED)


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("refused", [0, 1, 2])
@pytest.mark.parametrize("fallback", [Fallback(to="standby"), Fallback(INSTEAD)])
async def test_plugin_that_could_not_decide_is_never_passed_by(fallback: Fallback, refused: int, waits: bool) -> None:
    """Whether breakers before it are open or not."""
    fallback.asked.clear()
    async with (
        upstream(answering) as service,
        gateway(
            service.port,
            plugins=[fallback, *[Requester(refuse)] * refused, AsksInVain(waits), Fallback(INSTEAD)],
            others=[make_upstream("standby", service.port)],
        ) as up,
        up.client() as client,
    ):
        assert (await client.ask(request())).status == 502
        assert up.recorder.finished == [(502, "connect_failed", "UF")]
        assert (fallback.asked, service.requests) == ([], [])


@pytest.mark.parametrize("shut", [True, False])
async def test_plugins_behind_several_that_refuse_still_decide(shut: bool) -> None:
    fallback, door = Fallback(to="standby"), Door(shut, waits=True)
    async with (
        upstream(answering) as service,
        upstream(answering) as standby,
        gateway(
            service.port,
            plugins=[fallback, Requester(refuse), Requester(refuse), door],
            others=[make_upstream("standby", standby.port)],
        ) as up,
        up.client() as client,
    ):
        assert (await client.ask(request())).status == (401 if shut else 200)
        assert (door.asked, len(fallback.asked), len(standby.requests)) == (1, not shut, not shut)
        assert not service.requests


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (request("/none"), 404),
        (request("/x", CHUNKED, method="PUT") + b"ff\r\n" + bytes(255) + b"\r\n", 413),
        (request("/x", b"Content-Length: 9", method="PUT") + b"abc", 408),
        (request(method="TRACE"), 405),
        (request("/a/../x"), 400),
        (request("/x", b"Expect: a miracle"), 417),
    ],
)
async def test_what_the_client_did_wrong_has_no_fallback(sent: bytes, told: int) -> None:
    fallback = Fallback(INSTEAD)
    settings = make_settings(request_body=200, body_timeout=0.1)
    paths = (("/x", Forward((("up", 1),))), PING)
    async with (
        upstream(silent) as service,
        gateway(service.port, plugins=[fallback], settings=settings, paths=paths) as up,
        up.client() as client,
    ):
        assert (await client.ask(sent)).status == told
        assert fallback.asked == []


async def test_client_that_left_has_no_fallback() -> None:
    fallback = Fallback(INSTEAD)
    async with upstream(silent) as service, gateway(service.port, plugins=[fallback]) as up:
        async with up.client() as client:
            client.send(request())
            await eventually(lambda: service.requests)
            client.reset()
            await up.idle()
        assert fallback.asked == []
