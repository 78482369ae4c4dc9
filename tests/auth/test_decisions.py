"""Decisions are kept for their time and bounded; one question is asked once."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.decisions import DecisionCache, SingleFlight, fingerprint
from tests.support.polling import soon, turns


def test_a_decision_holds_until_its_time() -> None:
    cache = DecisionCache[str](10)
    cache.put(b"a", "yes", 100.0)

    assert cache.get(b"a", 99.9) == "yes"
    assert cache.get(b"a", 100.0) is None
    assert len(cache) == 0


def test_a_later_decision_replaces_the_one_before() -> None:
    cache = DecisionCache[str](10)
    cache.put(b"a", "yes", 100.0)
    cache.put(b"a", "no", 50.0)

    assert cache.get(b"a", 1.0) == "no"
    assert cache.get(b"a", 60.0) is None


def test_what_was_dropped_is_gone_also_from_the_old_half() -> None:
    cache = DecisionCache[int](4)
    for number in range(3):
        cache.put(b"%d" % number, number, 10.0)
    cache.drop(b"0")

    assert cache.get(b"0", 1.0) is None
    assert cache.get(b"2", 1.0) == 2


def test_what_is_asked_for_stays_and_what_is_not_goes() -> None:
    cache = DecisionCache[int](10)
    cache.put(b"kept", 1, 1000.0)
    for number in range(1000):
        cache.put(b"%d" % number, number, 1000.0)
        assert cache.get(b"kept", 1.0) == 1

    assert cache.get(b"0", 1.0) is None


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=200), st.integers(2, 12))
def test_there_are_never_more_than_the_limit(steps: list[tuple[int, bool]], limit: int) -> None:
    cache = DecisionCache[int](limit)
    for number, asks in steps:
        if asks:
            assert cache.get(b"%d" % number, 1.0) in (None, number)
        else:
            cache.put(b"%d" % number, number, 2.0)
            assert cache.get(b"%d" % number, 1.0) == number
        assert len(cache) <= limit


def test_a_cache_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        DecisionCache[int](1)


def test_a_fingerprint_stands_for_one_credential() -> None:
    assert fingerprint(b"ab") == fingerprint(b"ab") != fingerprint(b"abc")
    assert len(fingerprint(b"x" * 10_000)) == 16


@given(st.lists(st.tuples(*[st.lists(st.binary(max_size=4), max_size=3).map(tuple)] * 2), min_size=2, max_size=2))
def test_where_values_and_fields_end_counts(two: list[tuple[tuple[bytes, ...], ...]]) -> None:
    assert (fingerprint(two[0]) == fingerprint(two[1])) == (two[0] == two[1])


def test_fingerprints_stay_what_they_are_when_there_are_many() -> None:
    before = fingerprint(b"first")
    assert len({fingerprint(b"%d" % number) for number in range(5000)}) == 5000
    assert fingerprint(b"first") == before


def answering(gate: asyncio.Event, asked: list[int], answer: object) -> Callable[[], Awaitable[object]]:
    async def question() -> object:
        asked.append(1)
        await gate.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    return question


async def test_callers_at_the_same_time_share_one_answer() -> None:
    gate, asked = asyncio.Event(), list[int]()
    flight = SingleFlight[object]()
    callers = [asyncio.create_task(flight.ask(b"a", answering(gate, asked, "yes"))) for _ in range(5)]
    other = asyncio.create_task(flight.ask(b"b", answering(gate, asked, "no")))
    await turns()
    gate.set()

    assert await soon(asyncio.gather(*callers, other)) == ["yes"] * 5 + ["no"]
    assert len(asked) == 2
    assert await flight.ask(b"a", answering(gate, asked, "again")) == "again"


async def test_an_error_reaches_every_caller() -> None:
    gate, asked = asyncio.Event(), list[int]()
    flight = SingleFlight[object]()
    callers = [asyncio.create_task(flight.ask(b"a", answering(gate, asked, ValueError("bad")))) for _ in range(3)]
    await turns()
    gate.set()
    results = await soon(asyncio.gather(*callers, return_exceptions=True))

    assert [str(result) for result in results] == ["bad"] * 3
    assert len(asked) == 1


async def test_a_caller_that_goes_away_takes_no_answer_from_the_others() -> None:
    gate, asked = asyncio.Event(), list[int]()
    flight = SingleFlight[object]()
    first, second = (asyncio.create_task(flight.ask(b"a", answering(gate, asked, "yes"))) for _ in range(2))
    await turns()
    first.cancel()
    await turns()
    gate.set()

    assert await soon(second) == "yes"
    assert first.cancelled()


async def test_a_question_that_nobody_waits_for_is_given_up() -> None:
    cancelled = asyncio.Event()

    async def question() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    flight = SingleFlight[None]()
    only = asyncio.create_task(flight.ask(b"a", question))
    await turns()
    only.cancel()
    await soon(cancelled.wait())
    gate = asyncio.Event()
    gate.set()

    assert await soon(SingleFlight[object]().ask(b"a", answering(gate, [], "new"))) == "new"
