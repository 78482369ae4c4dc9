"""A worker, told by hand what its supervisor would tell it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.config.fields import Bind
from gateway.process.channel import Channel
from gateway.process.gateway_memory import GatewayMemory
from gateway.process.reloading import Change
from gateway.process.runtime import Runtime
from gateway.process.sockets import open_sockets
from gateway.process.worker import Worker
from tests.support.gateways import request
from tests.support.polling import eventually, soon
from tests.support.raw_client import connected
from tests.support.runtimes import HEAD, PING, write_config


class Boss:
    """The supervisor's side. `heard` is what the worker has said."""

    def __init__(self, runtime: Runtime) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.reloads: list[bool | None] = []
        self.runtime = runtime
        self.sock, self.admin = (open_sockets(Bind("127.0.0.1", 0))[0] for _ in range(2))
        self.port, self.admin_port = self.sock.getsockname()[1], self.admin.getsockname()[1]
        self.channel = Channel(
            {
                "ready": lambda *given: self.heard.append(("ready", *given)),
                "failed": lambda *given: self.heard.append(("failed", *given)),
                "reload": self._reload,
                "remains": lambda *given: None,
            },
            lambda: None,
        )

    def _reload(self, change: Change, base: int | None) -> bool | None:
        self.heard.append(("reload", change.why, base))
        return self.reloads.pop(0)

    async def admin_status(self, path: str, method: str = "GET", condition: str = "*") -> int:
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        headers = {"If-Match": condition}
        async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as response:
            return response.status


@contextlib.asynccontextmanager
async def employed(folder: Path, text: str = HEAD + PING) -> AsyncIterator[tuple[Boss, asyncio.Task[int]]]:
    memory = GatewayMemory()
    runtime = Runtime(write_config(folder, text), {}, memory=memory)
    runtime.prepare()
    boss = Boss(runtime)
    mine, its = socket.socketpair()
    await asyncio.get_running_loop().create_unix_connection(lambda: boss.channel, sock=mine)
    serving = asyncio.create_task(Worker(runtime, memory, its, False).serve([(boss.sock, None)], boss.admin))
    try:
        await eventually(lambda: boss.heard)
        yield boss, serving
    finally:
        boss.channel.close()
        with contextlib.suppress(asyncio.CancelledError):
            await soon(serving)
        for listener in runtime.listeners:
            listener.stop_accepting()
            listener.abort()
        boss.sock.close()


async def test_it_serves_until_it_is_told_to_leave(tmp_path: Path) -> None:
    async with employed(tmp_path) as (boss, serving):
        assert boss.heard == [("ready", 1)]
        async with connected(boss.port) as client:
            assert (await client.ask(request("/ping"))).status == 200
        assert await boss.admin_status("/readyz") == 200
        await soon(boss.channel.ask("leave"))
        assert await soon(serving) == 0


async def test_while_the_gateway_leaves_it_says_so_and_still_accepts_for_the_grace(tmp_path: Path) -> None:
    async with employed(tmp_path, HEAD + "timeouts: {grace: 20s}\n" + PING) as (boss, serving):
        await soon(boss.channel.ask("leave"))
        assert await boss.admin_status("/readyz") == 503
        async with connected(boss.port) as client:
            answer = await client.ask(request("/ping"))
            assert (answer.status, answer.get("connection")) == (200, None)
        assert not serving.done()
        serving.cancel()


async def test_one_whose_successor_has_taken_over_ends_and_does_not_answer_for_the_gateway(tmp_path: Path) -> None:
    async with employed(tmp_path) as (boss, serving):
        await soon(boss.channel.ask("retire"))
        assert await soon(serving) == 0
        with pytest.raises(aiohttp.ClientConnectorError):
            await boss.admin_status("/readyz")


async def test_without_a_supervisor_it_ends(tmp_path: Path) -> None:
    async with employed(tmp_path) as (boss, serving):
        boss.channel.close()
        assert await soon(serving) == 0


async def test_one_that_cannot_start_says_why(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "broken.py").write_text(
        "from gateway.plugin import Plugin\nclass Broken(Plugin):\n"
        "    async def start(self):\n        raise RuntimeError('no')\n"
    )
    async with employed(tmp_path, HEAD + "plugins: [broken]\n" + PING) as (boss, serving):
        ((what, why),) = boss.heard
        assert what == "failed"
        assert "the plugin 'broken' did not start: RuntimeError: no" in why
        assert await soon(serving) == 2


async def test_its_reload_is_that_of_all_workers(tmp_path: Path) -> None:
    async with employed(tmp_path) as (boss, _):
        boss.reloads = [True, False, None]
        assert await boss.admin_status("/api/reload", "POST") == 200
        assert await boss.admin_status("/api/reload", "POST", '"1"') == 422
        assert await boss.admin_status("/api/reload", "POST", '"1"') == 412
        assert await boss.admin_status("/api/reload", "POST", '"4"') == 412
        assert boss.heard[1:] == [("reload", "reload", None), ("reload", "reload", 1), ("reload", "reload", 1)]
