"""Runs a coroutine at once: one that never waits costs no task, one that waits goes on as a task.

Python 3.12 has eager tasks. On 3.11 the first step is driven by hand, under a stand-in for the task: code such as
`asyncio.timeout` asks for the current task before it waits, and what it is given must be able to cancel later.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any

Done = Callable[[Any, BaseException | None], None]


def run_eagerly(coroutine: Coroutine[Any, Any, Any], done: Done) -> asyncio.Task[Any] | None:
    """Start `coroutine` now and call `done(result, error)` when it is over, perhaps before this returns.

    Returns the task when it waits, so that it can be cancelled, else None.
    """
    if sys.version_info >= (3, 12):
        task = asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True)
        if not task.done():
            task.add_done_callback(lambda finished: _report(finished, done))
            return task
        _report(task, done)
        # The traceback of an error holds this frame: a cycle.
        del task
        return None
    return _run_by_hand(coroutine, done)


def _report(task: asyncio.Task[Any], done: Done) -> None:
    error: BaseException | None = asyncio.CancelledError() if task.cancelled() else task.exception()
    done(None if error is not None else task.result(), error)


class _StandIn:
    """What `asyncio.current_task()` gives during the first step; it speaks for the real task once there is one."""

    __slots__ = ("__weakref__", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None

    def cancel(self, msg: Any = None) -> bool:
        return self.task.cancel(msg) if self.task is not None else False

    def cancelling(self) -> int:
        return self.task.cancelling() if self.task is not None else 0

    def uncancel(self) -> int:
        return self.task.uncancel() if self.task is not None else 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)


class _Rest(Coroutine[Any, Any, Any]):
    """A coroutine that has made its first step already: it first yields what that step waits for."""

    __slots__ = ("_inner", "_resumed", "_waits_for")

    def __init__(self, inner: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._inner = inner
        self._waits_for = waits_for
        self._resumed = False

    def send(self, value: Any) -> Any:
        if not self._resumed:
            self._resumed = True
            return self._waits_for
        return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        # A task that is cancelled before its first step throws at once: the coroutine inside must hear of it.
        self._resumed = True
        try:
            return self._inner.throw(*error)
        finally:
            # Its traceback holds this frame: a cycle.
            del error

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()


def _run_by_hand(coroutine: Coroutine[Any, Any, Any], done: Done) -> asyncio.Task[Any] | None:
    loop = asyncio.get_running_loop()
    outer: Any = asyncio.current_task()
    stand_in: Any = _StandIn()
    # As in a task of its own, what it sets in context variables is its own.
    context = copy_context()
    if outer is not None:
        asyncio.tasks._leave_task(loop, outer)
    asyncio.tasks._enter_task(loop, stand_in)
    result: Any = None
    failure: BaseException | None = None
    waits_for: Any = None
    finished = True
    try:
        waits_for = context.run(coroutine.send, None)
        finished = False
    except StopIteration as stop:
        result = stop.value
    except BaseException as error:
        failure = error
    finally:
        asyncio.tasks._leave_task(loop, stand_in)
        if outer is not None:
            asyncio.tasks._enter_task(loop, outer)
    if finished:
        done(result, failure)
        # Its traceback holds this frame, and those that hold the request: a cycle.
        failure = None
        return None
    task = loop.create_task(_Rest(coroutine, waits_for), context=context)
    stand_in.task = task
    task.add_done_callback(lambda over: _report(over, done))
    return task
