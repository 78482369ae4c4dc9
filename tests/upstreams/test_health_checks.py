"""Health checks over real sockets: what they send, what they make of an answer, and whom they follow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from gateway.upstreams.health import BODY_LIMIT, CheckPolicy
from gateway.upstreams.health_checks import HealthChecks, check_session
from gateway.wire.pool import Pool, PoolLimits
from tests.support.polling import eventually, turns
from tests.support.raw_upstream import OK, Peer, answering, in_turn, saying, silent, upstream

OFTEN = 0.005
ONCE = 1000.0
DOWN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Changes:
    count: int = 0


@dataclass(eq=False)
class FakeEndpoint:
    pool: Pool
    state: str = "enabled"
    healthy: bool = True
    checked: bool = False
    check_failure: str = ""
    available_since: float = 0.0
    changes: Changes = field(default_factory=Changes)

    @property
    def address(self) -> str:
        return self.pool.address

    @property
    def authority(self) -> str:
        return self.pool.authority


def at(port: int, host: str = "127.0.0.1") -> Any:
    return FakeEndpoint(Pool(host, port, PoolLimits()))


def policy(**options: Any) -> CheckPolicy:
    return CheckPolicy(**{"interval": OFTEN, "timeout": 2.0, "path": "/health", **options})


@dataclass
class Checking:
    """Health checks that run, and whom they lifted."""

    checks: HealthChecks
    lifted: list[Any]

    def follow(self, *wanted: tuple[Any, CheckPolicy]) -> None:
        self.checks.follow({endpoint: (how, "users") for endpoint, how in wanted})


@contextlib.asynccontextmanager
async def checking(*wanted: tuple[Any, CheckPolicy]) -> AsyncIterator[Checking]:
    lifted: list[Any] = []
    async with check_session() as session:
        running = Checking(HealthChecks(lambda: session, lifted.append), lifted)
        running.follow(*wanted)
        try:
            yield running
        finally:
            await running.checks.stop()


async def checked_once(endpoint: Any, how: CheckPolicy) -> str:
    """Why the first check failed, or ""."""
    async with checking((endpoint, how)):
        await eventually(lambda: endpoint.checked)
    assert endpoint.healthy is (endpoint.check_failure == "")
    reason: str = endpoint.check_failure
    return reason


@dataclass
class Switch:
    """A service whose answer can be changed while it runs."""

    answer: bytes = OK

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        peer.send(self.answer)


# what is sent


async def test_the_request() -> None:
    async with upstream(answering) as service:
        endpoint = at(service.port)
        assert await checked_once(endpoint, policy(path="/health?full=%2F1", interval=ONCE)) == ""
    (head,) = service.requests
    assert head.first == b"GET /health?full=%2F1 HTTP/1.1"
    assert head.all("host") == [endpoint.address]
    assert head.all("user-agent") == ["aiogate-health-check"]
    assert head.all("connection") == ["close"]
    assert head.all("accept-encoding") == ["identity"]
    assert endpoint.changes.count == 0, "nothing is new"


async def test_another_method_and_host() -> None:
    async with upstream(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")) as service:
        assert await checked_once(at(service.port), policy(method="HEAD", host="users.example", interval=ONCE)) == ""
    (head,) = service.requests
    assert (head.first, head.all("host")) == (b"HEAD /health HTTP/1.1", ["users.example"])


async def test_any_client_is_told_to_close() -> None:
    async with upstream(answering) as service, aiohttp.ClientSession() as session:
        checks = HealthChecks(lambda: session, lambda _: None)
        checks.follow({at(service.port): (policy(), "users")})
        await eventually(lambda: service.requests)
        await checks.stop()
    assert service.requests[0].all("connection") == ["close"]


async def test_each_check_opens_a_connection_of_its_own() -> None:
    async with upstream(answering) as service, checking((at(service.port), policy())):
        await eventually(lambda: len(service.requests) >= 4)
        assert service.connections >= len(service.requests)


async def test_no_connection_stays_open_between_checks() -> None:
    async with upstream(answering) as service, checking((at(service.port), policy(interval=ONCE))):
        await eventually(lambda: service.requests)
        await eventually(lambda: service.open == 0)


# what an answer means


def answer(text: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


@pytest.mark.parametrize(
    ("said", "options", "reason"),
    [
        (b"HTTP/1.1 204 Nothing\r\n\r\n", {}, ""),
        (DOWN, {}, "status 500"),
        (answer("x", "404 Lost"), {}, "status 404"),
        (answer("x", "404 Lost"), {"statuses": frozenset({404})}, ""),
        (answer("all is up"), {"body": re.compile("up")}, ""),
        (answer("password=down"), {"body": re.compile("up")}, "the body does not match"),
        (b"nonsense s3cret\r\n\r\n", {}, "no valid answer: ClientResponseError"),
    ],
)
async def test_an_answer(said: bytes, options: dict[str, Any], reason: str) -> None:
    async with upstream(saying(said)) as service:
        assert await checked_once(at(service.port), policy(**options)) == reason


@pytest.mark.parametrize(("options", "reason"), [({}, ""), ({"statuses": frozenset({200})}, "status 302")])
async def test_redirects_are_not_followed(options: dict[str, Any], reason: str) -> None:
    there = b"HTTP/1.1 302 There\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with upstream(saying(there)) as service:
        assert await checked_once(at(service.port), policy(interval=ONCE, **options)) == reason
    assert [head.first for head in service.requests] == [b"GET /health HTTP/1.1"]


async def test_a_body_in_pieces() -> None:
    pieces = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nu\r\n", b"1\r\np\r\n", b"0\r\n\r\n")
    async with upstream(saying(*pieces)) as service:
        assert await checked_once(at(service.port), policy(body=re.compile("^up$"))) == ""


async def endless(peer: Peer) -> None:
    await peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        await peer.writer.drain()


async def test_of_an_endless_body_only_the_beginning_is_read() -> None:
    async with upstream(endless) as service:
        matching = re.compile(rf"^x{{{BODY_LIMIT}}}$")
        assert await checked_once(at(service.port), policy(body=matching, interval=ONCE)) == ""


async def test_a_body_that_nobody_looks_at_is_not_waited_for() -> None:
    async def stuck(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        await peer.gone()

    async with upstream(stuck) as service:
        assert await checked_once(at(service.port), policy()) == ""
        assert await checked_once(at(service.port), policy(body=re.compile("x"), timeout=0.05)) == "no answer in 0.05 s"


async def test_a_body_that_breaks_off() -> None:
    cut = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nup", close=True)
    async with upstream(cut) as service:
        failure = await checked_once(at(service.port), policy(body=re.compile("up")))
    assert failure == "no valid answer: ClientPayloadError"


async def test_a_service_that_hangs() -> None:
    async with upstream(silent) as service:
        assert await checked_once(at(service.port), policy(timeout=0.05)) == "no answer in 0.05 s"


async def test_one_check_at_a_time() -> None:
    async with upstream(silent) as service, upstream(answering) as other:
        slow = at(service.port)
        async with checking((slow, policy(timeout=ONCE)), (at(other.port), policy())):
            await eventually(lambda: len(other.requests) >= 5)
            assert (service.connections, slow.checked) == (1, False)


async def test_those_that_hang_do_not_hold_up_the_others() -> None:
    async with upstream(silent) as service, upstream(answering) as other:
        # More than an aiohttp client has connections, unless told otherwise.
        hanging = [at(service.port) for _ in range(120)]
        fine = at(other.port)
        async with checking(*((endpoint, policy(timeout=ONCE)) for endpoint in hanging), (fine, policy())):
            await eventually(lambda: fine.checked)
            assert fine.check_failure == ""


async def test_checks_spread_out_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return OFTEN / ONCE

    monkeypatch.setattr(random, "uniform", uniform)
    async with upstream(answering) as service, checking((at(service.port), policy(interval=ONCE))):
        await eventually(lambda: len(service.requests) >= 3)
    assert set(bounds) == {(0.9, 1.1)}


async def test_a_service_that_hangs_up() -> None:
    async def leaving(peer: Peer) -> None:
        await peer.request()

    async with upstream(leaving) as service:
        assert await checked_once(at(service.port), policy()) == "it hung up"


@pytest.mark.parametrize("kind", ("http", "tcp"))
async def test_nobody_listens(kind: str, unused_tcp_port: int) -> None:
    assert await checked_once(at(unused_tcp_port), policy(kind=kind)) == "Connection refused"


def resolving(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Any]) -> None:
    """`answer` makes what the host `users` resolves to."""
    loop = type(asyncio.get_running_loop())
    real = loop.getaddrinfo

    async def getaddrinfo(self: Any, host: Any, port: Any, **options: Any) -> Any:
        return answer() if host == "users" else await real(self, host, port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("error", (socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError("label too long")))
@pytest.mark.parametrize("kind", ("http", "tcp"))
async def test_a_name_without_an_address(kind: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise error

    resolving(monkeypatch, fail)
    assert await checked_once(at(80, "users"), policy(kind=kind)) == "its name has no address"


async def test_tcp() -> None:
    async with upstream(silent) as service:
        assert await checked_once(at(service.port), policy(kind="tcp", interval=ONCE)) == ""
        await eventually(lambda: service.connections == 1 and service.open == 0)
    assert not service.requests


async def test_tcp_tries_each_address_of_a_name(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    async with upstream(silent) as service:
        ports = (unused_tcp_port, service.port)
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in ports]
        resolving(monkeypatch, lambda: found)
        assert await checked_once(at(80, "users"), policy(kind="tcp")) == ""
        resolving(monkeypatch, lambda: found[:1])
        assert await checked_once(at(80, "users"), policy(kind="tcp")) == "Connection refused"


async def test_tcp_that_is_never_accepted() -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = full.getsockname()[1]
        # A queue of 0 takes one or two; the kernel then lets a newcomer wait.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        assert await checked_once(at(port), policy(kind="tcp", timeout=0.05)) == "no answer in 0.05 s"


# what follows


async def test_down_and_up_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.upstreams")
    switch = Switch()
    async with upstream(switch) as service:
        endpoint = at(service.port)
        async with checking((endpoint, policy())) as running:
            await eventually(lambda: len(running.lifted) >= 3)
            assert (endpoint.healthy, endpoint.changes.count, caplog.messages) == (True, 0, [])
            switch.answer = DOWN
            await eventually(lambda: not endpoint.healthy)
            assert (endpoint.check_failure, endpoint.changes.count) == ("status 500", 1)
            assert caplog.messages == [f"{endpoint.address} of users is unhealthy: status 500"]
            assert endpoint.available_since == 0.0
            lifted = len(running.lifted)
            switch.answer = OK
            await eventually(lambda: endpoint.healthy)
            assert len(running.lifted) >= lifted + 2, "the first pass lifts, the second one makes healthy"
            assert (endpoint.check_failure, endpoint.changes.count) == ("", 2)
            assert caplog.messages[1:] == [f"{endpoint.address} of users is healthy again"]
            assert endpoint.available_since > 0
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert set(running.lifted) == {endpoint}


async def test_how_many_it_takes() -> None:
    told: list[tuple[int, bool]] = []

    class Watched(FakeEndpoint):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "healthy" and self.checked:
                told.append((len(service.requests), value))

    fine, broken = saying(OK, close=True), saying(DOWN, close=True)
    script = in_turn(fine, broken, broken, fine, broken, broken, broken, fine, fine)
    async with (
        upstream(script) as service,
        checking((Watched(Pool("127.0.0.1", service.port, PoolLimits())), policy())),
    ):
        await eventually(lambda: len(service.requests) >= 12)
    assert told == [(7, False), (9, True)]


async def test_failed_checks_lift_nothing() -> None:
    async with upstream(saying(DOWN)) as service:
        endpoint = at(service.port)
        async with checking((endpoint, policy())) as running:
            await eventually(lambda: service.connections >= 5)
            assert running.lifted == []
    assert endpoint.changes.count == 1


async def test_a_drained_endpoint_is_checked_too() -> None:
    async with upstream(saying(DOWN)) as service:
        endpoint = at(service.port)
        endpoint.state = "drain"
        assert await checked_once(endpoint, policy()) == "status 500"


async def test_a_check_that_breaks_down_is_a_failed_one(caplog: pytest.LogCaptureFixture) -> None:
    asked, broken = 0, True
    async with upstream(answering) as service, check_session() as session:

        def give() -> aiohttp.ClientSession:
            nonlocal asked
            asked += 1
            if broken:
                raise RuntimeError("no session")
            return session

        endpoint = at(service.port)
        checks = HealthChecks(give, lambda _: None)
        checks.follow({endpoint: (policy(), "users")})
        await eventually(lambda: asked >= 3)
        assert endpoint.check_failure == "the check itself failed: RuntimeError"
        assert not endpoint.healthy
        broken = False
        await eventually(lambda: endpoint.healthy)
        await checks.stop()
    message = f"a check of {endpoint.address} of users broke down"
    assert [said for said in caplog.messages if "broke down" in said] == [message]


async def test_what_path_and_answer_say_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    scripts = in_turn(saying(b"s3cret s3cret\r\n\r\n"), saying(answer("s3cret", "500 s3cret")), silent)
    reasons: set[str] = set()
    async with upstream(scripts) as service:
        endpoint = at(service.port)
        async with checking((endpoint, policy(path="/health?token=s3cret", timeout=0.05))):
            await eventually(lambda: reasons.add(endpoint.check_failure) or "no answer in 0.05 s" in reasons)
    assert "s3cret" not in "".join(reasons) + caplog.text


# whom they follow


async def test_a_check_that_is_still_wanted_goes_on() -> None:
    async with upstream(silent) as service, upstream(answering) as other:
        endpoint, new = at(service.port), at(other.port)
        async with checking((endpoint, policy())) as running:
            await eventually(lambda: service.requests)
            running.follow((endpoint, policy()), (new, policy()))
            await eventually(lambda: new.checked)
            assert (service.connections, service.open) == (1, 1)


async def test_another_policy_begins_at_once_and_its_first_check_decides() -> None:
    async with upstream(answering) as service:
        endpoint = at(service.port)
        async with checking((endpoint, policy(interval=ONCE))) as running:
            await eventually(lambda: endpoint.checked)
            running.follow((endpoint, policy(interval=ONCE, path="/other", statuses=frozenset({204}))))
            await eventually(lambda: not endpoint.healthy)
    assert [head.first for head in service.requests] == [b"GET /health HTTP/1.1", b"GET /other HTTP/1.1"]


async def test_another_policy_ends_the_check_under_way() -> None:
    async with upstream(silent) as service:
        endpoint = at(service.port)
        async with checking((endpoint, policy(interval=ONCE))) as running:
            await eventually(lambda: service.requests)
            running.follow((endpoint, policy(interval=ONCE, path="/other")))
            await eventually(lambda: len(service.requests) == 2 and service.open == 1)


async def test_without_checks_an_endpoint_is_healthy() -> None:
    async with upstream(saying(DOWN)) as service:
        endpoint, other = at(service.port), at(service.port)
        async with checking((endpoint, policy()), (other, policy())) as running:
            await eventually(lambda: not endpoint.healthy and not other.healthy)
            running.follow((other, policy()))
            assert (endpoint.healthy, endpoint.checked, endpoint.check_failure) == (True, False, "")
            assert endpoint.changes.count == 2
            assert endpoint.available_since > 0
            await turns()
            assert not endpoint.checked, "its task is gone"
            assert not other.healthy


async def test_stop_leaves_the_verdicts() -> None:
    async with upstream(saying(DOWN)) as service, upstream(silent) as hanging:
        endpoint, slow = at(service.port), at(hanging.port)
        async with checking((endpoint, policy()), (slow, policy())) as running:
            await eventually(lambda: not endpoint.healthy and hanging.requests)
            assert len(check_tasks()) == 2
            await running.checks.stop()
            assert check_tasks() == []
            assert repr(running.checks) == "<HealthChecks of 0 endpoints>"
            await eventually(lambda: hanging.open == 0)
            assert (endpoint.healthy, endpoint.checked, slow.checked) == (False, True, False)


async def test_stop_waits_for_those_that_follow_stopped() -> None:
    async with upstream(silent) as service, checking((at(service.port), policy())) as running:
        await eventually(lambda: service.requests)
        running.follow()
        await running.checks.stop()
        assert check_tasks() == []


def check_tasks() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if "_Check.run" in repr(task.get_coro())]
