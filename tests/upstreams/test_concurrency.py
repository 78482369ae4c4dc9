"""Limits find what a service can do, and requests are let through up to them.

A service is simulated: it works on `capacity` requests at a time, each takes `work` seconds, the others wait in line.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt
from random import Random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.state.board import Board
from gateway.upstreams.concurrency import (
    BACKOFF,
    ROUND,
    Aimd,
    Fixed,
    Gradient,
    Importance,
    Limit,
    Limiter,
    SharedLimiter,
)

Work = Callable[[Random, float], float]
WORK = 0.1


def steady(random: Random, now: float) -> float:
    """Every request is the same work."""
    return WORK


def varied(random: Random, now: float) -> float:
    """Some are more work than others, the same on average."""
    return random.expovariate(1 / WORK)


def two_kinds(random: Random, now: float) -> float:
    """A tenth of the requests is ten times the work of the others."""
    return random.choice([1.0] + [0.1] * 9) * WORK / 0.19


@dataclass
class Run:
    """What came of a simulation: (time, limit, refused so far) at each answer."""

    answers: list[tuple[float, float, int]] = field(default_factory=list)

    def limits(self, since: float, until: float = float("inf")) -> list[float]:
        return [limit for at, limit, _ in self.answers if since <= at < until]

    def rate(self, since: float, until: float) -> float:
        return len(self.limits(since, until)) / (until - since)

    def refused(self, since: float) -> int:
        return self.answers[-1][2] - next(refused for at, _, refused in self.answers if at >= since)


def simulate(
    limit: Limit,
    capacity: Callable[[float], int] | int,
    demand: float,
    until: float,
    work: Work = steady,
    fails: Callable[[Random, float], bool] = lambda random, now: False,
) -> Run:
    """Requests come by chance, `demand` a second, for `until` seconds."""
    random, limiter, run = Random(7), Limiter(limit), Run()
    waiting: deque[float] = deque()
    working: list[tuple[float, float]] = []
    coming = random.expovariate(demand)
    now = 0.0
    while now < until:
        if working and working[0][0] <= coming:
            now, came = heapq.heappop(working)
            limiter.give_back(now - came, fails(random, now))
            run.answers.append((now, limit.value, limiter.refused))
        else:
            now = coming
            coming = now + random.expovariate(demand)
            if limiter.take("normal"):
                waiting.append(now)
        while waiting and len(working) < (capacity if isinstance(capacity, int) else capacity(now)):
            heapq.heappush(working, (now + work(random, now), waiting.popleft()))
    assert limiter.in_flight == len(waiting) + len(working)
    return run


# the gradient


@pytest.mark.parametrize("work", [steady, varied, two_kinds])
@pytest.mark.parametrize("capacity", [10, 60])
@pytest.mark.parametrize("load", [1.5, 5.0])
def test_the_gradient_finds_the_capacity_of_a_busy_service(work: Work, capacity: int, load: float) -> None:
    most = capacity / WORK
    seconds = max(12.0, 6000 / most)
    run = simulate(Gradient(20, 4, 1000), capacity, load * most, 2 * seconds, work)
    found = run.limits(seconds)
    assert capacity / 2 < mean(found) < 2 * capacity
    assert max(found) < 3 * capacity
    assert run.rate(seconds, 2 * seconds) > 0.7 * most, "the service is kept busy"


@pytest.mark.parametrize("work", [steady, varied, two_kinds])
def test_the_gradient_leaves_a_service_alone_that_is_not_busy(work: Work) -> None:
    run = simulate(Gradient(20, 4, 1000), 100, 300.0, 60.0, work)
    assert run.refused(30.0) == 0
    assert max(run.limits(0.0)) < 150, "30 are in flight: the limit grows no further than twice the most of them"


@pytest.mark.parametrize("work", [steady, varied])
def test_the_gradient_comes_down_from_far_above(work: Work) -> None:
    run = simulate(Gradient(1000, 4, 1000), 50, 1500.0, 30.0, work)
    assert 25 < mean(run.limits(15.0)) < 100


@pytest.mark.parametrize("work", [steady, varied])
def test_the_gradient_gets_over_a_slow_spell(work: Work) -> None:
    def spell(random: Random, now: float) -> float:
        return work(random, now) * (4 if 20 <= now < 40 else 1)

    run = simulate(Gradient(20, 4, 1000), 50, 750.0, 100.0, spell)
    assert min(run.limits(20.0)) >= 4
    assert 25 < mean(run.limits(30.0, 40.0)) < 150, "slow work is no queue"
    assert 25 < mean(run.limits(80.0)) < 125
    assert run.rate(80.0, 100.0) > 0.7 * 500


@pytest.mark.parametrize("work", [steady, varied])
def test_the_gradient_follows_a_service_that_shrinks_and_grows(work: Work) -> None:
    def capacity(now: float) -> int:
        return 10 if 20 <= now < 60 else 100

    run = simulate(Gradient(20, 4, 1000), capacity, 1500.0, 90.0, work)
    for since, until, there in ((10.0, 20.0, 100), (45.0, 60.0, 10), (75.0, 90.0, 100)):
        assert there / 2 < mean(run.limits(since, until)) < 2 * there


def test_the_gradient_falls_while_everything_fails_and_recovers() -> None:
    run = simulate(Gradient(20, 4, 1000), 50, 1000.0, 40.0, fails=lambda random, now: 15 <= now < 20)
    assert mean(run.limits(18.0, 20.0)) < 10
    assert 25 < mean(run.limits(30.0)) < 100


def test_a_few_failures_do_not_lower_the_gradient() -> None:
    run = simulate(Gradient(20, 4, 1000), 100, 500.0, 40.0, fails=lambda random, now: random.random() < 0.2)
    assert run.limits(0.0) == sorted(run.limits(0.0))


def answers(limit: Limit, count: int, seconds: float, in_flight: int, failed: bool = False) -> float:
    for _ in range(count):
        limit.observe(seconds, in_flight, failed)
    return limit.value


def test_rounds_of_the_gradient() -> None:
    limit = Gradient(100, 4, 1000)
    assert answers(limit, ROUND, 0.1, 49) == 100, "half of it is not used"
    assert answers(limit, ROUND - 1, 0.14, 50) == 100, "the round is not over"
    assert answers(limit, 1, 0.14, 50) == 110
    # A service that works on 55 at a time takes twice as long for 110.
    assert answers(limit, 110, 0.2, 110) == pytest.approx(0.9 * 55)
    assert answers(limit, 110, 0.2, 110) == pytest.approx(0.9 * 55), "these came before it fell"
    assert answers(limit, ROUND, 0.1, 50) == pytest.approx(49.5 + sqrt(49.5))


def test_the_gradient_does_not_fall_by_more_than_half_at_a_time() -> None:
    limit = Gradient(100, 4, 1000)
    answers(limit, ROUND, 0.1, 100)
    assert answers(limit, 110, 5.0, 110) == pytest.approx(110 / 2 * BACKOFF)


def test_what_does_not_get_faster_with_fewer_is_slow_itself() -> None:
    limit = Gradient(400, 4, 1000)
    answers(limit, ROUND, 0.1, 100)
    first = answers(limit, 400, 0.3, 400)
    answers(limit, 400, 0.3, 400)
    second = answers(limit, ROUND + 400, 0.3, 180)
    assert first > second
    answers(limit, 180, 0.3, 180)
    assert answers(limit, ROUND, 0.3, 80) > second, "after two falls in vain 0.3 seconds are usual"


def test_one_slow_answer_among_many_is_nothing_to_the_gradient() -> None:
    limit = Gradient(50, 4, 1000)
    answers(limit, ROUND, 0.01, 50)
    answers(limit, ROUND - 1, 0.01, 50)
    assert answers(limit, 1, 30.0, 50) > 50


def test_answers_that_take_no_time() -> None:
    limit = Gradient(20, 4, 25)
    assert answers(limit, 5 * ROUND, 0.0, 20) == 25


def test_a_gradient_that_hears_of_failures_only_stays_in_its_bounds() -> None:
    limit = Gradient(20, 4, 25)
    assert answers(limit, 10 * ROUND, 1.0, 20, failed=True) == 20, "there is nothing to compare with"


# AIMD


@pytest.mark.parametrize(
    ("work", "latency", "lowest"),
    [
        (steady, 0.5, 225),
        (two_kinds, 0.6, 60),
        # Some answers are late without any queue.
        (varied, 1.0, 100),
    ],
)
def test_aimd_finds_where_answers_become_late(work: Work, latency: float, lowest: float) -> None:
    """50 at a time in 0.1 seconds are 500 a second, so 250 in flight take half a second."""
    run = simulate(Aimd(20, 4, 1000, latency), 50, 1000.0, 120.0, work)
    found = run.limits(80.0)
    assert lowest < mean(found) < 500 * latency
    assert run.rate(80.0, 120.0) > 0.95 * 500


def test_aimd_stays_near_the_limit_that_it_found() -> None:
    found = simulate(Aimd(20, 4, 1000, latency=0.2), 50, 1000.0, 40.0).limits(20.0)
    assert min(found) > 85
    assert max(found) < 110


def test_aimd_gets_over_a_slow_spell() -> None:
    run = simulate(Aimd(20, 4, 1000, latency=0.2), 50, 600.0, 60.0, lambda random, now: 0.5 if 20 <= now < 30 else WORK)
    assert 10 < mean(run.limits(28.0, 30.0)) < 30, "nothing comes in time, however few there are"
    assert run.rate(50.0, 60.0) > 0.95 * 500


def test_one_queue_lowers_aimd_once() -> None:
    limit = Aimd(100, 4, 1000, latency=0.2)
    assert answers(limit, 101, 0.3, 100) == 90
    assert answers(limit, 1, 0.3, 90) == 81


@pytest.mark.parametrize(("seconds", "failed"), [(0.2001, False), (0.1, True)])
def test_what_lowers_aimd(seconds: float, failed: bool) -> None:
    limit = Aimd(10, 4, 1000, latency=0.2)
    assert answers(limit, 1, seconds, 10, failed) == 9


def test_aimd_grows_by_one_a_round_trip_while_it_is_used() -> None:
    limit = Aimd(10, 4, 12, latency=0.2)
    assert answers(limit, 100, 0.2, 4) == 10
    assert answers(limit, 10, 0.2, 6) == pytest.approx(11, abs=0.1)
    assert answers(limit, 100, 0.2, 6) == 12


# all of them

spells = st.lists(
    st.tuples(st.integers(1, 250), st.floats(0, 100), st.integers(1, 2000), st.booleans()), min_size=1, max_size=12
)


@given(st.sampled_from(["aimd", "gradient"]), st.tuples(*[st.integers(1, 300)] * 3).map(sorted), spells)
def test_no_limit_leaves_its_bounds(
    algorithm: str, bounds: list[int], spells: list[tuple[int, float, int, bool]]
) -> None:
    smallest, start, largest = bounds
    limit: Limit = Aimd(start, smallest, largest, 1.0) if algorithm == "aimd" else Gradient(start, smallest, largest)
    assert limit.value == start
    for count, seconds, in_flight, failed in spells:
        for _ in range(count):
            limit.observe(seconds, in_flight, failed)
            assert smallest <= limit.value <= largest


def test_a_fixed_limit_stays() -> None:
    limit = Fixed(7)
    limit.observe(100.0, 7, True)
    limit.observe(0.0, 7, False)
    assert limit.value == 7


@pytest.mark.parametrize(
    ("limit", "importance", "room"),
    [
        (8, "low", 6),
        (8, "normal", 8),
        (10, "low", 7),
        (4.99, "normal", 4),
        # Something always passes, or no limit could ever learn that it is too low.
        (0.5, "normal", 1),
        (1, "low", 1),
    ],
)
def test_room(limit: float, importance: Importance, room: int) -> None:
    limiter = Limiter(Fixed(limit))
    assert [limiter.take(importance) for _ in range(room + 2)] == [True] * room + [False] * 2
    assert (limiter.in_flight, limiter.refused) == (room, 2)
    limiter.give_back(0.1, False)
    assert limiter.take(importance)


def test_what_is_important_is_never_refused() -> None:
    limiter = Limiter(Fixed(2))
    assert all(limiter.take("high") for _ in range(5))
    assert not limiter.take("normal")
    assert not limiter.take("low")
    assert (limiter.in_flight, limiter.refused) == (5, 2)


def test_little_importance_leaves_a_quarter_to_the_others() -> None:
    limiter = Limiter(Fixed(4))
    assert [limiter.take("low") for _ in range(4)] == [True, True, True, False]
    assert [limiter.take("normal") for _ in range(2)] == [True, False]


class Noting:
    """A limit that notes what it is told."""

    value = 10.0

    def __init__(self) -> None:
        self.told: list[tuple[float, int, bool]] = []

    def observe(self, seconds: float, in_flight: int, failed: bool) -> None:
        self.told.append((seconds, in_flight, failed))


def test_the_limit_is_told_of_what_teaches_something() -> None:
    limit = Noting()
    limiter = Limiter(limit)
    for _ in range(3):
        limiter.take("normal")
    limiter.give_back(0.5, False)
    limiter.give_back(0.1, None)
    limiter.give_back(0.7, True)
    assert limit.told == [(0.5, 3, False), (0.7, 1, True)]
    assert limiter.in_flight == 0


taken_and_given = st.lists(
    st.one_of(
        st.sampled_from(["low", "normal", "high"]), st.tuples(st.floats(0, 5), st.sampled_from([True, False, None]))
    ),
    max_size=300,
)


@given(st.sampled_from(["fixed", "aimd", "gradient"]), taken_and_given)
def test_what_is_taken_is_given_back(algorithm: str, steps: list[Importance | tuple[float, bool | None]]) -> None:
    limit = {"fixed": Fixed(9), "aimd": Aimd(9, 2, 20, 1.0), "gradient": Gradient(9, 2, 20)}[algorithm]
    limiter = Limiter(limit)
    taken = refused = 0
    for step in steps:
        if isinstance(step, tuple):
            if taken:
                limiter.give_back(*step)
                taken -= 1
        elif limiter.take(step):
            assert step == "high" or taken < limit.value
            taken += 1
        else:
            refused += 1
        assert (limiter.in_flight, limiter.refused) == (taken, refused)
    for _ in range(taken):
        limiter.give_back(0.1, None)
    assert limiter.in_flight == 0


# several workers


def shared(limit: float, workers: int = 2) -> list[SharedLimiter]:
    board = Board.create(workers)
    return [SharedLimiter(Fixed(limit), board.take_seat(seat).tally(5)) for seat in range(workers)]


@pytest.mark.parametrize(("importance", "room"), [("normal", 8), ("low", 6)])
def test_the_room_is_that_of_all_workers(importance: Importance, room: int) -> None:
    limiters = shared(8)
    assert [limiters[number % 2].take(importance) for number in range(room + 2)] == [True] * room + [False] * 2
    assert [(limiter.in_flight, limiter.refused) for limiter in limiters] == [(room // 2, 1)] * 2
    limiters[0].give_back(0.1, None)
    assert limiters[1].take(importance)
    assert not limiters[0].take(importance)


def test_what_is_important_is_never_refused_but_counts_in_all_workers() -> None:
    one, other = shared(2)
    assert all(one.take("high") for _ in range(3))
    assert not other.take("normal")
    for _ in range(2):
        one.give_back(0.1, False)
    assert other.take("normal")
