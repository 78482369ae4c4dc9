"""The supervisor: owns the listening sockets and the workers that accept from them, and serves nothing itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gateway.process.backoff import Backoff
from gateway.process.channel import Channel, Gone, Refusal
from gateway.process.forking import fork

log = logging.getLogger("gateway.process")
# A worker that answers nothing for so long hangs. Between two questions pass so many seconds.
HUNG_SECONDS = 30.0
PING_SECONDS = 5.0
# What a worker may take, beyond the time that requests have, to stop plugins and write logs.
STOP_SECONDS = 10.0

Serve = Callable[[socket.socket, Sequence[socket.socket], socket.socket, int], int]


@dataclass(eq=False, slots=True)
class Child:
    """A worker, as the supervisor sees it. `slot` says whose sockets it accepts from, `began` is monotonic."""

    slot: int
    pid: int
    control: socket.socket
    began: float
    channel: Channel = field(init=False)
    ready: asyncio.Future[None] = field(init=False)
    ended: asyncio.Future[int] = field(init=False)
    leaving: bool = False

    def __repr__(self) -> str:
        return f"<Child {self.slot} pid={self.pid}>"


class NotStarted(Exception):
    """A worker could not start. The text says why."""


class Supervisor:
    """Mutable state: the children by their process ids, the version of the configuration in service, the backoff of
    each slot, and whether it stops."""

    def __init__(
        self, serve: Serve, sockets: Sequence[Sequence[socket.socket]], admin: socket.socket, drain: float
    ) -> None:
        """`serve` is a worker's whole life: it gets its end of the channel, the listening sockets of its slot, the
        admin listener's, and the version in service. `sockets` are those of each slot, `drain` is in seconds."""
        self._serve = serve
        self._sockets = sockets
        self._admin = admin
        self._drain = drain
        self._children: dict[int, Child] = {}
        self._backoffs = [Backoff() for _ in sockets]
        self._changing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.version = 1

    @property
    def living(self) -> list[Child]:
        """The workers that serve, in the order of their slots."""
        found = [child for child in self._children.values() if not child.leaving and _succeeded(child.ready)]
        return sorted(found, key=lambda child: child.slot)

    async def start(self) -> None:
        """Start all workers. NotStarted when one cannot: then none is left."""
        children = [await self._spawn(slot) for slot in range(len(self._sockets))]
        try:
            for child in children:
                await child.ready
        except (NotStarted, Gone) as error:
            await self.stop()
            raise NotStarted(str(error) or "a worker ended while it started") from None

    async def stop(self) -> None:
        """Tell all workers to end, and wait until they have."""
        self._stopping.set()
        for sockets in self._sockets:
            for sock in sockets:
                sock.close()
        self._admin.close()
        await self._end(list(self._children.values()), "leave")

    def kill(self) -> None:
        """End all workers now, whatever they do."""
        for pid in self._children:
            self._kill(pid)

    # children

    async def _spawn(self, slot: int) -> Child:
        """A new worker for the slot; its future `ready` says when it serves. OSError when there is no room for it."""
        mine, others = socket.socketpair()
        with others:
            pid = fork(partial(self._become_worker, slot, mine, others))
        child = Child(slot, pid, mine, time.monotonic())
        loop = asyncio.get_running_loop()
        child.ready, child.ended = loop.create_future(), loop.create_future()
        child.channel = Channel(
            {
                "ready": partial(self._is_ready, child),
                "failed": partial(self._has_failed, child),
                "reload": self.reload,
            },
            partial(self._hung_up, child),
        )
        self._children[pid] = child
        await loop.create_unix_connection(lambda: child.channel, sock=mine)
        self._keep(self._watch(child))
        return child

    def _become_worker(self, slot: int, supervisors: socket.socket, own: socket.socket) -> int:
        """In the child: let go of what is others', or its end would never be seen."""
        for sock in (supervisors, *(child.control for child in self._children.values())):
            sock.close()
        for number, sockets in enumerate(self._sockets):
            if number != slot:
                for sock in sockets:
                    sock.close()
        return self._serve(own, self._sockets[slot], self._admin, self.version)

    async def _is_ready(self, child: Child, version: int) -> None:
        async with self._changing:
            if version != self.version and await self._prepared(child):
                # There was a reload while it started.
                await child.channel.ask("commit", self.version)
            if not child.ready.done():
                child.ready.set_result(None)

    def _has_failed(self, child: Child, why: str) -> None:
        if not child.ready.done():
            child.ready.set_exception(NotStarted(why))

    def _hung_up(self, child: Child) -> None:
        if not child.ready.done():
            child.ready.set_exception(Gone())
        # Who waits for it at the start asks; of others nobody does.
        child.ready.exception()

    def reap(self) -> None:
        """Children that have ended are known to have. For SIGCHLD."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                child.ended.set_result(os.waitstatus_to_exitcode(status))

    async def _watch(self, child: Child) -> None:
        """See whether it still answers, and when it ends unasked start another."""
        pings = asyncio.get_running_loop().create_task(self._ping(child))
        code = await child.ended
        pings.cancel()
        if child.leaving or self._stopping.is_set():
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        failure = child.ready.exception() if child.ready.done() else None
        if isinstance(failure, NotStarted):
            how = f"could not start: {failure}"
        pause = self._backoffs[child.slot].pause(time.monotonic() - child.began)
        log.error("worker %s (%s) %s; another one starts %s", child.slot, child.pid, how, _soon(pause))
        await self._replace(child.slot, pause)

    async def _replace(self, slot: int, pause: float) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
                    return
            try:
                await self._spawn(slot)
            except OSError as error:
                pause = self._backoffs[slot].pause(0.0)
                log.error("worker %s cannot start: %s; again %s", slot, error, _soon(pause))
            else:
                return

    async def _ping(self, child: Child) -> None:
        with contextlib.suppress(Gone, NotStarted):
            await asyncio.shield(child.ready)
            while True:
                await asyncio.sleep(PING_SECONDS)
                try:
                    await child.channel.ask("ping", timeout=HUNG_SECONDS)
                except Gone:
                    if child.channel.is_open:
                        log.error("worker %s (%s) hangs: it is killed", child.slot, child.pid)
                        self._kill(child.pid)
                    return

    async def _end(self, children: Sequence[Child], how: str) -> None:
        """Tell them to `leave` or to `retire`, and wait until they have. One that takes too long is killed."""
        for child in children:
            child.leaving = True
            child.channel.tell(how)
        ends = {child.ended: child for child in children}
        if not ends:
            return
        _, left = await asyncio.wait(ends, timeout=self._drain + STOP_SECONDS)
        for end in left:
            child = ends[end]
            log.error("worker %s (%s) does not end: it is killed", child.slot, child.pid)
            self._kill(child.pid)
        await asyncio.wait(ends)

    def _kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _keep(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # changes

    async def reload(self, base: int | None = None) -> bool | None:
        """A new configuration in all workers, or in none. None when the version in service is not `base`."""
        async with self._changing:
            if base is not None and base != self.version:
                return None
            workers = self.living
            results = await asyncio.gather(*(self._prepared(child) for child in workers))
            accepted = all(results)
            if accepted:
                self.version += 1
            for child, result in zip(workers, results, strict=True):
                with contextlib.suppress(Gone, Refusal):
                    if accepted:
                        await child.channel.ask("commit", self.version)
                    elif result:
                        await child.channel.ask("discard", "another worker refuses it: its log says why")
            for child, result in zip(workers, results, strict=True):
                if result == accepted:
                    child.channel.tell("report", accepted)
                    break
            return accepted

    async def hang_up(self) -> None:
        """Log files that were moved away are opened anew, and the configuration is read again."""
        for child in self.living:
            child.channel.tell("reopen_logs")
        await self.reload()

    async def _prepared(self, child: Child) -> bool:
        try:
            return bool(await child.channel.ask("prepare"))
        except Gone:
            # It has just died: its successor reads what is there by then.
            return True
        except Refusal:
            return False

    def __repr__(self) -> str:
        return f"<Supervisor {len(self._children)} workers, configuration {self.version}>"


def _succeeded(future: asyncio.Future[None]) -> bool:
    return future.done() and future.exception() is None


def _soon(pause: float) -> str:
    return f"in {pause:g} s" if pause else "at once"
