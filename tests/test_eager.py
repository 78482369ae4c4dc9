"""Coroutines that run at once, and go on as a task only if they wait."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from typing import Any

import pytest

from gateway.eager import run_eagerly
from tests.support.polling import eventually


class Done:
    """Notes how it ended."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, BaseException | None]] = []

    def __call__(self, result: Any, error: BaseException | None) -> None:
        self.calls.append((result, error))


async def test_over_at_once() -> None:
    async def answer() -> int:
        return 7

    done = Done()
    assert run_eagerly(answer(), done) is None
    assert done.calls == [(7, None)]


async def test_fails_at_once() -> None:
    async def fail() -> None:
        raise ValueError("x")

    done = Done()
    assert run_eagerly(fail(), done) is None
    (call,) = done.calls
    assert call[0] is None
    assert isinstance(call[1], ValueError)


@pytest.mark.parametrize("fails", [True, False])
async def test_waits(fails: bool) -> None:
    gate = asyncio.Event()

    async def wait() -> int:
        await gate.wait()
        await asyncio.sleep(0)
        if fails:
            raise ValueError("x")
        return 7

    done = Done()
    task = run_eagerly(wait(), done)
    assert task is not None
    await asyncio.sleep(0)
    assert done.calls == []
    gate.set()
    await eventually(lambda: done.calls)
    (call,) = done.calls
    assert isinstance(call[1], ValueError) if fails else call == (7, None)


async def test_cancelled() -> None:
    cleaned = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    done = Done()
    task = run_eagerly(wait(), done)
    assert task is not None
    task.cancel()
    await eventually(lambda: done.calls)
    assert isinstance(done.calls[0][1], asyncio.CancelledError)
    assert cleaned == [True]


class Request:
    """What must not outlive the coroutine that works for it."""


@pytest.mark.parametrize("ending", ["fails at once", "fails later", "is cancelled"])
async def test_nothing_is_left_that_only_the_collector_finds(ending: str) -> None:
    async def work(request: Request) -> None:
        if ending == "fails later":
            await asyncio.sleep(0)
        if ending != "is cancelled":
            raise ValueError(request)
        await asyncio.Event().wait()

    over: list[None] = []
    request = Request()
    left = weakref.ref(request)
    gc.disable()
    try:
        task = run_eagerly(work(request), lambda result, error: over.append(None))
        del request
        if task is not None and ending == "is cancelled":
            await asyncio.sleep(0)
            task.cancel()
        del task
        await eventually(lambda: over)
        await eventually(lambda: left() is None, "a cycle holds the request")
    finally:
        gc.enable()


async def test_cancelled_before_its_task_ran_and_caught() -> None:
    async def wait() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "caught"
        return "not cancelled"

    done = Done()
    task = run_eagerly(wait(), done)
    assert task is not None
    task.cancel()
    await eventually(lambda: done.calls)
    assert done.calls[0][0] == "caught" or isinstance(done.calls[0][1], asyncio.CancelledError)


@pytest.mark.parametrize("seconds", [0.0, 0.01])
async def test_timeout_begun_in_the_first_step(seconds: float) -> None:
    async def wait() -> str:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "never"

    done = Done()
    run_eagerly(wait(), done)
    await eventually(lambda: done.calls)
    assert done.calls == [("late", None)]


async def test_wait_for_and_gather_and_groups_in_the_first_step() -> None:
    async def number(value: int) -> int:
        await asyncio.sleep(0)
        return value

    async def work() -> list[int]:
        first = await asyncio.wait_for(number(1), 5)
        second, third = await asyncio.gather(number(2), number(3))
        async with asyncio.TaskGroup() as group:
            fourth = group.create_task(number(4))
        return [first, second, third, fourth.result()]

    done = Done()
    run_eagerly(work(), done)
    await eventually(lambda: done.calls)
    assert done.calls == [([1, 2, 3, 4], None)]


async def test_group_begun_in_the_first_step_fails_as_one() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("x")

    async def work() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                group.create_task(asyncio.Event().wait())
        except ExceptionGroup as group:
            return f"failed {len(group.exceptions)}"
        return "fine"

    done = Done()
    run_eagerly(work(), done)
    await eventually(lambda: done.calls)
    assert done.calls == [("failed 1", None)]


async def test_outside_any_task() -> None:
    """As a connection's callback does it."""
    done = Done()

    async def work() -> bool:
        before = asyncio.current_task() is not None
        await asyncio.sleep(0)
        return before and asyncio.current_task() is not None

    asyncio.get_running_loop().call_soon(lambda: run_eagerly(work(), done))
    await eventually(lambda: done.calls)
    assert done.calls == [(True, None)]


async def test_the_callers_task_is_current_again() -> None:
    async def answer() -> None:
        return None

    task = asyncio.current_task()
    run_eagerly(answer(), Done())
    assert asyncio.current_task() is task
    waiting = run_eagerly(asyncio.sleep(0), Done())
    assert asyncio.current_task() is task
    assert waiting is not None
    await waiting


async def test_current_task_can_be_referred_to_weakly() -> None:
    """anyio, and so httpx and redis clients built on it, keep their state by weak reference to the task."""

    async def work() -> bool:
        return weakref.ref(asyncio.current_task())() is not None  # type: ignore[arg-type]

    done = Done()
    run_eagerly(work(), done)
    assert done.calls == [(True, None)]


async def test_context_variables_do_not_leak_to_the_caller() -> None:
    variable = contextvars.ContextVar("variable", default="outside")

    async def work() -> str:
        variable.set("inside")
        await asyncio.sleep(0)
        return variable.get()

    done = Done()
    run_eagerly(work(), done)
    assert variable.get() == "outside"
    await eventually(lambda: done.calls)
    assert done.calls == [("inside", None)]
