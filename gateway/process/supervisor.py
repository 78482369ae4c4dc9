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
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from gateway.process import systemd
from gateway.process.backoff import Backoff
from gateway.process.channel import Channel, Gone, Refusal
from gateway.process.figures import Figures
from gateway.process.forking import fork
from gateway.process.predecessor import OldWorker, memory_answers
from gateway.process.reloading import Change, LoadResult, Outcome
from gateway.process.versions import Version, Versions
from gateway.state.board import Board
from gateway.state.memory import MemoryShared

log = logging.getLogger("gateway.process")
# A worker that answers nothing for so long hangs. Between two questions pass so many seconds.
HUNG_SECONDS = 30.0
PING_SECONDS = 5.0
# What a worker may take, beyond the time that requests have, to stop plugins and write logs.
STOP_SECONDS = 10.0

Serve = Callable[[int, socket.socket, Sequence[socket.socket], socket.socket], int]


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
    """Mutable state: the children by their process ids, the workers that were before it by theirs, the backoff of each
    slot, whether it stops, and what is the gateway's: versions, the last word of the disk, figures, memory, board."""

    def __init__(
        self,
        serve: Serve,
        sockets: Sequence[Sequence[socket.socket]],
        admin: socket.socket,
        drain: float,
        first: Version,
        memory: MemoryShared,
        old: Sequence[OldWorker] = (),
    ) -> None:
        """`serve` is a worker's whole life: it gets its slot, its end of the channel, the slot's listening sockets and
        the admin listener's. `sockets` are those of each slot, `drain` is in seconds, `old` the workers that serve
        until new ones do."""
        self._serve = serve
        self._sockets = sockets
        self._admin = admin
        self._drain = drain
        self.versions = Versions()
        self.versions.add(first)
        self.on_disk = first.kept
        self.board = Board.create(len(sockets)) if len(sockets) > 1 else None
        self.memory = memory
        self.restarting = asyncio.Event()
        self._started = False
        self._figures = Figures(lambda: self.living)
        self._old = {worker.pid: worker for worker in old}
        self._old_ends = {worker.pid: asyncio.get_running_loop().create_future() for worker in old}
        self._children: dict[int, Child] = {}
        self._backoffs = [Backoff() for _ in sockets]
        self._changing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def version(self) -> int:
        """The number of the configuration in service."""
        newest = self.versions.newest
        assert newest is not None
        return newest.number

    @property
    def living(self) -> list[Child]:
        """The workers that serve, in the order of their slots."""
        found = [child for child in self._children.values() if not child.leaving and _succeeded(child.ready)]
        return sorted(found, key=lambda child: child.slot)

    async def start(self) -> None:
        """Start all workers. NotStarted when one cannot: then none is left."""
        if self._old:
            self._started = True
            await self._take_over()
            return
        children = [await self._spawn(slot) for slot in range(len(self._sockets))]
        try:
            for child in children:
                await child.ready
        except (NotStarted, Gone) as error:
            await self.stop()
            raise NotStarted(str(error) or "a worker ended while it started") from None
        self._started = True

    async def _take_over(self) -> None:
        """One slot after the other: a new worker serves, then the old one is told to end."""
        for slot in range(len(self._sockets)):
            child = await self._spawn(slot)
            with contextlib.suppress(NotStarted, Gone):
                # One that cannot start is tried again later, and the old one goes on.
                await asyncio.shield(child.ready)

    async def stop(self) -> None:
        """Tell all workers to end, and wait until they have."""
        self._stopping.set()
        for sockets in self._sockets:
            for sock in sockets:
                sock.close()
        self._admin.close()
        for worker in self._old.values():
            worker.channel.tell("leave")
        await self._end(list(self._children.values()))
        if self._old_ends:
            _, left = await asyncio.wait(self._old_ends.values(), timeout=self._drain + STOP_SECONDS)
            for pid, end in self._old_ends.items():
                if end in left:
                    self._kill(pid)

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
                "restart": self.restarting.set,
                "gather": partial(self._figures.gather, child),
                "tell": partial(self._figures.tell, child),
                "remains": partial(self._figures.note, pid),
                **memory_answers(self.memory),
            },
            partial(self._hung_up, child),
        )
        self._children[pid] = child
        self._figures.begin(pid)
        await loop.create_unix_connection(lambda: child.channel, sock=mine)
        self._keep(self._watch(child))
        return child

    def _become_worker(self, slot: int, supervisors: socket.socket, own: socket.socket) -> int:
        """In the child: let go of what is others', or its end would never be seen."""
        controls = [child.control for child in self._children.values()]
        for sock in (supervisors, *controls, *(worker.control for worker in self._old.values())):
            sock.close()
        for number, sockets in enumerate(self._sockets):
            if number != slot:
                for sock in sockets:
                    sock.close()
        return self._serve(slot, own, self._sockets[slot], self._admin)

    async def _is_ready(self, child: Child, version: int) -> None:
        async with self._changing:
            newest = self.versions.newest
            if newest is not None and version != newest.number:
                # There was a reload while it started.
                outcome = await self._prepared(child, Change(newest.why, newest.kept, newest.restored))
                if outcome is None or not outcome.accepted:
                    self._has_failed(child, f"it refuses configuration {newest.number}, which is in service")
                    self._kill(child.pid)
                    return
                await child.channel.ask("commit", newest)
            if not child.ready.done():
                child.ready.set_result(None)
            # From here on it hears of changes itself: none falls between.
            for what, arguments in self._figures.words():
                await child.channel.ask("answer", what, arguments)
        for worker in [one for one in self._old.values() if one.slot == child.slot or one.slot >= len(self._sockets)]:
            # The channel stays open: what is under way there needs the memory to its end.
            worker.channel.tell("retire")

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
            child, old = self._children.pop(pid, None), self._old_ends.pop(pid, None)
            if child is not None:
                self._figures.end(pid)
                if self.board is not None:
                    self.board.clear_seat(child.slot)
                child.ended.set_result(os.waitstatus_to_exitcode(status))
            elif old is not None:
                self._old.pop(pid, None)
                old.set_result(None)

    async def _watch(self, child: Child) -> None:
        """See whether it still answers, and when it ends unasked start another."""
        pings = asyncio.get_running_loop().create_task(self._ping(child))
        code = await child.ended
        pings.cancel()
        if child.leaving or self._stopping.is_set() or not self._started:
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

    async def _end(self, children: Sequence[Child]) -> None:
        """Tell them to leave, and wait until they have. One that takes too long is killed."""
        for child in children:
            child.leaving = True
            child.channel.tell("leave")
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

    async def reload(self, change: Change, base: int | None = None) -> bool | None:
        """A new configuration in all workers, or in none. None when the version in service is not `base`."""
        async with self._changing:
            if base is not None and base != self.version:
                return None
            systemd.notify(systemd.reloading())
            try:
                return await self._reload(change)
            finally:
                systemd.notify(systemd.READY)

    async def _reload(self, change: Change) -> bool:
        workers = self.living
        if not workers:
            raise Refusal("no worker serves just now")
        # The first one reads the files; the others get what it has read.
        outcome = await self._prepared(workers[0], change)
        if outcome is None:
            raise Refusal("the worker that was to read the configuration has ended; ask again")
        if change.kept is None:
            self.on_disk = outcome.kept
        outcomes: list[Outcome | None] = [outcome]
        if outcome.accepted:
            same = replace(change, kept=outcome.kept)
            outcomes += await asyncio.gather(*(self._prepared(child, same) for child in workers[1:]))
        # One that has just ended has a successor, which begins with what is in service by then.
        found = [(child, one) for child, one in zip(workers, outcomes, strict=False) if one is not None]
        accepted = all(one.accepted for _, one in found)
        if accepted:
            version = outcome.version(self.version + 1, change)
            self.versions.add(version)
            for child, _ in found:
                with contextlib.suppress(Gone, Refusal):
                    await child.channel.ask("commit", version)
        else:
            refusal = next(one.result for _, one in found if not one.accepted)
            refused = [child for child, one in found if not one.accepted]
            for child in workers:
                if child not in refused:
                    with contextlib.suppress(Gone, Refusal):
                        await child.channel.ask("discard", refusal)
        reporter = next((child for child, one in found if one.accepted == accepted), None)
        if reporter is not None:
            reporter.channel.tell("report", accepted)
        return accepted

    async def hang_up(self) -> None:
        """Log files that were moved away are opened anew, and the configuration is read again."""
        for child in self.living:
            child.channel.tell("reopen_logs")
        await self.reload(Change())

    async def detach(self) -> list[tuple[int, int, socket.socket]]:
        """Nothing is said to this supervisor any more: (slot, pid, channel) of the workers that go on meanwhile, those
        that retire included."""
        workers: list[Child | OldWorker] = [*self.living, *self._old.values()]
        for child in workers:
            with contextlib.suppress(Gone, Refusal):
                await child.channel.ask("detach", timeout=PING_SECONDS)
        end = time.monotonic() + PING_SECONDS
        while not all(child.channel.is_quiet for child in workers) and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        # Of who has ended meanwhile there is no channel to hand on.
        return [(child.slot, child.pid, child.control) for child in workers if child.channel.is_open]

    async def _prepared(self, child: Child, change: Change) -> Outcome | None:
        """None for a worker that has ended."""
        try:
            outcome: Outcome = await child.channel.ask("prepare", change)
        except Gone:
            return None
        except Refusal as refusal:
            log.error("worker %s (%s) cannot prepare: %s", child.slot, child.pid, refusal)
            return Outcome(False, "", self.on_disk, LoadResult(time.time(), False, (), ()))
        return outcome

    def __repr__(self) -> str:
        return f"<Supervisor {len(self._children)} workers, configuration {self.version}>"


def _succeeded(future: asyncio.Future[None]) -> bool:
    return future.done() and future.exception() is None


def _soon(pause: float) -> str:
    return f"in {pause:g} s" if pause else "at once"
