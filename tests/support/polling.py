"""Waiting for something to become true, with a bound and without a guess at how long it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

# Only a test that fails waits as long. A machine whose time is taken away needs several seconds to start a process.
PATIENCE = 20.0
Result = TypeVar("Result")


async def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Return once `condition()` is true. AssertionError, with what is there instead, when it never is."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(what or f"never true: {condition}") from None


async def soon(awaitable: Awaitable[Result]) -> Result:
    """Await, but not for ever."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable


async def turns(count: int = 20) -> None:
    """Let the loop go round a few times, so that what is ready to happen has happened."""
    for _ in range(count):
        await asyncio.sleep(0)
