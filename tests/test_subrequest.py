"""Requests of the gateway's own, on behalf of a client's: what they carry, how they end, and what they leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.chain import EMPTY, Chain
from gateway.errors import GatewayError, Kind
from gateway.exchange import Reply
from gateway.live import LiveExchange
from gateway.plugin import Exchange, Plugin
from gateway.subrequest import (
    HOSTS,
    HOSTS_KEPT,
    Subrequest,
    Subrequests,
    SubrequestStream,
    Timekeeper,
    added_lines,
    host_block,
)
from gateway.testing import make_head
from gateway.upstreams.upstream import Upstream
from tests.support.compositions import Asked, Client, Stage, staged
from tests.support.polling import eventually
from tests.support.recording import Requester


class Stream(SubrequestStream):
    """Counts its ends."""

    ends = 0

    def over(self) -> None:
        self.ends += 1


class Owner:
    """An exchange's subrequests, which a test sends."""

    def __init__(self, folder: Path, **request: Any) -> None:
        self.stage: Stage = staged(folder, "a: {from: catalog, path: /a, timeout: 60s}")
        exchanges: list[LiveExchange] = []
        self.client: Client = self.stage.ask(change=exchanges.append, **request)
        self.exchange = exchanges[0]
        self.subrequests = Subrequests()
        self.calls: set[SubrequestStream] = set()
        self.subrequests.keeper.owners.add(self)
        self.stage.asked.clear()
        # The composition's own.
        self._before = self.upstream.endpoints[0].in_flight

    @property
    def upstream(self) -> Upstream:
        return self.stage.upstreams["catalog"]

    def send(self, until: float = 1e9, body: bytes | None = None, chain: Chain = EMPTY, limit: int = 100) -> Stream:
        stream = Stream(self, limit)
        subrequest = Subrequest(
            stream,
            self.upstream,
            "GET" if body is None else "POST",
            "/x?y=1",
            host_block(self.exchange),
            [b"X-Own: 1\r\n"],
            added_lines(self.exchange, self.upstream),
            until,
            body,
            chain,
        )
        subrequest.route_id = "r/x"
        self.subrequests.send(subrequest)
        return stream

    @property
    def asked(self) -> Asked:
        (asked,) = self.stage.asked
        return asked

    def check(self) -> None:
        """All of it was given back."""
        assert (self.subrequests.active, self.calls) == (0, set())
        assert self.upstream.endpoints[0].in_flight == self._before


async def test_an_answer(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    stream = owner.send(body=b"abc")
    asked = owner.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/x?y=1", b"abc")
    assert asked.fields[:3] == [("host", "a.example"), ("x-own", "1"), ("content-length", "3")]
    exchange = stream.exchange
    assert exchange is not None
    assert (exchange.raw_path, exchange.query, exchange.upstream, exchange.route_id) == ("/x", "y=1", "catalog", "r/x")
    asked.answer(b"ok", 203, etag="1")
    assert (stream.ends, stream.status, bytes(stream.body), stream.error) == (1, 203, b"ok", None)
    assert stream.head is not None
    assert stream.head.get("etag") == "1"
    owner.check()


async def test_a_body_in_pieces(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    stream = owner.send()
    receiver = owner.asked.receiver
    receiver.response(make_head(200), b"a", False)
    receiver.response_body(b"b", False)
    assert stream.ends == 0
    receiver.response_body(b"c", True)
    assert (stream.ends, bytes(stream.body)) == (1, b"abc")
    owner.check()


@pytest.mark.parametrize("way", ["declared", "at once", "in pieces"])
async def test_more_than_the_limit(tmp_path: Path, way: str) -> None:
    owner = Owner(tmp_path)
    stream = owner.send(limit=10)
    asked = owner.asked
    head = make_head(404)
    if way == "at once":
        asked.receiver.response(head, b"x" * 11, True)
    elif way == "declared":
        head.length = 11
        asked.receiver.response(head, b"", False)
    else:
        asked.receiver.response(head, b"x" * 10, False)
        asked.receiver.response_body(b"x", False)
    await eventually(lambda: stream.ends == 1)
    assert stream.error is not None
    assert (stream.error.kind, stream.status) == (Kind.UPSTREAM_BODY_TOO_LARGE, 404)
    assert len(stream.body) == 0
    assert asked.left is (way != "at once")
    owner.check()


async def test_a_limit_is_allowed_to_be_reached(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    stream = owner.send(limit=10)
    owner.asked.answer(b"x" * 10)
    assert (stream.error, len(stream.body)) == (None, 10)


async def test_failures(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    stream = owner.send()
    owner.asked.fail(Kind.CONNECT_FAILED)
    assert stream.error is not None
    assert (stream.ends, stream.error.kind, stream.error.__traceback__) == (1, Kind.CONNECT_FAILED, None)
    owner.check()


async def test_no_endpoint(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.upstream.endpoints[0].put("drain", 0.0)
    stream = owner.send()
    assert stream.error is not None
    assert (stream.ends, stream.error.kind) == (1, Kind.NO_ENDPOINT)
    owner.check()


async def test_an_answer_that_breaks_off(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    stream = owner.send()
    owner.asked.receiver.response(make_head(200), b"a", False)
    owner.asked.fail(Kind.UPSTREAM_INCOMPLETE)
    assert stream.error is not None
    assert (stream.ends, stream.error.kind) == (1, Kind.UPSTREAM_INCOMPLETE)
    owner.check()


async def test_one_that_is_given_up(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    stream = owner.send()
    stream.cancel()
    assert (stream.ends, owner.asked.left, stream.exchange) == (0, True, None)
    stream.cancel()
    owner.check()


async def test_time(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    stream = owner.send(until=owner.exchange.started + 0.02)
    assert 0 <= int(owner.asked.all("x-request-deadline-ms")[0]) <= 20
    await eventually(lambda: stream.ends == 1)
    assert stream.error is not None
    assert (stream.error.kind, owner.asked.left) == (Kind.TOTAL_TIMEOUT, True)
    owner.check()


async def test_it_has_no_longer_than_its_client(tmp_path: Path) -> None:
    owner = Owner(tmp_path, trusted=True, x_request_deadline_ms="0")
    stream = owner.send()
    assert stream.error is not None
    assert (stream.error.kind, owner.stage.asked) == (Kind.DEADLINE_EXCEEDED, [])
    owner.check()


async def test_who_asks_is_known_to_what_guards_it(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.exchange.principal, owner.exchange.claims = "ann", {"sub": "ann"}
    seen: list[Exchange] = []
    stream = owner.send(chain=Chain((Requester(seen.append),)))
    assert (seen[0].principal, seen[0].claims, seen[0].client_ip) == ("ann", {"sub": "ann"}, "192.0.2.1")
    assert stream.trusted is False
    assert stream.settings is owner.client.settings
    owner.asked.answer(1)
    owner.check()


async def test_what_guards_it_may_answer_or_refuse(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    stream = owner.send(chain=Chain((Requester(lambda exchange: Reply.json(200, [1])),)))
    assert (stream.ends, stream.status, stream.body) == (1, 200, b"[1]")

    def refuse(exchange: Exchange) -> None:
        raise GatewayError(Kind.BREAKER_OPEN)

    stream = owner.send(chain=Chain((Requester(refuse),)))
    assert stream.error is not None
    assert (stream.ends, stream.error.kind) == (1, Kind.BREAKER_OPEN)

    def crash(exchange: Exchange) -> None:
        raise RuntimeError("x")

    stream = owner.send(chain=Chain((Requester(crash),)))
    assert stream.error is not None
    assert (stream.ends, stream.error.kind) == (1, Kind.PLUGIN_CRASHED)
    assert owner.stage.asked == []
    owner.check()


async def test_a_crash_on_the_way_is_its_own(tmp_path: Path) -> None:
    owner = Owner(tmp_path)

    class Crashing:
        def pick(self, *arguments: object) -> None:
            raise RuntimeError("x")

    owner.upstream.only, owner.upstream.balance = None, Crashing()  # type: ignore[assignment]
    stream = owner.send()
    assert stream.error is not None
    assert (stream.ends, stream.error.kind) == (1, Kind.PLUGIN_CRASHED)


class Finishing(Plugin):
    """Notes what became of exchanges."""

    def __init__(self) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.seen: list[tuple[int, str]] = []

    def on_finish(self, exchange: Exchange) -> None:
        self.seen.append((exchange.status, exchange.outcome))


async def test_what_guards_it_sees_each_end_once(tmp_path: Path) -> None:
    owner, plugin = Owner(tmp_path), Finishing()
    chain = Chain((plugin,))
    owner.send(chain=chain)
    owner.stage.asked[0].answer(1, 404)
    owner.send(chain=chain)
    owner.stage.asked[1].fail()
    owner.send(chain=chain).cancel()
    assert plugin.seen == [(404, "answered"), (0, "upstream_reset"), (499, "client_gone")]


async def test_hosts(tmp_path: Path) -> None:
    owner = Owner(tmp_path, host="b.example:80")
    block = host_block(owner.exchange)
    assert block is host_block(owner.exchange)
    assert (block.host, block.text) == ("b.example:80", b"Host: b.example:80\r\n")
    for number in range(HOSTS_KEPT):
        HOSTS[b"h%d" % number] = block
    other = Owner(tmp_path, host="c.example")
    assert host_block(other.exchange).host == "c.example"
    assert len(HOSTS) < HOSTS_KEPT


async def test_a_timekeeper_looks_at_the_earliest_first() -> None:
    class Waiting:
        def __init__(self, deadline: float) -> None:
            self.deadline = deadline

        def expired(self, now: float) -> None:
            ended.append(self.deadline)
            self.deadline = float("inf")

    class Several:
        def __init__(self, *streams: Waiting) -> None:
            self.calls = set(streams)

    ended: list[float] = []
    keeper = Timekeeper()
    streams = [Waiting(deadline) for deadline in (0.3, 0.1, 0.2)]
    keeper.owners = {Several(*streams[:2]), Several(streams[2])}  # type: ignore[arg-type]
    for stream in streams:
        keeper.watch(stream.deadline)
    # All of it is long ago.
    await eventually(lambda: len(ended) == 3)
    assert sorted(ended) == [0.1, 0.2, 0.3]
    assert keeper._timer is None
