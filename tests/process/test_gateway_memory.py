"""The memory that all workers of a gateway have: it is the supervisor's."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.plugin import SharedUnavailable
from gateway.process import gateway_memory as gateway_memory_module
from gateway.process.channel import Channel
from gateway.process.gateway_memory import GatewayMemory
from gateway.state.memory import MemoryShared
from gateway.testing import FakeClock
from tests.support.polling import soon


@contextlib.asynccontextmanager
async def memories(clock: FakeClock, count: int = 2) -> AsyncIterator[tuple[list[Channel], list[GatewayMemory]]]:
    """Those of so many workers, and the supervisor's ends of their channels."""
    kept = MemoryShared(clock)
    answers = {f"memory_{what}": getattr(kept, what) for what in ("get", "set", "add", "delete")}
    loop, supervisors, found = asyncio.get_running_loop(), [], []
    for _ in range(count):
        memory, ends = GatewayMemory(), socket.socketpair()
        memory.channel = Channel({}, lambda: None)
        supervisors.append(Channel(answers, lambda: None))
        for channel, sock in zip((memory.channel, supervisors[-1]), ends, strict=True):
            await loop.create_unix_connection(lambda channel=channel: channel, sock=sock)
        found.append(memory)
    try:
        yield supervisors, found
    finally:
        for channel in (*supervisors, *(memory.channel for memory in found)):
            assert channel is not None
            channel.close()


async def test_what_one_worker_stores_another_has() -> None:
    async with memories(FakeClock()) as (_, (one, other)):
        await soon(one.start())
        await soon(one.set("key", b"value"))
        assert await soon(other.get("key")) == b"value"
        assert await soon(other.get("another")) is None
        await soon(other.delete("key"))
        assert await soon(one.get("key")) is None
        assert [await soon(memory.add("sum", 2)) for memory in (one, other, one)] == [2, 4, 6]
        await soon(one.close())
        assert await soon(other.get("sum")) == b"6", "a worker that goes leaves it"


async def test_times_to_live() -> None:
    clock = FakeClock()
    async with memories(clock) as (_, (one, other)):
        await soon(one.set("set", b"", 10.0))
        await soon(one.add("sum", 1, 10.0))
        await soon(other.add("sum", 1, 99.0))
        clock.advance(9.0)
        assert (await soon(other.get("set")), await soon(other.get("sum"))) == (b"", b"2")
        clock.advance(1.0)
        assert (await soon(other.get("set")), await soon(other.get("sum"))) == (None, None)


async def test_what_cannot_be_is_refused_as_by_a_memory_of_ones_own() -> None:
    async with memories(FakeClock()) as (_, (one, _)):
        with pytest.raises(ValueError, match=r"^a time to live is more than 0 seconds, not 0$"):
            await soon(one.set("key", b"", 0))
        await soon(one.set("key", b"no number"))
        with pytest.raises(ValueError, match="no number"):
            await soon(one.add("key"))


async def test_before_the_worker_has_started() -> None:
    with pytest.raises(SharedUnavailable, match="the worker has not started"):
        await GatewayMemory().get("key")


async def test_a_supervisor_that_has_gone() -> None:
    async with memories(FakeClock()) as (supervisors, (one, _)):
        supervisors[0].close()
        with pytest.raises(SharedUnavailable, match="the supervisor does not answer"):
            await soon(one.get("key"))


async def test_a_supervisor_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_memory_module, "SECONDS", 0.01)
    memory, (mine, theirs) = GatewayMemory(), socket.socketpair()
    memory.channel = channel = Channel({}, lambda: None)
    with theirs:
        await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=mine)
        with pytest.raises(SharedUnavailable, match="the supervisor does not answer"):
            await soon(memory.add("key"))
        channel.close()
