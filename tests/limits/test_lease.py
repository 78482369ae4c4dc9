"""Leases, with gateways, a store and a clock that are simulated: how many pass, and how often the store is asked."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from math import floor
from typing import Any

import pytest

from gateway.limits.gcra import Policy
from gateway.limits.lease import AHEAD, LASTS, Lease
from gateway.limits.rate import Rate
from gateway.limits.redis_limiter import RedisLimiter

ROUND_TRIP = 0.001
TURN = 0.0002


@dataclass
class Counts:
    passed: int = 0
    refused: int = 0
    asked: int = 0


class Simulation:
    """Gateways in front of one bucket. Requests of one turn of a gateway's loop are asked for at once."""

    def __init__(self, policy: Policy, offered: float, gateways: int, warm: float = 1.0, seconds: float = 4.0) -> None:
        self.counts = Counts()
        self._limiter = RedisLimiter(policy, ("client_ip",))
        self._tat = 0.0
        self._leases = [Lease() for _ in range(gateways)]
        self._waiting: dict[int, int] = {}
        self._events: list[tuple[float, int, str, int, Any]] = []
        self._warm = warm
        self._number = 0
        draw = random.Random(4)
        for gateway in range(gateways):
            at = 0.0
            while at < warm + seconds:
                at += draw.expovariate(offered / gateways)
                self._later(at, "request", gateway)
        self._run(warm + seconds)

    def _later(self, at: float, what: str, gateway: int, data: Any = None) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, what, gateway, data))

    def _run(self, end: float) -> None:
        while self._events[0][0] < end:
            now, _, what, gateway, data = heapq.heappop(self._events)
            getattr(self, f"_{what}")(now, gateway, data, 1 if now >= self._warm else 0)

    def _request(self, now: float, gateway: int, data: None, counts: int) -> None:
        lease = self._leases[gateway]
        if lease.has(now):
            lease.take()
            self.counts.passed += counts
        elif lease.refuses(now):
            self.counts.refused += counts
        else:
            if not self._waiting.get(gateway):
                self._later(now + TURN, "send", gateway)
            self._waiting[gateway] = self._waiting.get(gateway, 0) + 1

    def _send(self, now: float, gateway: int, data: None, counts: int) -> None:
        waiting = self._waiting.pop(gateway)
        self.counts.asked += counts
        wanted = self._leases[gateway].ask(waiting, self._limiter.ahead, now)
        self._later(now + ROUND_TRIP / 2, "store", gateway, (waiting, wanted))

    def _store(self, now: float, gateway: int, data: tuple[int, int], counts: int) -> None:
        policy, (waiting, wanted) = self._limiter.policy, data
        tat = max(self._tat, now)
        passing = min(max(floor((policy.space - (tat - now)) / policy.step), 0), wanted)
        self._tat = tat = tat + passing * policy.step
        room = policy.space - (tat - now)
        answer = waiting, passing, policy.remaining(room), max(policy.step - room, self._limiter.pause)
        self._later(now + ROUND_TRIP / 2, "answer", gateway, answer)

    def _answer(self, now: float, gateway: int, data: tuple[int, int, int, float], counts: int) -> None:
        waiting, granted, left, wait = data
        self._leases[gateway].answered(waiting, granted, left, wait, now)
        self.counts.passed += counts * min(waiting, granted)
        self.counts.refused += counts * max(0, waiting - granted)


@pytest.mark.parametrize("gateways", [1, 2, 5])
@pytest.mark.parametrize("burst", [20, 100])
def test_a_flood_gets_just_the_rate(gateways: int, burst: int) -> None:
    counts = Simulation(Policy("p", Rate(1000, 1.0), burst), 3000, gateways).counts
    assert 3800 <= counts.passed <= 4200
    assert counts.refused > 7000
    assert counts.asked < 0.6 * (counts.passed + counts.refused)


@pytest.mark.parametrize("gateways", [1, 2, 5])
@pytest.mark.parametrize("offered", [900, 500])
def test_who_stays_below_the_rate_is_not_refused(gateways: int, offered: int) -> None:
    counts = Simulation(Policy("p", Rate(1000, 1.0), 100), offered, gateways).counts
    assert counts.refused == 0
    assert counts.asked < counts.passed / 4, "most requests should find a lease"


def test_who_comes_seldom_takes_nothing_ahead() -> None:
    counts = Simulation(Policy("p", Rate(1000, 1.0), 1000), 8, 1).counts
    assert 0.8 * counts.passed <= counts.asked <= counts.passed


def test_a_slow_rate_has_no_leases() -> None:
    assert RedisLimiter(Policy("p", Rate(10, 1.0), 10), ("route",)).ahead == 0
    counts = Simulation(Policy("p", Rate(10, 1.0), 10), 100, 2).counts
    assert 36 <= counts.passed <= 44
    assert counts.asked < counts.refused, "a refusal should be remembered"


def leased(held: int, now: float = 0.0) -> Lease:
    lease = Lease()
    lease.ask(1, held, now)
    lease.answered(1, 1 + held, 7, 0.0, now)
    return lease


def test_what_was_taken_ahead_passes_until_the_lease_ends() -> None:
    lease = leased(2, now=5.0)
    assert lease.has(5.0 + LASTS - 0.001)
    lease.take()
    lease.take()
    assert not lease.has(5.0)
    lease.give_back()
    assert lease.has(5.0)
    assert not lease.has(5.0 + LASTS)


def test_a_lease_that_ended_adds_nothing_to_the_next() -> None:
    lease = leased(5)
    lease.ask(1, 3, 1.0)
    lease.answered(1, 4, 7, 0.0, 1.0)
    assert lease.held == 3


def test_no_more_is_taken_ahead_than_passed_of_late() -> None:
    lease = Lease()
    assert lease.ask(1, 50, 0.0) == 1
    lease.answered(1, 1, 90, 0.0, 0.0)
    assert lease.ask(1, 50, 0.001) == 2
    lease.answered(1, 2, 90, 0.0, 0.001)
    lease.take()
    assert lease.ask(1, 50, 0.002) == 1 + 3
    lease.answered(1, 4, 90, 0.0, 0.002)
    assert lease.ask(1, 2, 0.003) == 1 + 2, "not more than the most"
    lease.answered(1, 3, 90, 0.0, 0.003)
    assert lease.ask(1, 50, 1000.0) == 1, "that was long ago"


def test_while_a_question_is_open_the_next_takes_nothing_ahead() -> None:
    lease = leased(0)
    assert lease.ask(1, 50, 0.001) == 2
    assert lease.ask(1, 50, 0.002) == 1
    lease.unanswered()
    lease.unanswered()
    assert lease.ask(1, 50, 0.003) == 2


def test_a_refusal_lasts_as_long_as_the_store_said() -> None:
    lease = Lease()
    lease.ask(2, 0, 10.0)
    lease.answered(2, 1, 0, 0.5, 10.0)
    assert lease.refuses(10.4)
    assert lease.wait(10.4) == pytest.approx(0.1)
    assert not lease.refuses(10.5)
    assert lease.wait(11.0) == 0.0


def test_an_answer_that_was_enough_refuses_nobody() -> None:
    lease = Lease()
    lease.ask(2, 0, 10.0)
    lease.answered(2, 2, 0, 0.5, 10.0)
    assert not lease.refuses(10.1)
    assert lease.wait(10.1) == pytest.approx(0.4)
    assert AHEAD < LASTS
