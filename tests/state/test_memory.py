"""Shared state in memory: times to live, numbers, and a bound."""

from __future__ import annotations

import pytest

from gateway.state.memory import MemoryShared
from gateway.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def shared(clock: FakeClock) -> MemoryShared:
    return MemoryShared(clock)


async def test_what_is_stored_is_there_until_it_is_deleted(shared: MemoryShared) -> None:
    await shared.set("a", b"1")
    before = await shared.get("a")
    await shared.delete("a")
    await shared.delete("never there")

    assert (before, await shared.get("a")) == (b"1", None)


async def test_what_has_a_time_to_live_goes(shared: MemoryShared, clock: FakeClock) -> None:
    await shared.set("a", b"1", ttl=5)

    clock.advance(4.9)
    assert await shared.get("a") == b"1"
    clock.advance(0.1)
    assert await shared.get("a") is None


async def test_storing_again_starts_the_time_anew(shared: MemoryShared, clock: FakeClock) -> None:
    await shared.set("a", b"1", ttl=5)
    clock.advance(4)
    await shared.set("a", b"2", ttl=5)
    clock.advance(4)
    await shared.set("other", b"")

    assert await shared.get("a") == b"2"
    await shared.set("a", b"3")
    clock.advance(100)
    assert await shared.get("a") == b"3"


async def test_numbers_add_up(shared: MemoryShared) -> None:
    sums = [await shared.add("n"), await shared.add("n", 5), await shared.add("n", -2)]

    assert sums == [1, 6, 4]
    assert await shared.get("n") == b"4"


async def test_the_time_to_live_of_a_number_counts_from_its_first_addition(
    shared: MemoryShared, clock: FakeClock
) -> None:
    await shared.add("n", 1, ttl=10)
    clock.advance(9)

    assert await shared.add("n", 1, ttl=10) == 2
    clock.advance(1)
    assert await shared.add("n", 1, ttl=10) == 1


async def test_adding_to_what_is_no_number_is_an_error(shared: MemoryShared) -> None:
    await shared.set("a", b"text")

    with pytest.raises(ValueError, match="invalid literal"):
        await shared.add("a")


@pytest.mark.parametrize("ttl", (0, -1, float("nan")))
async def test_a_time_to_live_is_positive(shared: MemoryShared, ttl: float) -> None:
    with pytest.raises(ValueError, match="more than 0 seconds"):
        await shared.set("a", b"", ttl)


async def test_when_full_the_expired_go_first_then_what_was_not_used(clock: FakeClock) -> None:
    shared = MemoryShared(clock, limit=3)
    await shared.set("old", b"")
    await shared.set("brief", b"", ttl=1)
    await shared.set("new", b"")
    clock.advance(2)

    await shared.set("one more", b"")
    assert [await shared.get(key) for key in ("old", "brief", "new", "one more")] == [b"", None, b"", b""]
    await shared.set("and another", b"")
    assert [await shared.get(key) for key in ("old", "new", "one more", "and another")] == [None, b"", b"", b""]
    assert repr(shared) == "<MemoryShared 3 of 3 entries>"


@pytest.mark.parametrize("use", ("get", "set", "add"))
async def test_what_is_used_stays(clock: FakeClock, use: str) -> None:
    shared = MemoryShared(clock, limit=2)
    await shared.set("used", b"1")
    await shared.set("not used", b"1")
    if use == "get":
        await shared.get("used")
    elif use == "set":
        await shared.set("used", b"1")
    else:
        await shared.add("used")

    await shared.set("new", b"")
    assert await shared.get("used") is not None
    assert await shared.get("not used") is None


async def test_it_needs_no_start_and_survives_a_close(shared: MemoryShared) -> None:
    await shared.start()
    await shared.set("a", b"1")
    await shared.close()

    assert await shared.get("a") == b"1"


async def test_memory_stays_bounded_when_one_key_is_written_for_ever(shared: MemoryShared) -> None:
    for _ in range(1000):
        await shared.set("a", b"", ttl=1000)

    assert len(shared) == 1
    assert len(shared._expiries) <= 66


def test_a_limit_leaves_room() -> None:
    with pytest.raises(ValueError, match="at least one"):
        MemoryShared(FakeClock(), limit=0)
