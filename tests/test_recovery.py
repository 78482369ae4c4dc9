"""What becomes of a failure: the parts of it that need no whole gateway, and who holds a retry's permit."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import recovery
from gateway.errors import Failure, GatewayError, Kind
from gateway.exchange import Attempt, Exchange
from gateway.plugin import Plugin
from gateway.proxy import Proxy
from gateway.recovery import fallback_flag, fell_back, put_off
from tests.support.gateways import gateway, request
from tests.support.misbehaving import closing, exchange_of, retry
from tests.support.polling import eventually
from tests.support.raw_upstream import answering, silent, upstream


class Ended:
    """What is asked of an exchange at its end."""

    def __init__(self, outcome: str, flag: str, fallback: str) -> None:
        self.outcome, self.flag, self.fallback = outcome, flag, fallback


@pytest.mark.parametrize(
    ("outcome", "failure", "fallback", "flag", "expected"),
    [
        ("local", "UF", "static", "-", ("fallback", "UF,FB", "static")),
        ("local", "-", "stale", "-", ("fallback", "FB", "stale")),
        ("answered", "UO", "upstream", "-", ("fallback", "UO,FB", "upstream")),
        # The other upstream failed, or the client left.
        ("upstream_reset", "UO", "upstream", "UC", ("upstream_reset", "UC", "upstream")),
        ("client_gone", "UF", "static", "DC", ("client_gone", "DC", "static")),
        # A plugin answered before the other upstream was asked.
        ("local", "UO", "upstream", "-", ("local", "-", "")),
    ],
)
def test_flag_of_a_fallback(outcome: str, failure: str, fallback: str, flag: str, expected: tuple[str, ...]) -> None:
    ended: Any = Ended(outcome, failure, fallback)
    flag = fallback_flag(ended, flag)
    assert (ended.outcome, flag, ended.fallback) == expected


class Asked:
    """An exchange whose plugins were asked, or that crashed in one."""

    def __init__(self, rescued: bool, crashed: bool) -> None:
        self.rescued, self.crashed = rescued, crashed


@pytest.mark.parametrize(
    ("failure", "rescued", "crashed"),
    [
        (None, False, False),
        (Failure(500, "", "5xx"), True, False),
        (Failure(500, "", "5xx"), False, True),
        (GatewayError(Kind.CLIENT_GONE).failure, False, False),
        (GatewayError(Kind.BODY_TOO_LARGE).failure, False, False),
        (GatewayError(Kind.PLUGIN_CRASHED).failure, False, False),
    ],
)
def test_plugins_are_asked_once_and_only_for_upstreams(failure: Failure | None, rescued: bool, crashed: bool) -> None:
    """It has no chain, so that asking its plugins would fail."""
    asked: Any = Asked(rescued, crashed)
    proxy: Any = Proxy
    assert not fell_back(proxy, asked, failure)


class Sparing(Plugin):
    """An open breaker for the endpoint at one port."""

    def __init__(self, port: int) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.name = "sparing"
        self._end = f":{port}"

    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> None:
        if attempt.endpoint.endswith(self._end):
            raise GatewayError(Kind.BREAKER_OPEN, elsewhere=True)


async def test_retry_that_passes_over_an_endpoint_keeps_its_permit() -> None:
    async with (
        upstream(closing) as first,
        upstream(answering) as second,
        upstream(silent) as third,
        gateway(
            first.port,
            second.port,
            third.port,
            retries=retry(),
            plugins=[Sparing(second.port)],
        ) as running,
    ):
        async with running.client() as client:
            client.send(request())
            await eventually(lambda: third.requests)
            assert running.recorder.errors == ["upstream_reset", "breaker_open"]
            assert running.upstream.budget.taken == 1
        await running.idle()
        assert (running.upstream.budget.taken, second.requests) == (0, [])


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry waits for its permit for longer than any test takes."""
    monkeypatch.setattr(recovery, "WAITS", 100_000)
    monkeypatch.setattr(recovery, "LONGEST_WAIT", 0.01)


@pytest.mark.usefixtures("patience")
async def test_retry_waits_for_a_permit() -> None:
    async with (
        upstream(closing) as bad,
        upstream(answering) as good,
        gateway(bad.port, good.port, retries=retry(budget=0.0, min_retries=1)) as running,
        running.client() as client,
    ):
        budget = running.upstream.budget
        assert budget.take(0)
        client.send(request(method="PUT", body=b"abc"))
        await eventually(lambda: running.recorder.exchanges and exchange_of(running).task is not None)
        assert not good.requests
        budget.give_back()
        assert (await client.response()).body == b"ok"
        assert (budget.taken, good.requests[0].body) == (0, b"abc")


@pytest.mark.usefixtures("patience")
async def test_client_leaves_while_its_retry_waits_for_a_permit() -> None:
    async with (
        upstream(closing) as bad,
        upstream(answering) as good,
        gateway(bad.port, good.port, retries=retry(budget=0.0, min_retries=1)) as running,
    ):
        async with running.client() as client:
            assert running.upstream.budget.take(0)
            client.send(request())
            await eventually(lambda: running.recorder.exchanges and exchange_of(running).task is not None)
            client.reset()
            await running.idle()
            assert (exchange_of(running).task, running.upstream.budget.taken) == (None, 1), "only what the test took"
            running.upstream.budget.give_back()
        assert not good.requests


class Refused:
    """An exchange whose plugins have not all had their turn."""

    def __init__(self, prepared: bool, refusal: GatewayError | None = None) -> None:
        self.prepared, self.refusal = prepared, refusal


@pytest.mark.parametrize(
    ("error", "prepared", "expected"),
    [
        (GatewayError(Kind.BREAKER_OPEN), False, True),
        (GatewayError(Kind.BREAKER_OPEN), True, False),
        (GatewayError(Kind.CONNECT_FAILED), False, False),
        (RuntimeError("a crash"), False, False),
    ],
)
def test_only_a_breakers_refusal_is_put_off(error: Exception, prepared: bool, expected: bool) -> None:
    went_on: list[int] = []
    proxy: Any = Asked(False, False)
    proxy.admit = lambda exchange, following: went_on.append(following)
    exchange: Any = Refused(prepared)
    assert put_off(proxy, exchange, error, 3) is expected
    assert (went_on, exchange.refusal) == (([3], error) if expected else ([], None))


def test_first_of_several_refusals_counts() -> None:
    first, second = GatewayError(Kind.BREAKER_OPEN, "first"), GatewayError(Kind.BREAKER_OPEN, "second")
    proxy: Any = Asked(False, False)
    proxy.admit = lambda exchange, following: None
    exchange: Any = Refused(False)
    assert put_off(proxy, exchange, first, 1)
    assert put_off(proxy, exchange, second, 2)
    assert exchange.refusal is first
