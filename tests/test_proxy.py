"""The life of a request: which phases run, in which order, and how it ends."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange, Reply
from gateway.plugin import ADMITTED, Plugin, ResponseHead
from gateway.routing.actions import Forward, Redirect, Respond
from gateway.routing.pattern import parse_template
from tests.support.gateways import PING, gateway, request
from tests.support.raw_upstream import answering, upstream
from tests.support.recording import Editor, Requester

FORWARD = Forward((("up", 1),))


async def test_phases_in_order() -> None:
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        assert (await client.ask(request())).body == b"ok"
        assert running.recorder.phases() == ["on_request", "on_attempt", "on_attempt_end", "on_response", "on_finish"]
        assert running.recorder.finished == [(200, "answered", "-")]
        assert (await client.ask(request("/ping"))).body == b"pong"
        assert running.recorder.phases(1) == ["on_request", "on_response", "on_finish"]
        assert running.recorder.finished[1] == (200, "local", "-")


@pytest.mark.parametrize(
    ("path", "status", "outcome", "flag"),
    [
        ("/none", 404, "no_route", "NR"),
        ("/%00", 400, "bad_request", "DPE"),
        ("/a/../ping", 400, "ambiguous_path", "DPE"),
    ],
)
async def test_requests_without_a_route_pass_the_top_level_plugins(
    path: str, status: int, outcome: str, flag: str
) -> None:
    async with gateway(paths=[PING]) as running, running.client() as client:
        answer = await client.ask(request(path))
        assert answer.status == status
        assert running.recorder.phases() == ["on_response", "on_finish"]
        assert running.recorder.finished == [(status, outcome, flag)]
        assert running.recorder.exchanges[0].route == "-"
        assert (await client.ask(request("/ping"))).body == b"pong"


async def test_no_route_with_a_body_that_is_still_to_come() -> None:
    async with gateway(paths=[PING]) as running, running.client() as client:
        client.send(request("/none", b"Content-Length: 10", method="POST") + b"abc")
        answer = await client.response()
        assert (answer.status, answer.get("connection")) == (404, "close")
        assert await client.rest() == b""


async def test_redirect() -> None:
    action = Redirect(parse_template("/api/{**}", frozenset(["**"])), 308)
    async with gateway(paths=[("/v1/**", action)]) as running, running.client() as client:
        answer = await client.ask(request("/v1/a%20b?x=1"))
        assert (answer.status, answer.get("location"), answer.body) == (308, "/api/a%20b?x=1", b"")


@pytest.mark.parametrize(
    "reply", [Reply.empty(), Reply.empty(304), Reply(205), Reply.text(200, ""), Reply.text(200, "x" * 200_000)]
)
async def test_own_answers_of_all_kinds(reply: Reply) -> None:
    async with gateway(paths=[("/x", Respond(reply)), PING]) as running, running.client() as client:
        for _ in range(2):
            answer = await client.ask(request())
            assert (answer.status, answer.body) == (reply.status, reply.body)
        assert (await client.ask(request("/ping"))).body == b"pong"


async def test_own_answer_is_not_changed_for_the_next_by_an_edit() -> None:
    def edit(exchange: Exchange, head: ResponseHead) -> None:
        head.headers.add("X-Seen", "1")
        head.body = (head.body or b"") + b"!"
        head.status = 201

    async with gateway(paths=[PING], plugins=[Editor(edit)]) as running, running.client() as client:
        for _ in range(3):
            answer = await client.ask(request("/ping"))
            assert (answer.status, answer.body, answer.get("x-seen")) == (201, b"pong!", "1")


async def test_head_is_told_the_length_of_what_a_plugin_made_of_the_body() -> None:
    def edit(exchange: Exchange, head: ResponseHead) -> None:
        head.body = (head.body or b"") + b"!"

    def empty(exchange: Exchange) -> Reply | None:
        return Reply.empty(304, {"ETag": "a"}) if exchange.query else None

    plugins = [Editor(edit), Requester(empty)]
    async with gateway(paths=[PING], plugins=plugins) as running, running.client() as client:
        for method in ("HEAD", "GET"):
            answer = await client.ask(request("/ping", method=method), method)
            assert (answer.status, answer.get("content-length")) == (200, "5")
            answer = await client.ask(request("/ping?304", method=method), method)
            assert (answer.status, answer.get("etag"), answer.get("content-length")) == (304, "a", None)


async def test_edit_of_a_services_answer() -> None:
    def edit(exchange: Exchange, head: ResponseHead) -> None:
        head.headers.set("X-Edit", "1")
        head.status = 418

    async with (
        upstream(answering) as service,
        gateway(service.port, plugins=[Editor(edit)]) as running,
        running.client() as client,
    ):
        for _ in range(3):
            answer = await client.ask(request())
            assert (answer.first, answer.body) == (b"HTTP/1.1 418 I'm a Teapot", b"ok")
            assert answer.get("x-edit") == "1"


async def test_reply_with_a_forbidden_field_is_500() -> None:
    plugin = Requester(lambda exchange: Reply(200, {"X": "a\r\nb"}))
    async with gateway(paths=[PING], plugins=[plugin]) as running, running.client() as client:
        assert (await client.ask(request("/ping"))).status == 500
        assert (await client.ask(request("/ping"))).status == 500


async def test_problem_and_page() -> None:
    async with gateway(paths=[PING]) as running, running.client() as client:
        problem = await client.ask(request("/none?secret=1"))
        assert problem.get("content-type") == "application/problem+json"
        assert b"secret" not in problem.body
        page = await client.ask(request("/none", b"Accept: text/html"))
        assert (page.get("content-type") or "").startswith("text/html")
        head = await client.ask(request("/none", method="HEAD"), "HEAD")
        assert int(head.get("content-length") or 0) > 0


async def test_table_can_be_replaced_under_way() -> None:
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        assert (await client.ask(request())).body == b"ok"
        async with gateway(paths=[PING]) as other:
            running.proxy.table = other.proxy.table
        assert (await client.ask(request())).status == 404


class Deciding(Plugin):
    """Its `on_request` returns `first`, its `admit` `second` after a turn of the loop. `asked` notes both."""

    def __init__(self, first: Reply | None, second: Reply | None = None) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.name = "deciding"
        self.first, self.second = first, second
        self.asked: list[str] = []

    def on_request(self, exchange: Exchange) -> Reply | None:
        self.asked.append("on_request")
        return self.first

    async def admit(self, exchange: Exchange) -> Reply | None:
        self.asked.append("admit")
        await asyncio.sleep(0)
        return self.second


@pytest.mark.parametrize("spared", [False, True])
async def test_admitted_passes_over_the_plugins_own_admit_and_no_other(spared: bool) -> None:
    def refuse(exchange: Exchange) -> None:
        if spared:
            raise GatewayError(Kind.BREAKER_OPEN)

    known, unknown = Deciding(ADMITTED, Reply.text(403, "never")), Deciding(None)
    plugins = [Requester(refuse), known, unknown, Deciding(ADMITTED)]
    async with (
        upstream(answering) as service,
        gateway(service.port, plugins=plugins) as running,
        running.client() as client,
    ):
        for _ in range(2):
            answer = await client.ask(request())
            assert (answer.status, b"never" in answer.body) == (503 if spared else 200, False)
    assert known.asked == ["on_request"] * 2
    assert unknown.asked == ["on_request", "admit"] * 2
    assert len(service.requests) == (0 if spared else 2)


async def test_who_is_not_admitted_is_refused_behind_who_is() -> None:
    plugins = [Deciding(ADMITTED), Deciding(None, Reply.text(403, "no")), Deciding(ADMITTED)]
    async with (
        upstream(answering) as service,
        gateway(service.port, plugins=plugins) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"no"
    assert plugins[2].asked == []
    assert service.connections == 0
