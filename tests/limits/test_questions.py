"""One round trip for all that is asked in one turn of the loop, and an answer for each who waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.limits.gcra import Policy
from gateway.limits.lease import Lease
from gateway.limits.questions import Questions
from gateway.limits.rate import Rate
from gateway.limits.redis_limiter import RedisLimiter
from gateway.plugin import SharedUnavailable
from gateway.testing import FakeClock
from tests.support.polling import soon, turns
from tests.support.scripting import FakeScripting

LIMITER = RedisLimiter(Policy("p", Rate(10, 1.0), 3), ("principal",))


def make() -> tuple[Questions, FakeScripting]:
    clock = FakeClock()
    store = FakeScripting(clock)
    return Questions(store, LIMITER.script, clock), store


async def test_a_turn_of_the_loop_is_one_round_trip() -> None:
    questions, store = make()
    leases = {key: Lease() for key in "ab"}
    answers = [questions.ask(LIMITER, key, leases[key]) for key in "aabaa"]

    assert await soon(asyncio.gather(*answers)) == [True, True, True, True, False]
    assert [[(key[-2], arguments[-1]) for key, arguments in run] for run in store.runs] == [[("a", 4), ("b", 1)]]
    assert leases["a"].refuses(store.clock.now())
    assert not leases["b"].refuses(store.clock.now())

    assert await soon(questions.ask(LIMITER, "b", leases["b"]))
    assert len(store.runs) == 2


async def test_who_has_gone_gets_nothing_and_loses_nothing() -> None:
    questions, store = make()
    store.gate = asyncio.Event()
    lease = Lease()
    answers = [questions.ask(LIMITER, "a", lease) for _ in range(4)]
    await turns()
    for gone in answers[:2]:
        gone.cancel()
    store.gate.set()

    assert await soon(asyncio.gather(*answers[2:])) == [True, True]
    assert lease.held == 1, "the third that the store granted is there for the next request"


@pytest.mark.parametrize("error", [SharedUnavailable("down"), RuntimeError("a fault of ours")])
async def test_no_answer_reaches_everybody(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    questions, store = make()

    async def failing(*_: Any) -> list[Any]:
        raise error

    monkeypatch.setattr(store, "run", failing)
    lease = Lease()
    answers = [questions.ask(LIMITER, "a", lease) for _ in range(3)]
    answers[0].cancel()
    results = await soon(asyncio.gather(*answers[1:], return_exceptions=True))
    assert results == [error, error]
    monkeypatch.undo()
    assert await soon(questions.ask(LIMITER, "a", lease))


async def test_what_is_given_back_is_there_again() -> None:
    questions, store = make()
    lease = Lease()
    assert await soon(asyncio.gather(*(questions.ask(LIMITER, "a", lease) for _ in range(3)))) == [True] * 3
    questions.give_back(LIMITER, "a", lease)
    await soon(questions.settled())
    assert store.asked[-1][1] == -1
    assert await soon(questions.ask(LIMITER, "a", lease))
    assert not await soon(questions.ask(LIMITER, "a", lease))


async def test_what_is_given_back_goes_along_with_a_question() -> None:
    questions, store = make()
    lease = Lease()
    assert await soon(asyncio.gather(*(questions.ask(LIMITER, "a", lease) for _ in range(3)))) == [True] * 3
    questions.give_back(LIMITER, "a", lease)
    questions.give_back(LIMITER, "a", lease)
    assert await soon(asyncio.gather(*(questions.ask(LIMITER, "a", lease) for _ in range(3)))) == [True, True, False]
    assert [len(run) for run in store.runs] == [1, 1]


async def test_settled_waits_for_what_is_under_way() -> None:
    questions, store = make()
    store.gate = asyncio.Event()
    answer = questions.ask(LIMITER, "a", Lease())
    waiting = asyncio.create_task(questions.settled())
    await turns()
    assert not waiting.done()
    store.gate.set()
    await soon(waiting)
    assert answer.done()
