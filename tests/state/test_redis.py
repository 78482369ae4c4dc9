"""Redis as the shared state: real servers that are killed, frozen, replaced and restarted while calls go on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from gateway.config.state_specs import RedisSpec
from gateway.eager import run_eagerly
from gateway.plugin import Scripting, SharedUnavailable
from gateway.process.runtime import SystemClock
from gateway.state.redis import RedisShared
from gateway.telemetry.metrics import Metrics
from tests.support.polling import eventually, soon
from tests.support.servers import (
    Server,
    answered,
    await_cluster,
    redis_cluster,
    redis_server,
    refused,
    sentinel_server,
)

SLOW = {"timeout": "10s", "connect_timeout": "10s"}
COUNT = "return {KEYS[1], redis.call('INCRBY', KEYS[1], ARGV[1])}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that no test harms."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@contextlib.asynccontextmanager
async def opened(spec: dict[str, Any], metrics: Metrics | None = None) -> AsyncIterator[RedisShared]:
    store = RedisShared(RedisSpec.model_validate(spec), SystemClock(), metrics or Metrics())
    await store.start()
    try:
        yield store
    finally:
        await soon(store.close())


@pytest.fixture
async def shared(server: Server) -> AsyncIterator[RedisShared]:
    assert server.ask("FLUSHALL") == b"+OK\r\n"
    async with opened({"url": f"redis://{server.address}/3", **SLOW}) as store:
        yield store


class Calls:
    """Calls of several tasks, one after the other, while a test goes on."""

    def __init__(self, store: RedisShared) -> None:
        self.answers = self.refusals = 0
        self._store = store
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._go_on(number)) for number in range(8)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended

    async def _go_on(self, number: int) -> None:
        key = f"calls {number}"
        acts: list[Callable[[], Any]] = [
            lambda: self._store.get(key),
            lambda: self._store.set(key, b"1"),
            lambda: self._store.add(key, 1, 60),
            lambda: self._store.run(COUNT, [(f"{key}{n}", (1,)) for n in range(4)]),
            lambda: self._store.delete(key),
        ]
        while True:
            for act in acts:
                try:
                    await act()
                    self.answers += 1
                except SharedUnavailable:
                    self.refusals += 1
                await asyncio.sleep(0.001)


# what it says to Redis


def connections(server: Server) -> list[str]:
    """What Redis says of each connection that a store has open."""
    return [line for line in server.ask("CLIENT", "LIST").decode().splitlines() if "name=aiogate" in line]


async def test_names_and_numbers_that_redis_sees(server: Server, shared: RedisShared) -> None:
    await shared.set("a", b"1", 60.0005)

    assert any(" db=3 " in line for line in connections(server))
    assert b"db3:keys=1,expires=1" in server.ask("INFO", "keyspace")
    assert server.ask("SWAPDB", "0", "3") == b"+OK\r\n"
    assert server.ask("GET", "aiogate:a") == b"$1\r\n1\r\n"


async def test_times_to_live_are_in_milliseconds(shared: RedisShared) -> None:
    left = "return redis.call('PTTL', KEYS[1])"
    await shared.set("a", b"1", 1000.0005)
    await shared.add("n", 1, 0.5)
    await shared.set("none", b"")

    a, n, none = await shared.run(left, [("a", ()), ("n", ()), ("none", ())])
    assert 900_000 < a <= 1_000_001
    assert n <= 500
    assert none == -1


async def test_the_prefix_is_an_option(server: Server) -> None:
    assert server.ask("FLUSHALL") == b"+OK\r\n"
    async with opened({"url": f"redis://{server.address}", "prefix": "", **SLOW}) as store:
        await store.set("bare", b"1")
    assert server.ask("GET", "bare") == b"$1\r\n1\r\n"


async def test_connections_are_kept_and_bounded(server: Server) -> None:
    await eventually(lambda: not connections(server), "those of the tests before are closed")
    async with opened({"url": f"redis://{server.address}", "max_connections": 3, **SLOW}) as store:
        await asyncio.gather(*(store.add("n") for _ in range(100)))
        assert 1 <= len(connections(server)) <= 3
    await eventually(lambda: not connections(server))


async def test_a_connection_that_the_server_closed_is_opened_again(server: Server, shared: RedisShared) -> None:
    for _ in range(5):
        await shared.set("a", b"1")
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        assert await shared.get("a") == b"1"
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        assert await shared.run("return 1", [("a", ()), ("b", ())]) == [1, 1]


# scripts


async def test_a_script_runs_once_for_each_call(shared: RedisShared) -> None:
    calls = [("a", (1,)), ("b", ("10",)), ("a", (100,))]

    assert isinstance(shared, Scripting)
    assert await shared.run(COUNT, calls) == [[b"aiogate:a", 1], [b"aiogate:b", 10], [b"aiogate:a", 101]]
    assert await shared.run(COUNT, calls[:1]) == [[b"aiogate:a", 102]]
    assert await shared.run(COUNT, []) == []


async def test_what_a_script_may_return(shared: RedisShared) -> None:
    for script, result in (
        ("return 3.9", 3),
        ("return '3.9'", b"3.9"),
        ("return nil", None),
        ("return false", None),
        ("return {1, {'a'}}", [1, [b"a"]]),
        ("return ARGV[1] .. ARGV[2]", "ü-1".encode()),
    ):
        assert await shared.run(script, [("k", ("ü", -1))]) == [result]


async def test_arguments_that_are_no_text(shared: RedisShared) -> None:
    """A header of a client may hold any byte."""
    assert await shared.run("return {KEYS[1], ARGV[1]}", [("\udcff", ("\ud800",))]) == [
        [b"aiogate:\xed\xb3\xbf", b"\xed\xa0\x80"]
    ]


async def test_a_mistake_of_the_caller_does_not_take_the_store_down(shared: RedisShared) -> None:
    with pytest.raises(SharedUnavailable, match="DataError"):
        await shared.set("a", [b"not bytes"])  # type: ignore[arg-type]
    assert await shared.get("a") is None


@pytest.mark.parametrize("calls", (1, 5))
async def test_a_script_that_redis_has_forgotten_is_loaded_again(
    server: Server, shared: RedisShared, calls: int
) -> None:
    for round_ in range(1, 4):
        results = await shared.run(COUNT, [(f"k{n}", (1,)) for n in range(calls)])
        assert results == [[f"aiogate:k{n}".encode(), round_] for n in range(calls)]
        server.ask("SCRIPT", "FLUSH")


async def test_many_calls_of_a_script_are_one_round_trip(server: Server, shared: RedisShared) -> None:
    await shared.run(COUNT, [("a", (1,))])

    def reads() -> int:
        stats = dict(line.split(b":") for line in server.ask("INFO", "stats").split(b"\r\n") if b":" in line)
        return int(stats[b"total_reads_processed"])

    before = reads()
    await shared.run(COUNT, [(f"k{n}", (1,)) for n in range(20)])
    # Asking is a read as well.
    assert reads() - before <= 3


@pytest.mark.parametrize("script", ("return {err='KEY secret'}", "this is no Lua", "return redis.call('NO', KEYS[1])"))
async def test_a_script_that_fails(shared: RedisShared, script: str, caplog: pytest.LogCaptureFixture) -> None:
    for calls in ([("secret", ())], [("secret", ()), ("secret", ())]):
        with pytest.raises(SharedUnavailable, match="it answers with ResponseError") as caught:
            await shared.run(script, calls)
        assert "secret" not in str(caught.value)

    assert await shared.get("secret") is None, "the store is not down for that"
    assert caplog.messages == []


# errors


async def test_what_is_stored_otherwise_is_an_error(server: Server, shared: RedisShared) -> None:
    async with opened({"url": f"redis://{server.address}", **SLOW}) as store:
        server.ask("RPUSH", "aiogate:list", "1")
        with pytest.raises(SharedUnavailable, match="it answers with ResponseError"):
            await store.get("list")
        for ttl in (None, 5):
            with pytest.raises(ValueError, match="holds no number"):
                await store.add("list", 1, ttl)
        await store.add("n", 1 << 62)
        for ttl in (None, 5):
            with pytest.raises(ValueError, match="more than 64 bits"):
                await store.add("n", 1 << 62, ttl)
        with pytest.raises(ValueError, match="more than 64 bits"):
            await store.add("n", 1 << 64)


async def test_a_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with redis_server(tmp_path, "--requirepass", "geheim") as server:
        url = f"redis://{server.address}"
        for spec in ({"password": "geheim"}, {"username": "default", "password": "geheim"}):
            async with opened({"url": url, **spec, **SLOW}) as store:
                await store.set("a", b"1")
                assert "geheim" not in repr(store)
        assert caplog.messages == []
        for spec, said in (
            ({"password": "falsch"}, "invalid username-password pair"),
            ({}, "Authentication required"),
        ):
            async with opened({"url": url, **spec, **SLOW}) as store:
                with pytest.raises(SharedUnavailable, match=said) as caught:
                    await store.get("schlüssel")
                for hidden in ("falsch", "geheim", "schlüssel"):
                    assert hidden not in f"{caught.value} {caplog.text}"


async def test_tls_is_asked_for_by_the_url(server: Server) -> None:
    async with opened({"url": f"rediss://{server.address}", "timeout": "1s"}) as store:
        with pytest.raises(SharedUnavailable):
            await store.get("a")


async def test_a_call_that_is_driven_by_hand(server: Server, shared: RedisShared) -> None:
    """As an `admit` is, on Python 3.11."""
    ended: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    await shared.set("a", b"1")
    task = run_eagerly(shared.get("a"), lambda result, error: ended.set_result(error or result))

    assert task is not None
    assert await soon(ended) == b"1"


# misfortunes


async def test_a_server_that_was_never_there(caplog: pytest.LogCaptureFixture) -> None:
    async with opened({"url": "redis://127.0.0.1:1"}) as store:
        (told,) = caplog.messages
        assert "is taken as down until it answers: " in told
        assert "connecting to 127.0.0.1:1" in told
        with pytest.raises(SharedUnavailable, match=r"^redis://127.0.0.1:1 is taken as down: "):
            await store.get("a")


async def test_a_server_is_killed_and_comes_back(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        async with opened({"url": f"redis://{server.address}"}) as store, Calls(store) as calls:
            await eventually(lambda: calls.answers)
            server.kill()
            assert await refused(lambda: store.get("here"))
            await eventually(lambda: calls.refusals)
            server.start()
            await answered(lambda: store.set("here", b""))
            assert await answered(lambda: store.run("return KEYS", [("after", ())])) == [[b"aiogate:after"]]


async def test_a_server_is_frozen_and_goes_on(tmp_path: Path) -> None:
    metrics = Metrics()
    with redis_server(tmp_path) as server:
        async with opened({"url": f"redis://{server.address}"}, metrics) as store, Calls(store) as calls:
            await eventually(lambda: calls.answers)
            server.freeze()
            assert "no answer within 50ms" in await refused(lambda: store.get("here")) or calls.refusals
            results = await asyncio.gather(*(store.get("a") for _ in range(200)), return_exceptions=True)
            assert {type(result) for result in results} == {SharedUnavailable}
            server.thaw()
            await answered(lambda: store.set("here", b""))
        skipped = metrics.counter("gateway_shared_state_total", "", ("store", "result")).labels("redis", "skipped")
        assert skipped.value > 100, "most calls did not wait"


async def test_a_frozen_server_costs_a_hand_driven_call_no_more(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        async with opened({"url": f"redis://{server.address}"}) as store:
            await answered(lambda: store.set("here", b""))
            server.freeze()
            ended: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            run_eagerly(store.get("a"), lambda result, error: ended.set_result(error or result))
            assert isinstance(await soon(ended), SharedUnavailable)
            server.thaw()
            await answered(lambda: store.set("here", b""))


async def test_a_close_while_the_server_is_frozen(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        async with opened({"url": f"redis://{server.address}"}) as store:
            await answered(lambda: store.set("here", b""))
            server.freeze()
            with pytest.raises(SharedUnavailable):
                await store.set("big", b"x" * 20_000_000)


# Sentinels


async def test_sentinels_know_the_new_master(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path / "a") as master,
        redis_server(tmp_path / "b", "--replicaof", "127.0.0.1", str(master.port)) as replica,
        sentinel_server(tmp_path / "s", "main", master, "requirepass geheim") as sentinel,
        sentinel_server(tmp_path / "stuck", "main", master) as stuck,
    ):
        nodes = [stuck.address, sentinel.address]
        spec = {"sentinel": {"nodes": nodes, "service": "main", "password": "geheim"}, "db": 2}
        stuck.freeze()
        async with opened(spec) as store, Calls(store):
            await answered(lambda: store.set("here", b""))
            assert b"db2:" in master.ask("INFO", "keyspace")
            master.freeze()
            assert await refused(lambda: store.get("here"))
            await answered(lambda: store.set("here", b""))
            assert b"role:master" in replica.ask("INFO", "replication")
        master.thaw()


async def test_sentinels_that_are_not_there() -> None:
    async with opened({"sentinel": {"nodes": ["127.0.0.1:1"], "service": "main"}}) as store:
        with pytest.raises(SharedUnavailable, match=r"redis main of 127.0.0.1:1 .*No master found for 'main'"):
            await store.get("a")


# a cluster


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


async def test_a_cluster(nodes: list[Server]) -> None:
    for node in nodes:
        assert node.ask("FLUSHALL") == b"+OK\r\n"
    async with opened({"cluster": {"nodes": [nodes[0].address]}, **SLOW}) as store:
        names = [f"key {n}" for n in range(50)]
        calls = [(name, (number,)) for number, name in enumerate(names)]
        expected = [[f"aiogate:{name}".encode(), number] for number, name in enumerate(names)]
        assert await store.run(COUNT, calls) == expected
        assert all(b"keys=" in node.ask("INFO", "keyspace") for node in nodes)

        # One has forgotten the script, one has closed the connections.
        nodes[1].ask("SCRIPT", "FLUSH")
        nodes[2].ask("CLIENT", "KILL", "TYPE", "normal")
        assert await store.run(COUNT, [(name, (0,)) for name in names]) == expected
        for node in nodes:
            node.ask("CLIENT", "KILL", "TYPE", "normal")
        assert [await store.get(name) for name in names] == [b"%d" % number for number in range(50)]

        with pytest.raises(SharedUnavailable, match="it answers with ResponseError"):
            await store.run("return {err='no'}", calls)
        assert await store.add("key 7", 1) == 8


async def test_a_cluster_is_up_when_all_of_it_is(nodes: list[Server]) -> None:
    async with opened({"cluster": {"nodes": [nodes[0].address]}}) as store:
        for node in nodes:
            await answered(lambda: store.set("here", b""))
            node.freeze()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await store._ping()
            node.thaw()
    await asyncio.to_thread(await_cluster, nodes)


async def test_a_cluster_whose_node_is_lost_and_comes_back(nodes: list[Server], tmp_path: Path) -> None:
    async with opened({"cluster": {"nodes": [node.address for node in nodes]}}) as store, Calls(store) as calls:
        await eventually(lambda: calls.answers)
        nodes[0].freeze()
        await eventually(lambda: calls.refusals)
        nodes[0].thaw()
        await answered(lambda: store.set("here", b""))
        nodes[1].kill()
        assert await refused(lambda: store.get("here"))
        nodes[1].start()
        await asyncio.to_thread(await_cluster, nodes)
        await answered(lambda: store.set("here", b""))


async def test_a_cluster_that_is_none(server: Server) -> None:
    async with opened({"cluster": {"nodes": [server.address]}, **SLOW}) as store:
        with pytest.raises(SharedUnavailable, match="redis cluster of 127.0.0.1:[0-9]+ is taken as down: no node"):
            await store.get("a")
