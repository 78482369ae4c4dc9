"""memcached as the shared state: what it can and cannot, and real servers that are killed, frozen and restarted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from gateway.config.state_specs import MemcachedSpec
from gateway.plugin import Scripting, SharedUnavailable
from gateway.state.outage import PAUSE
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock
from tests.support.polling import soon, turns
from tests.support.raw_upstream import Peer, upstream
from tests.support.servers import MEMCACHED, NO_MEMCACHED, Server, answered, memcached_server

pytest.importorskip("aiomcache", reason="aiomcache is not installed (pip install 'aiogate[memcached]')")
from gateway.state.memcached import MemcachedShared

DAY = 86400


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if MEMCACHED is None:
        pytest.skip(NO_MEMCACHED)
    with memcached_server(tmp_path_factory.mktemp("memcached")) as running:
        yield running


@contextlib.asynccontextmanager
async def opened(address: str, clock: FakeClock | None = None, **options: Any) -> AsyncIterator[MemcachedShared]:
    spec = MemcachedSpec.model_validate({"address": address, **options})
    store = MemcachedShared(spec, clock or FakeClock(), Metrics())
    try:
        yield store
    finally:
        await soon(store.close())


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("plain:key-1", b"p:plain:key-1"),
        ("k" * 248, b"p:" + b"k" * 248),
        ("k" * 249, None),
        ("a b", None),
        ("a\n", None),
        ("\x7f", None),
        ("", None),
        ("ü", None),
        ("\udcff", None),
        ("sha256:aa", None),
    ],
)
async def test_keys_that_memcached_does_not_take_are_hashed(key: str, sent: bytes | None) -> None:
    async with opened("127.0.0.1:1", prefix="p:") as store:
        found = store._key(key)

        if sent is None:
            assert found.startswith(b"p:sha256:")
            assert len(found) == len("p:sha256:") + 64
            assert found not in (store._key(key + "x"), store._key(found.decode().removeprefix("p:")))
        else:
            assert found == sent


@pytest.mark.parametrize(
    ("ttl", "lifetime"),
    [
        (None, 0),
        (0.001, 1),
        (1, 1),
        (1.5, 2),
        (30 * DAY, 30 * DAY),
        (30 * DAY + 0.5, 1_000_000_000 + 30 * DAY + 1),
        (400 * DAY, 1_000_000_000 + 400 * DAY),
        (40 * 365 * DAY, 0),
        (float("inf"), 0),
    ],
)
async def test_times_to_live_as_memcached_reads_them(ttl: float | None, lifetime: int) -> None:
    async with opened("127.0.0.1:1", FakeClock(wall=1_000_000_000)) as store:
        assert store._lifetime(ttl) == lifetime


async def test_it_runs_no_scripts() -> None:
    async with opened("127.0.0.1:1") as store:
        assert not isinstance(store, Scripting)


async def test_a_number_that_lost_a_digit_still_counts(server: Server) -> None:
    async with opened(server.address, timeout="10s") as store:
        assert [await store.add("n", 10), await store.add("n", -1)] == [10, 9]
        assert await store.get("n") == b"9 "
        assert [await store.add("n", -1), await store.add("n", 5)] == [8, 13]
        assert await store.add("largest", (1 << 64) - 1) == (1 << 64) - 1


@pytest.mark.parametrize("amount", (1 << 64, -(1 << 64)))
async def test_numbers_have_64_bits(amount: int) -> None:
    async with opened("127.0.0.1:1") as store:
        with pytest.raises(ValueError, match="64 bits"):
            await store.add("n", amount)


async def test_connections_are_kept_and_bounded(server: Server) -> None:
    async with opened(server.address, timeout="10s", max_connections=3) as store:
        await store.start()
        await asyncio.gather(*(store.add("n") for _ in range(100)))
        assert 1 <= len(store._idle) <= 3
        # This question is one as well.
        assert int(server.ask("stats").split(b"STAT curr_connections ")[1].split()[0]) <= 3 + 2


async def test_what_memcached_refuses_does_not_take_it_down(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(server.address, timeout="10s") as store:
        with pytest.raises(SharedUnavailable, match="^memcached 127.0.0.1:[0-9]+: it answers with an error$"):
            await store.set("large", b"x" * 2_000_000)
        assert await store.get("large") is None
        assert caplog.messages == []


@pytest.mark.parametrize("call", ("get", "set", "add", "delete"))
async def test_a_connection_that_ends_is_no_answer(call: str) -> None:
    lines = 0

    async def script(peer: Peer) -> None:
        nonlocal lines
        assert await peer.reader.readline() == b"version\r\n"
        peer.send(b"VERSION 1\r\n")
        assert await peer.reader.readline() == b"version\r\n"
        peer.send(b"VERSION 1\r\n")
        await peer.reader.readline()
        lines += 1

    async with upstream(script) as service, opened(f"127.0.0.1:{service.port}", timeout="10s") as store:
        await store.start()
        calls = {"set": (b"1",), "get": (), "add": (), "delete": ()}
        with pytest.raises(SharedUnavailable, match="memcached closed the connection|the connection was closed"):
            await soon(getattr(store, call)("secret", *calls[call]))
        with pytest.raises(SharedUnavailable, match="is taken as down"):
            await store.get("secret")
        assert lines == 1


async def test_a_number_that_always_goes_is_given_up() -> None:
    async def script(peer: Peer) -> None:
        while line := await peer.reader.readline():
            if line.startswith(b"add"):
                await peer.reader.readline()
            peer.send({b"v": b"VERSION 1\r\n", b"a": b"NOT_STORED\r\n", b"i": b"NOT_FOUND\r\n"}[line[:1]])

    async with upstream(script) as service, opened(f"127.0.0.1:{service.port}", timeout="10s") as store:
        with pytest.raises(SharedUnavailable, match="it answers with an error"):
            await soon(store.add("n"))


async def test_a_server_that_was_never_there(caplog: pytest.LogCaptureFixture) -> None:
    async with opened("127.0.0.1:1") as store:
        await store.start()
        assert "Connect" in caplog.messages[0] or "refused" in caplog.messages[0]
        with pytest.raises(SharedUnavailable, match="^memcached 127.0.0.1:1 is taken as down: "):
            await store.get("a")


@pytest.mark.parametrize("how", ("killed", "frozen", "killed while frozen"))
async def test_a_server_is_lost_and_comes_back(server: Server, how: str) -> None:
    clock = FakeClock()
    async with opened(server.address, clock) as store:

        async def later() -> bytes | None:
            clock.advance(PAUSE)
            await store.set("here", how.encode())
            return await store.get("here")

        assert await answered(later) == how.encode()
        acts = (store.add, store.get, lambda key: store.set(key, b"x" * 100_000), store.delete)
        if how == "killed":
            server.kill()
        else:
            server.freeze()
        calls = [asyncio.create_task(acts[number % 4](f"key {number}")) for number in range(40)]
        await turns(2)
        if how == "killed while frozen":
            server.kill()
        results = await soon(asyncio.gather(*calls, return_exceptions=True))
        assert {type(result) for result in results} == {SharedUnavailable}

        if how == "frozen":
            server.thaw()
        else:
            server.start()
        assert await answered(later) == how.encode()
