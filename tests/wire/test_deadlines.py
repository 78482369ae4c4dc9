"""The ticker, with the time passed in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.deadlines import NEVER, TICK, Deadlines


class Thing:
    """Something with a time limit. `then` is called when it expires."""

    def __init__(self) -> None:
        self.deadline = NEVER
        self.check_at = NEVER
        self.expirations: list[float] = []
        self.then = lambda now: None

    def expired(self, now: float) -> None:
        self.expirations.append(now)
        self.then(now)


def make(now: float = 1000.0) -> Deadlines:
    deadlines = Deadlines()
    deadlines._done = int(now / TICK)
    return deadlines


def test_expires_once_and_not_before() -> None:
    deadlines, thing = make(), Thing()
    deadlines.watch(thing, 1001.0)
    deadlines.sweep(1000.9)
    assert thing.expirations == []
    deadlines.sweep(1001.2)
    deadlines.sweep(1002.0)
    assert thing.expirations == [1001.2]
    assert repr(deadlines) == "<Deadlines 0 watched>"


def test_deadline_in_the_past_expires_at_the_next_tick() -> None:
    deadlines, thing = make(), Thing()
    deadlines.watch(thing, 5.0)
    deadlines.sweep(1000.0 + 2 * TICK)
    assert len(thing.expirations) == 1


def test_moved_later_by_its_attribute_alone() -> None:
    deadlines, thing = make(), Thing()
    deadlines.watch(thing, 1001.0)
    thing.deadline = 1005.0
    deadlines.sweep(1002.0)
    assert thing.expirations == []
    deadlines.sweep(1005.2)
    assert len(thing.expirations) == 1


def test_moved_earlier() -> None:
    deadlines, thing = make(), Thing()
    deadlines.watch(thing, 1050.0)
    deadlines.watch(thing, 1001.0)
    deadlines.sweep(1001.2)
    deadlines.sweep(1060.0)
    assert len(thing.expirations) == 1


def test_never_is_let_go() -> None:
    deadlines, thing = make(), Thing()
    deadlines.watch(thing, 1001.0)
    thing.deadline = NEVER
    deadlines.sweep(1002.0)
    assert thing.expirations == []
    assert repr(deadlines) == "<Deadlines 0 watched>"
    deadlines.watch(thing, 1003.0)
    deadlines.sweep(1003.2)
    assert len(thing.expirations) == 1


def test_forgotten() -> None:
    deadlines, thing = make(), Thing()
    deadlines.watch(thing, 1001.0)
    deadlines.forget(thing)
    deadlines.forget(thing)
    assert repr(deadlines) == "<Deadlines 0 watched>"
    deadlines.sweep(1002.0)
    assert thing.expirations == []


def test_forget_and_watch_others_while_sweeping() -> None:
    deadlines, first, second, third = make(), Thing(), Thing(), Thing()

    def then(now: float) -> None:
        deadlines.forget(second)
        deadlines.watch(third, now + 1)
        deadlines.watch(first, now + 2)

    first.then = then
    for thing in (first, second, third):
        deadlines.watch(thing, 1001.0)
    deadlines.sweep(1001.2)
    assert (len(first.expirations), len(second.expirations), len(third.expirations)) == (1, 0, 0)
    first.then = lambda now: None
    deadlines.sweep(1010.0)
    assert (len(first.expirations), len(second.expirations), len(third.expirations)) == (2, 0, 1)
    assert repr(deadlines) == "<Deadlines 0 watched>"


STEPS = st.lists(
    st.tuples(st.sampled_from(["watch", "move", "forget", "sweep"]), st.integers(0, 3), st.floats(0, 3)), max_size=40
)


@given(STEPS)
def test_nothing_expires_early_late_or_twice(steps: list[tuple[str, int, float]]) -> None:
    """Against the plain truth: a deadline per thing, looked at in full at every sweep."""
    now = 1000.0
    deadlines, things = make(now), [Thing() for _ in range(4)]
    for what, which, seconds in steps:
        thing = things[which]
        if what == "watch":
            deadlines.watch(thing, now + seconds)
        elif what == "move" and thing.deadline != NEVER:
            thing.deadline = max(thing.deadline, now + seconds)
        elif what == "forget":
            deadlines.forget(thing)
        else:
            now += seconds
            due = [one.deadline for one in things]
            before = [len(one.expirations) for one in things]
            deadlines.sweep(now)
            for one, deadline, count in zip(things, due, before, strict=True):
                fired = len(one.expirations) - count
                assert fired <= 1
                assert not fired or deadline <= now
                assert fired or deadline > now - 2 * TICK, "late"
    for thing in things:
        deadlines.forget(thing)
    assert repr(deadlines) == "<Deadlines 0 watched>"
    assert not any(deadlines._slots.values())


async def test_ticks_on_the_loop() -> None:
    from tests.support.polling import eventually

    deadlines, thing = Deadlines(), Thing()
    deadlines.start()
    deadlines.watch(thing, 0.0)
    await eventually(lambda: thing.expirations)
    deadlines.stop()
    deadlines.stop()
