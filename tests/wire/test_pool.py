"""The pool, with connections that are no sockets and times passed in."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import GatewayError, Kind
from gateway.wire.pool import Pool, PoolLimits
from gateway.wire.proxy_protocol import Addresses
from gateway.wire.upstream_connection import UpstreamConnection
from tests.support.gateways import limits
from tests.support.polling import eventually
from tests.support.raw_upstream import answering, silent, upstream


class Waiting:
    """A receiver that notes what it is told."""

    def __init__(self) -> None:
        self.connection: UpstreamConnection | None = None
        self.error: GatewayError | None = None

    def connected(self, connection: UpstreamConnection) -> None:
        self.connection = connection

    def failed(self, error: GatewayError, stale: bool) -> None:
        self.error = error


class NoSocket:
    """A transport that can be thrown away."""

    def abort(self) -> None:
        pass


def add(pool: Pool, born: float = 100.0, idle_since: float = 100.0) -> UpstreamConnection:
    connection = UpstreamConnection(pool, 4096)
    connection.transport = NoSocket()  # type: ignore[assignment]
    connection.born, connection.idle_since = born, idle_since
    pool.connections.add(connection)
    pool.idle.append(connection)
    return connection


def test_last_in_first_out() -> None:
    pool = Pool("h", 1, PoolLimits())
    first, second = add(pool), add(pool)
    receiver: Any = Waiting()
    assert pool.take(receiver, 101.0) is second
    assert pool.take(receiver, 101.0) is first
    assert second.receiver is receiver
    assert (pool.active, pool.idle) == (2, [])


@pytest.mark.parametrize(("options", "kept"), [({"idle": 10.0}, False), ({"max_age": 10.0}, False), ({}, True)])
def test_too_old_to_be_taken(options: dict[str, float], kept: bool) -> None:
    pool = Pool("h", 1, limits(max_connections=1, **options))
    connection = add(pool)
    add(Pool("h", 1, PoolLimits()))
    if kept:
        assert pool.take(Waiting(), 110.0) is connection  # type: ignore[arg-type]
        return
    pool.limits = limits(max_connections=0, **options)
    assert pool.take(Waiting(), 110.0) is None  # type: ignore[arg-type]
    assert connection.transport is None
    assert pool.connections == set()


def test_sweep() -> None:
    pool = Pool("h", 1, limits(idle=10.0, max_age=50.0))
    fresh, stale, old = add(pool, 100.0, 145.0), add(pool, 100.0, 100.0), add(pool, 90.0, 145.0)
    pool.sweep(145.0)
    assert pool.idle == [fresh]
    assert pool.connections == {fresh}
    assert (stale.transport, old.transport) == (None, None)


def test_full_queue() -> None:
    pool = Pool("h", 1, limits(max_connections=0, max_queue=1))
    first, second = Waiting(), Waiting()
    assert pool.take(first, 0.0) is None  # type: ignore[arg-type]
    with pytest.raises(GatewayError) as caught:
        pool.take(second, 0.0)  # type: ignore[arg-type]
    assert caught.value.kind is Kind.QUEUE_FULL
    assert pool.waits(first)  # type: ignore[arg-type]
    pool.cancel(first)  # type: ignore[arg-type]
    pool.cancel(first)  # type: ignore[arg-type]
    assert not pool.queue


def test_freed_connection_goes_to_the_longest_waiting() -> None:
    pool = Pool("h", 1, limits(max_connections=1))
    connection = add(pool, born=1e12)
    pool.idle.clear()
    first, second = Waiting(), Waiting()
    pool.take(first, 101.0)  # type: ignore[arg-type]
    pool.take(second, 101.0)  # type: ignore[arg-type]
    pool.release(connection)
    assert (first.connection, second.connection) == (connection, None)
    assert connection.receiver is first
    pool.release(connection)
    assert second.connection is connection
    pool.release(connection)
    assert pool.idle == [connection]


def test_close() -> None:
    pool = Pool("h", 1, PoolLimits())
    idle, busy = add(pool), add(pool)
    pool.idle.remove(busy)
    pool.close()
    assert pool.connections == {busy}
    assert idle.transport is None
    pool.release(busy)
    assert pool.connections == set()


def test_those_in_the_queue_of_a_closed_pool_are_not_forgotten() -> None:
    """Its endpoint is configured no more, and somebody still waits: told so, or served by what is left."""
    pool = Pool("h", 1, limits(max_connections=1))
    connection = add(pool, born=1e12)
    pool.idle.clear()
    receiver = Waiting()
    pool.take(receiver, 101.0)  # type: ignore[arg-type]
    pool.close()
    pool.release(connection)
    assert receiver.connection is not None or receiver.error is not None


def test_address() -> None:
    assert Pool("::1", 80, PoolLimits()).address == "[::1]:80"
    assert Pool("a.example", 80, PoolLimits()).address == "a.example:80"


async def test_connects_and_hands_over() -> None:
    async with upstream(answering) as service:
        pool = Pool("127.0.0.1", service.port, PoolLimits())
        receiver = Waiting()
        assert pool.take(receiver, 0.0) is None  # type: ignore[arg-type]
        await eventually(lambda: receiver.connection)
        assert len(pool.connections) == 1
        assert repr(pool).endswith("active=1 idle=0 connecting=0 queued=0>")
        receiver.connection.close()  # type: ignore[union-attr]
        assert not pool.connections


async def test_abandoned_connect_is_kept_for_the_next() -> None:
    async with upstream(answering) as service:
        pool = Pool("127.0.0.1", service.port, PoolLimits())
        receiver = Waiting()
        pool.take(receiver, 0.0)  # type: ignore[arg-type]
        pool.cancel(receiver)  # type: ignore[arg-type]
        await eventually(lambda: pool.idle)
        assert receiver.connection is None
        pool.close()
        await eventually(lambda: not pool.connections)


@pytest.mark.parametrize("abandoned", [False, True])
async def test_connection_that_died_before_it_was_handed_over(abandoned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service accepts and hangs up at once; the connect is reported after that."""

    async def dead(factory: Any, host: str, port: int) -> tuple[None, UpstreamConnection]:
        connection = factory()
        connection.connection_made(NoTransport())
        connection.connection_lost(None)
        await asyncio.sleep(0)
        return None, connection

    class NoTransport(NoSocket):
        def set_write_buffer_limits(self, high: int, low: int) -> None:
            pass

    pool = Pool("h", 1, limits(max_connections=1))
    receiver = Waiting()
    original = asyncio.get_running_loop

    class Loop:
        def __getattr__(self, name: str) -> Any:
            return dead if name == "create_connection" else getattr(original(), name)

    monkeypatch.setattr("gateway.wire.pool.asyncio.get_running_loop", Loop)
    pool.take(receiver, 0.0)  # type: ignore[arg-type]
    if abandoned:
        pool.cancel(receiver)  # type: ignore[arg-type]
    await eventually(lambda: not pool.connecting)
    monkeypatch.undo()
    assert not pool.connections, "a dead connection takes a place"
    assert not pool.idle, "a dead connection would be handed out"
    if not abandoned:
        assert receiver.error is not None
        assert receiver.error.answer.status == 502


# connections that begin with a PROXY header


def client_at(port: int) -> Any:
    """A receiver whose client came from this port."""
    waiting: Any = Waiting()
    told = Addresses("192.0.2.7", port, "192.0.2.8", 80)
    waiting.exchange = SimpleNamespace(client=SimpleNamespace(told=told, transport=None))
    return waiting


async def test_a_connection_is_its_clients_alone() -> None:
    async with upstream(silent) as service:
        pool = Pool("127.0.0.1", service.port, limits(proxy_protocol="v1", max_connections=2))
        first, second, third = (client_at(port) for port in (1, 2, 3))
        for receiver in (first, second):
            assert pool.take(receiver, time.monotonic()) is None
            await eventually(lambda one=receiver: one.connection)
        assert first.connection.header == b"PROXY TCP4 192.0.2.7 192.0.2.8 1 80\r\n"
        assert pool.take(third, time.monotonic()) is None
        assert pool.waits(third)
        before = first.connection
        pool.release(first.connection)
        assert before.transport is None, "its place is given to who waits"
        await eventually(lambda: third.connection)
        assert third.connection.header.endswith(b" 3 80\r\n")
        for receiver in (second, third):
            pool.release(receiver.connection)
        assert pool.take(client_at(2), time.monotonic()) is second.connection
        pool.release(second.connection)
        # Another client takes the place of what has been idle longest.
        assert pool.take(first, time.monotonic()) is None
        assert third.connection.transport is None
        await eventually(lambda: first.connection is not before)
        assert pool.take(client_at(2), time.monotonic(), fresh=True) is None
        await eventually(lambda: not pool.connecting)
        pool.close()
        for connection in list(pool.connections):
            connection.close()


async def test_a_reload_that_changes_how_connections_begin() -> None:
    async with upstream(silent) as service:
        pool = Pool("127.0.0.1", service.port, PoolLimits())
        one, own = client_at(1), client_at(1)
        pool.take(one, time.monotonic())
        await eventually(lambda: one.connection)
        pool.limits = limits(proxy_protocol="v2")
        pool.release(one.connection)
        assert one.connection.transport is None
        pool.take(own, time.monotonic())
        await eventually(lambda: own.connection)
        pool.limits = PoolLimits()
        pool.release(own.connection)
        assert own.connection.transport is None
        assert not pool.connections


async def test_a_place_for_what_is_no_request() -> None:
    pool = Pool("h", 1, limits(max_connections=1))
    idle, held = add(pool), NoSocket()
    assert pool.hold(held)  # type: ignore[arg-type]
    assert idle.transport is None, "idle ones make room"
    assert not pool.hold(NoSocket())  # type: ignore[arg-type]
    assert pool.active == 1
    pool.forget(held)  # type: ignore[arg-type]
    assert pool.active == 0


async def test_a_unix_socket(tmp_path: Path) -> None:
    pool = Pool(f"unix:{tmp_path}/a", 0, PoolLimits())
    assert (pool.address, pool.authority) == (f"unix:{tmp_path}/a", "localhost")
    assert pool.origin == f"http://unix:{tmp_path}/a:"
    receiver = client_at(1)
    pool.take(receiver, 0.0)
    await eventually(lambda: receiver.error)
    assert receiver.error.kind is Kind.CONNECT_FAILED
