"""A chain lays the phases out in their order, and leaves out what nobody overrides."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.chain import EMPTY, Chain
from gateway.errors import Failure
from gateway.exchange import Attempt, Exchange, Reply
from gateway.plugin import GatewayError, Kind, Plugin, ResponseHead
from gateway.testing import make_env, make_exchange, make_head

FAILURE = Failure(502, "upstream_reset", "reset")


class Everything(Plugin):
    def on_request(self, exchange: Exchange) -> Reply | None: ...

    async def admit(self, exchange: Exchange) -> Reply | None: ...

    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> Reply | None: ...

    def on_attempt_end(self, exchange: Exchange, attempt: Attempt) -> None: ...

    def on_failure(self, exchange: Exchange, failure: Failure) -> Reply | None: ...

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None: ...

    def on_finish(self, exchange: Exchange) -> None: ...


class Nothing(Plugin):
    """No phase at all."""


def named(cls: type[Plugin], name: str, **members: Any) -> Plugin:
    plugin: Plugin = type(cls.__name__, (cls,), members)(None, make_env())
    plugin.name = name
    return plugin


def order(steps: Any) -> list[tuple[str, str, int]]:
    return [(step.call.__self__.name, step.call.__name__, step.place) for step in steps]


def test_phases_stand_in_their_order() -> None:
    chain = Chain([named(Everything, "a"), named(Nothing, "b"), named(Everything, "c")])

    assert order(chain.requests) == [("a", "on_request", 0), ("c", "on_request", 2)]
    assert [getattr(step.admit, "__self__", None) for step in chain.requests] == [chain.plugins[0], chain.plugins[2]]
    assert order(chain.attempts) == [("a", "on_attempt", 0), ("c", "on_attempt", 2)]
    assert order(chain.attempt_ends) == [("c", "on_attempt_end", 2), ("a", "on_attempt_end", 0)]
    assert order(chain.failures) == [("c", "on_failure", 2), ("a", "on_failure", 0)]
    assert order(chain.responses) == [("c", "on_response", 2), ("a", "on_response", 0)]
    assert order(chain.finishes) == [("a", "on_finish", 0), ("c", "on_finish", 2)]
    assert repr(chain) == "<Chain a b c>"


def test_bodies_are_collected_up_to_what_the_strictest_takes() -> None:
    chain = Chain(
        [
            named(Nothing, "a", needs_body="request", max_body=500),
            named(Nothing, "b", needs_body="request", max_body=100),
            named(Nothing, "c", needs_body="response"),
        ]
    )

    assert chain.request_body == 100
    assert [plugin.name for plugin in chain.collectors] == ["c"]
    assert chain.response_body(make_exchange(), make_head()) == 1 << 20
    both = Chain([named(Nothing, "d", needs_body=("request", "response"), max_body=50), *chain.plugins])
    assert (both.request_body, both.response_body(make_exchange(), make_head())) == (50, 50)


def test_a_response_is_collected_for_those_who_want_it() -> None:
    def collects(status: int) -> Any:
        return lambda self, exchange, head: head.status == status

    chain = Chain(
        [
            named(Nothing, "a", needs_body="response", max_body=500, collects=collects(200)),
            named(Nothing, "b", needs_body="response", max_body=100, collects=collects(404)),
            named(Nothing, "c", needs_body="response", max_body=300, collects=collects(200)),
            named(Nothing, "d", needs_body="request", max_body=50, collects=collects(200)),
        ]
    )

    assert [chain.response_body(make_exchange(), make_head(status)) for status in (200, 404, 500)] == [300, 100, 0]


def test_a_plugin_that_fails_to_say_so_fails_the_request(caplog: pytest.LogCaptureFixture) -> None:
    chain = Chain([named(Nothing, "a", needs_body="response", collects=lambda self, exchange, head: 1 / 0)])

    with pytest.raises(GatewayError) as failed:
        chain.response_body(make_exchange(), make_head())

    assert failed.value.kind is Kind.PLUGIN_CRASHED
    assert [record.getMessage() for record in caplog.records] == ["plugin a failed in collects"]


@pytest.mark.parametrize(
    ("raised", "kind", "logged"),
    [
        (
            GatewayError(Kind.UPSTREAM_MALFORMED, cause="why"),
            "upstream_malformed",
            "test: upstream_malformed by plugin b: why",
        ),
        (ValueError("x"), "plugin_crashed", "plugin b failed in on_response"),
        (None, "", ""),
    ],
)
def test_the_first_who_refuses_a_response_ends_it(
    raised: Exception | None, kind: str, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    noted: list[str] = []

    def on_response(self: Plugin, exchange: Exchange, head: ResponseHead) -> None:
        noted.append(self.name)
        if self.name == "b" and raised is not None:
            raise raised

    chain = Chain([named(Nothing, name, on_response=on_response) for name in "abc"])
    error = chain.run_responses(make_exchange(), make_head(), 3)

    assert ("".join(noted), error.kind.word if error else "") == (("cb", kind) if raised else ("cba", ""))
    assert [record.getMessage() for record in caplog.records] == ([logged] if logged else [])


def test_an_empty_chain_costs_nothing() -> None:
    assert EMPTY.requests == EMPTY.attempts == EMPTY.attempt_ends == EMPTY.responses == EMPTY.finishes == ()
    assert (EMPTY.failures, EMPTY.resends) == ((), False)
    assert (EMPTY.request_body, EMPTY.collectors, repr(EMPTY)) == (0, (), "<Chain ->")


@pytest.mark.parametrize(
    ("unused", "left"),
    [
        ("on_request", "admit on_attempt on_attempt_end on_failure on_response on_finish"),
        ("on_failure", "on_request admit on_attempt on_attempt_end on_response on_finish"),
        ("on_attempt_end", "on_request admit on_attempt on_failure on_response on_finish"),
    ],
)
def test_a_phase_that_an_instance_does_not_use_is_left_out(unused: str, left: str) -> None:
    chain = Chain([named(Everything, "a", uses_phase=lambda self, phase: phase != unused)])
    steps = [*chain.attempts, *chain.attempt_ends, *chain.failures, *chain.responses, *chain.finishes]
    (first,) = chain.requests
    calls = [first.call, first.admit, *(step.call for step in steps)]

    assert [call.__name__ for call in calls if call.__name__ != "_nothing"] == left.split()


class Admits(Plugin):
    """Decides in `admit` alone."""

    async def admit(self, exchange: Exchange) -> Reply | None: ...


class Asks(Plugin):
    """Decides in `on_request` alone."""

    def on_request(self, exchange: Exchange) -> Reply | None: ...


def test_admit_stands_behind_its_own_on_request() -> None:
    admits, nothing, asks = Admits(None, make_env()), Nothing(None, make_env()), Asks(None, make_env())
    first, second = Chain([admits, nothing, asks]).requests

    assert (first.place, first.call(make_exchange()), first.admit) == (0, None, admits.admit)
    assert (second.place, second.call, second.admit) == (2, asks.on_request, None)


def test_a_body_for_own_paths_is_collected_unless_a_plugin_takes_less() -> None:
    small = named(Nothing, "a", needs_body="request", max_body=50)

    assert Chain([named(Nothing, "a")], 100).request_body == 100
    assert Chain([small], 100).request_body == 50


def test_an_instance_cannot_use_what_its_class_leaves_out() -> None:
    assert not any(named(Nothing, "a").uses_phase(phase) for phase in ("on_request", "on_failure", "on_finish"))


def test_one_plugin_that_resends_is_enough() -> None:
    assert Chain([named(Nothing, "a"), named(Nothing, "b", resends=True)]).resends
    assert not Chain([named(Everything, "a"), named(Nothing, "b")]).resends


def failing(name: str, noted: list[str], result: Any = None) -> Plugin:
    """It notes its name, and then replies, raises, or chooses the upstream of that name."""

    def on_failure(self: Plugin, exchange: Exchange, failure: Failure) -> Reply | None:
        assert failure is FAILURE
        noted.append(name)
        if isinstance(result, Exception):
            raise result
        if isinstance(result, str):
            exchange.set_upstream(result)
            return None
        reply: Reply | None = result
        return reply

    return named(Nothing, name, on_failure=on_failure)


REPLY = Reply(200)


@pytest.mark.parametrize(
    ("results", "asked", "reply", "upstream"),
    [
        ([None, None, None], "cba", None, "service"),
        ([None, REPLY, None], "cb", REPLY, "service"),
        ([REPLY, "other", None], "cb", None, "other"),
        ([REPLY, "service", None], "cba", REPLY, "service"),
        ([REPLY, ValueError("x"), None], "cba", REPLY, "service"),
        ([ValueError("x"), None, ValueError("x")], "cba", None, "service"),
    ],
)
def test_failures_are_answered_backwards_by_the_first_who_can(
    results: list[Any], asked: str, reply: Reply | None, upstream: str
) -> None:
    noted: list[str] = []
    chain = Chain([failing(name, noted, result) for name, result in zip("abc", results, strict=True)])
    exchange = make_exchange(upstream_names=("service", "other"))

    assert chain.run_failures(exchange, FAILURE, 3) is reply
    assert ("".join(noted), exchange.upstream) == (asked, upstream)


@pytest.mark.parametrize(("ran", "asked"), [(0, ""), (1, "a"), (2, "ba"), (3, "cba")])
def test_only_plugins_that_had_their_turn_are_asked(ran: int, asked: str) -> None:
    noted: list[str] = []
    chain = Chain([failing(name, noted) for name in "abc"])

    assert chain.run_failures(make_exchange(), FAILURE, ran) is None
    assert "".join(noted) == asked


def test_a_plugin_that_fails_in_on_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    Chain([failing("a", [], ValueError("x"))]).run_failures(make_exchange(), FAILURE, 1)

    assert [record.getMessage() for record in caplog.records] == ["plugin a failed in on_failure"]
