"""What `gateway demo` does: the sample services and a gateway as children, until a signal comes or one of them ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from gateway.config.fields import Bind
from gateway.demo.plan import Plan, connectable, make_plan

SERVICES_READY_WITHIN = 15.0
GATEWAY_READY_WITHIN = 30.0
STOP_WITHIN = 10.0
POLL_EVERY = 0.1


class DemoFailed(Exception):
    """Why the demo cannot go on, in a sentence for whoever started it."""


class _Stopped(Exception):
    """A signal came."""


@dataclass
class _Child:
    name: str
    process: asyncio.subprocess.Process
    ended: asyncio.Task[int] = field(init=False)

    def __post_init__(self) -> None:
        self.ended = asyncio.create_task(self.process.wait())

    def failure(self) -> DemoFailed:
        """What to say when it ended by itself."""
        code = self.ended.result()
        how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        return DemoFailed(f"{self.name} ended {how}; what it said is above")

    async def stop(self, hurry: asyncio.Event) -> None:
        """SIGTERM; SIGKILL when it has not ended in time, or at once in a hurry."""
        if not self.ended.done():
            self._signal(signal.SIGTERM)
            waits = asyncio.create_task(hurry.wait())
            await asyncio.wait({self.ended, waits}, timeout=STOP_WITHIN, return_when=asyncio.FIRST_COMPLETED)
            waits.cancel()
            if not self.ended.done():
                self._signal(signal.SIGKILL)
        await self.ended

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


class _Demo:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.children: list[_Child] = []

    def on_signal(self) -> None:
        """The first signal stops in order, the second at once."""
        (self.hurry if self.stop.is_set() else self.stop).set()

    async def run(self) -> None:
        """Everything from start to a stop by a signal; DemoFailed otherwise."""
        plan = self.plan
        for name, bind in plan.binds():
            _require_free(name, bind)
        services = await self._start("the sample services", plan.services_command)
        await self._until_ready(services, plan.health_urls, SERVICES_READY_WITHIN)
        gateway = await self._start("the gateway", plan.gateway_command)
        await self._until_ready(gateway, [plan.ready_url], GATEWAY_READY_WITHIN)
        print(plan.greeting(), flush=True)
        await self._first_of(asyncio.create_task(self.stop.wait()), within=None)

    async def finish(self) -> None:
        """Stop the children, the last started first, so that the gateway can drain."""
        for child in reversed(self.children):
            await child.stop(self.hurry)

    async def _start(self, name: str, command: Sequence[str]) -> _Child:
        # A session of its own: Ctrl-C then reaches this process alone, which stops the children in order.
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
        )
        child = _Child(name, process)
        self.children.append(child)
        return child

    async def _until_ready(self, child: _Child, urls: Sequence[str], within: float) -> None:
        try:
            await self._first_of(asyncio.create_task(_all_answer(urls)), within)
        except TimeoutError:
            raise DemoFailed(f"{child.name} did not get ready in {within:g} s ({', '.join(urls)})") from None

    async def _first_of(self, task: asyncio.Task[object], within: float | None) -> None:
        """Wait for `task`, but no longer than until a signal comes or a child ends."""
        stop = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait(
                {task, stop, *(child.ended for child in self.children)},
                timeout=within,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if self.stop.is_set():
                raise _Stopped
            for child in self.children:
                if child.ended.done():
                    raise child.failure()
            if not task.done():
                raise TimeoutError
            task.result()
        finally:
            task.cancel()
            stop.cancel()


async def _all_answer(urls: Sequence[str]) -> None:
    """Return once every URL has answered 200."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        for url in urls:
            await _answers(session, url)


async def _answers(session: aiohttp.ClientSession, url: str) -> None:
    while True:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(url) as response:
                if response.status == 200:
                    return
        await asyncio.sleep(POLL_EVERY)


def _require_free(name: str, bind: Bind) -> None:
    """Say now what would otherwise be found out by a stranger's answer on that port."""
    if bind.path:
        raise DemoFailed(f"{name} would listen on {bind}: give the demo another with --bind or --admin HOST:PORT")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            bind.host or "0.0.0.0", bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise DemoFailed(
            f"{name} cannot have {bind}: {error.strerror}. Is another demo or gateway running? "
            f"To see: curl -i http://{connectable(bind)}/"
        ) from None


async def run_plan(plan: Plan) -> int:
    """Run it until a signal comes; the exit code."""
    demo = _Demo(plan)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, demo.on_signal)
    code = 0
    try:
        await demo.run()
    except _Stopped:
        print("stopping", flush=True)
    except DemoFailed as failure:
        print(f"gateway demo: {failure}", file=sys.stderr)
        code = 1
    finally:
        await demo.finish()
    return code


async def run_demo(config: Path | None = None, gateway_argv: Sequence[str] = ()) -> int:
    """The sample services and the gateway on `config`, else on ./routes.yaml, else on the packaged routes."""
    return await run_plan(make_plan(config, gateway_argv))
