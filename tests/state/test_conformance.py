"""What `gateway.plugin.Shared` promises, held against every store; those on the network are real servers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.config.state_specs import StateSpec
from gateway.process.runtime import SystemClock
from gateway.state.store import Store, make_shared
from gateway.telemetry.metrics import Metrics
from tests.support.polling import PATIENCE
from tests.support.servers import MEMCACHED, NO_MEMCACHED, memcached_server, redis_server

# Long enough for a machine whose time is taken away: nothing here is about slowness.
SLOW = {"timeout": "10s"}
SLOW_REDIS = {**SLOW, "connect_timeout": "10s"}
NUMBERS = itertools.count()


@dataclass(frozen=True)
class Kind:
    """One store and what it can."""

    name: str
    fractions: bool = True
    below_zero: bool = True


KINDS = (
    Kind("memory"),
    Kind("redis"),
    Kind("redis_cluster"),
    Kind("memcached", fractions=False, below_zero=False),
)


@pytest.fixture(scope="module")
def spec_of(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], dict[str, Any]]]:
    """The spec of each store, by its name; a server starts when it is first asked for."""
    known: dict[str, dict[str, Any]] = {"memory": {"memory": {}}}
    with contextlib.ExitStack() as stack:

        def start(name: str) -> dict[str, Any]:
            folder: Path = tmp_path_factory.mktemp(name)
            if name == "redis":
                server = stack.enter_context(redis_server(folder))
                return {"redis": {"url": f"redis://{server.address}", **SLOW_REDIS}}
            if name == "redis_cluster":
                nodes = request.getfixturevalue("cluster")
                return {"redis": {"cluster": {"nodes": [node.address for node in nodes]}, **SLOW_REDIS}}
            if MEMCACHED is None:
                pytest.skip(NO_MEMCACHED)
            server = stack.enter_context(memcached_server(folder))
            return {"memcached": {"address": server.address, **SLOW}}

        def spec(name: str) -> dict[str, Any]:
            if name not in known:
                known[name] = start(name)
            return known[name]

        yield spec


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
async def shared(kind: Kind, spec_of: Callable[[str], dict[str, Any]]) -> AsyncIterator[Store]:
    spec = StateSpec.model_validate(spec_of(kind.name))
    store = make_shared(spec, SystemClock(), Metrics())
    await store.start()
    yield store
    await store.close()


@pytest.fixture
def key() -> str:
    """One that no other test uses: the servers serve all of them."""
    return f"key-{next(NUMBERS)}"


async def gone(store: Store, key: str) -> None:
    """Return once nothing is stored under `key`."""
    async with asyncio.timeout(PATIENCE):
        while await store.get(key) is not None:
            await asyncio.sleep(0.01)


async def test_what_is_stored_is_there_until_it_is_deleted(shared: Store, key: str) -> None:
    seen = [await shared.get(key)]
    await shared.set(key, b"1")
    seen.append(await shared.get(key))
    await shared.set(key, b"2")
    seen.append(await shared.get(key))
    await shared.delete(key)
    await shared.delete(key)
    seen.append(await shared.get(key))

    assert seen == [None, b"1", b"2", None]


@pytest.mark.parametrize(
    "value", (b"", b"\r\n", b"END\r\n", bytes(range(256)), b"x" * 700_000), ids=("empty", "line", "end", "all", "big")
)
async def test_values_are_any_bytes(shared: Store, key: str, value: bytes) -> None:
    await shared.set(key, value)

    assert await shared.get(key) == value


async def test_keys_are_any_text(shared: Store, key: str) -> None:
    ends = ("", " ", "\n", "\r\nget x", "\0", "\x7f", "\x85", "ü", "\udcff", "{a}", "k" * 250, "k" * 251, "k" * 9999)
    keys = [key + end for end in ends] + ["sha256:" + key, ""]
    for name in keys:
        await shared.set(name, repr(name).encode())

    assert [await shared.get(name) for name in keys] == [repr(name).encode() for name in keys]
    for name in keys:
        await shared.delete(name)
    assert [await shared.get(name) for name in keys] == [None] * len(keys)


async def test_what_has_a_time_to_live_goes(shared: Store, kind: Kind, key: str) -> None:
    brief = 0.05 if kind.fractions else 0.9
    await shared.set(key, b"brief", brief)
    await shared.set(f"{key} stays", b"", 1000.5)
    await shared.set(f"{key} is stored again", b"", brief)
    await shared.set(f"{key} is stored again", b"")
    await shared.add(f"{key} counts from the first", 1, brief)
    # It may have gone in between, and is a new number then.
    first = await shared.add(f"{key} counts from the first", 1, 1000) == 2
    await shared.set(f"{key} had none", b"5")
    await shared.add(f"{key} had none", 1, brief)

    await gone(shared, key)
    if first:
        await gone(shared, f"{key} counts from the first")
    assert await shared.get(f"{key} stays") == b""
    assert await shared.get(f"{key} is stored again") == b""
    assert await shared.get(f"{key} had none") == b"6"


@pytest.mark.parametrize("ttl", (1e-9, 31 * 86400, 11 * 365 * 86400.0, 1e12, float("inf")))
async def test_a_time_to_live_may_be_of_any_length(shared: Store, key: str, ttl: float) -> None:
    await shared.set(key, b"1", ttl)
    await shared.add(f"{key} sum", 1, ttl)

    if ttl > 1:
        assert (await shared.get(key), await shared.get(f"{key} sum")) == (b"1", b"1")
    else:
        await gone(shared, key)
        await gone(shared, f"{key} sum")


@pytest.mark.parametrize("ttl", (0, -1, float("nan")))
async def test_a_time_to_live_is_positive(shared: Store, key: str, ttl: float) -> None:
    with pytest.raises(ValueError, match="more than 0 seconds"):
        await shared.set(key, b"", ttl)
    with pytest.raises(ValueError, match="more than 0 seconds"):
        await shared.add(key, 1, ttl)
    assert await shared.get(key) is None


async def test_numbers_add_up(shared: Store, key: str) -> None:
    sums = [await shared.add(key), await shared.add(key, 0), await shared.add(key, 5, 60), await shared.add(key, -2)]

    assert sums == [1, 1, 6, 4]
    assert await shared.get(key) == b"4"
    await shared.set(key, b"7")
    assert await shared.add(key) == 8


async def test_large_numbers_are_exact(shared: Store, key: str) -> None:
    assert await shared.add(key, 1 << 62, 60) == 1 << 62
    assert await shared.add(key, 1, 60) == (1 << 62) + 1


async def test_a_number_that_went_begins_anew(shared: Store, kind: Kind, key: str) -> None:
    await shared.add(key, 5)
    await shared.delete(key)
    assert await shared.add(key, 1, 0.05 if kind.fractions else 0.9) == 1
    await gone(shared, key)

    assert await shared.add(key, 2) == 2


async def test_numbers_below_zero(shared: Store, kind: Kind, key: str) -> None:
    if kind.below_zero:
        assert [await shared.add(key, -3), await shared.add(key, 1)] == [-3, -2]
        return
    with pytest.raises(ValueError, match="no lower than 0"):
        await shared.add(key, -3)
    await shared.set(key, b"2")
    with pytest.raises(ValueError, match="no lower than 0"):
        await shared.add(key, -3)
    assert await shared.add(key, -2) == 0


@pytest.mark.parametrize("ttl", (None, 60))
@pytest.mark.parametrize("amount", (1, -1))
async def test_adding_to_what_is_no_number_is_an_error(shared: Store, key: str, amount: int, ttl: float | None) -> None:
    await shared.set(key, b"text")

    with pytest.raises(ValueError, match="number|invalid literal"):
        await shared.add(key, amount, ttl)
    assert await shared.get(key) == b"text"


@pytest.mark.parametrize("ttl", (None, 60))
async def test_additions_at_the_same_time_all_count(shared: Store, key: str, ttl: float | None) -> None:
    sums = await asyncio.gather(*(shared.add(key, 1, ttl) for _ in range(200)))

    assert sorted(sums) == list(range(1, 201))


async def test_calls_at_the_same_time_have_their_own_answers(shared: Store, key: str) -> None:
    await asyncio.gather(*(shared.set(f"{key} {n}", b"%d" % n) for n in range(200)))

    found = await asyncio.gather(*(shared.get(f"{key} {n}") for n in range(200)))
    assert found == [b"%d" % n for n in range(200)]


async def test_the_answer_of_a_call_that_was_cancelled_is_nobody_elses(shared: Store, key: str) -> None:
    await shared.set(key, b"mine")
    await shared.set(f"{key} other", b"other")
    for wait in range(40):
        task = asyncio.create_task(shared.get(f"{key} other"))
        for _ in range(wait % 10):
            await asyncio.sleep(0)
        task.cancel()
        assert await shared.get(key) == b"mine"
        await asyncio.wait((task,))
