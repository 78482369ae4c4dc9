"""A chain lays the phases out in their order, and leaves out what nobody overrides."""

from __future__ import annotations

from typing import Any

from gateway.chain import EMPTY, Chain
from gateway.exchange import Attempt, Exchange, Reply
from gateway.plugin import Plugin, ResponseHead
from gateway.testing import make_env


class Everything(Plugin):
    def on_request(self, exchange: Exchange) -> Reply | None: ...

    async def admit(self, exchange: Exchange) -> Reply | None: ...

    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> Reply | None: ...

    def on_attempt_end(self, exchange: Exchange, attempt: Attempt) -> None: ...

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

    assert order(chain.requests) == [
        ("a", "on_request", 0),
        ("a", "admit", 0),
        ("c", "on_request", 2),
        ("c", "admit", 2),
    ]
    assert [step.waits for step in chain.requests] == [False, True, False, True]
    assert order(chain.attempts) == [("a", "on_attempt", 0), ("c", "on_attempt", 2)]
    assert order(chain.attempt_ends) == [("c", "on_attempt_end", 2), ("a", "on_attempt_end", 0)]
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

    assert (chain.request_body, chain.response_body) == (100, 1 << 20)


def test_an_empty_chain_costs_nothing() -> None:
    assert EMPTY.requests == EMPTY.attempts == EMPTY.attempt_ends == EMPTY.responses == EMPTY.finishes == ()
    assert (EMPTY.request_body, EMPTY.response_body, repr(EMPTY)) == (0, 0, "<Chain ->")
