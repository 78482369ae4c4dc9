"""Limits of several workers: what they decide is what one of them would, whichever is asked."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange
from gateway.limits.board import BoardGate, BoardLimiter
from gateway.limits.gcra import LocalLimiter, Policy
from gateway.limits.keys import key_of
from gateway.limits.local import JointGate, LocalGate
from gateway.limits.rate import Rate
from gateway.state.board import Board, Seat
from gateway.testing import FakeClock, make_exchange
from tests.limits.test_local import TENTH, asked, verdicts

BY = key_of(("client_ip",))
HOUR = Policy("hour", Rate(4, 3600.0), 4)


def seats(number: int = 2) -> list[Seat]:
    board = Board.create(number)
    return [board.take_seat(seat) for seat in range(number)]


def gates(clock: FakeClock, policy: Policy = TENTH, number: int = 2, space: str = "a") -> list[BoardGate]:
    return [BoardGate(BoardLimiter(policy, seat, space), BY, verdicts(policy), clock) for seat in seats(number)]


def test_the_workers_have_one_bucket() -> None:
    clock = FakeClock()
    one, other = gates(clock)
    assert [asked(gate) for gate in (one, other, one, other, one)] == ["+2;t=1", "+1;t=1", "+0;t=1", "-0;t=1", "-0;t=1"]
    clock.advance(0.1)
    assert [asked(gate) for gate in (other, one)] == ["+0;t=1", "-0;t=1"]
    assert asked(one, make_exchange(client_ip="192.0.2.9")) == "+2;t=1"
    clock.advance(10)
    assert [asked(gate) for gate in (one, other)] == ["+2;t=1", "+1;t=1"]


def test_another_space_is_another_bucket() -> None:
    clock, (seat, other) = FakeClock(), seats()
    limiters = [BoardLimiter(TENTH, seat, "a"), BoardLimiter(TENTH, other, "b"), BoardLimiter(TENTH, other, "a")]
    found = [BoardGate(limiter, BY, verdicts(TENTH), clock) for limiter in limiters]
    assert [asked(gate) for gate in found] == ["+2;t=1", "+2;t=1", "+1;t=1"]


def test_several_policies_take_all_or_nothing() -> None:
    clock = FakeClock()

    def joint(seat: Seat) -> JointGate:
        limiters = [BoardLimiter(TENTH, seat, "a"), BoardLimiter(HOUR, seat, "b")]
        return JointGate(limiters, [BY, key_of(("route",))], verdicts(TENTH, HOUR), clock)

    one, other = map(joint, seats())
    assert asked(one) == "+2;t=1,3;t=900"
    assert [asked(gate) for gate in (other, one, other)] == ["+1;t=1,2;t=1800", "+0;t=1,1;t=2700", "-0;t=1"]
    clock.advance(0.3)
    assert asked(other) == "+2;t=1,0;t=900"
    assert [asked(gate) for gate in (one, other)] == ["-0;t=900"] * 2
    assert asked(one, make_exchange(route="other")) == "+1;t=1,3;t=900"


def test_what_another_worker_takes_meanwhile_is_not_lost() -> None:
    """Between what one has read and what it writes."""
    clock = FakeClock()
    one, other = gates(clock, Policy("wide", Rate(10, 1.0), 10))
    asked(one)
    tats = one._tats

    class Slow:
        """TATs that another worker changes once they have been read."""

        read = 0

        def __getitem__(self, slot: int) -> float:
            self.read += 1
            found = tats[slot]
            if self.read == 1:
                asked(other)
            return found

        def __setitem__(self, slot: int, value: float) -> None:
            tats[slot] = value

    one._tats = Slow()  # type: ignore[assignment]
    asked(one)
    assert asked(other).startswith("+6")


STEPS = st.tuples(st.floats(0, 2), st.sampled_from(["192.0.2.1", "::1", "::2", "192.0.2.2"]), st.integers(0, 2))


@given(st.integers(1, 20), st.integers(1, 10), st.integers(1, 3), st.lists(STEPS, max_size=60))
def test_one_after_the_other_they_follow_the_rule(
    amount: int, burst: int, cost: int, steps: Sequence[tuple[float, str, int]]
) -> None:
    clock = FakeClock()
    policy = Policy("p", Rate(amount, 1.0), max(burst, cost), cost)
    alone = LocalGate(policy, BY, verdicts(policy), clock)
    together = gates(clock, policy, 3)
    limiters = [BoardLimiter(policy, seat, "x") for seat in seats(3)]
    rule = LocalLimiter(policy)
    for gap, address, seat in steps:
        clock.advance(gap * policy.emission)
        exchange: list[Exchange] = [make_exchange(client_ip=address) for _ in range(2)]
        key, now = BY(exchange[0]), clock.now()
        assert abs(limiters[seat].room(key, now) - rule.room(key, now)) < 1e-6
        if rule.room(key, now) >= rule.step:
            rule.take(key, now)
            limiters[seat].take(key, now)
        assert asked(alone, exchange[0]) == asked(together[seat], exchange[1])
