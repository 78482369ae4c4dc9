"""The store that plugins share is that of the first configuration, as long as the worker lives."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.plugin import SharedUnavailable
from gateway.process.runtime import Runtime
from gateway.state.memory import MemoryShared
from tests.support.gateways import request
from tests.support.polling import eventually, soon
from tests.support.runtimes import HEAD, PING, running, write_config, write_plugin
from tests.support.servers import redis_server

COUNTER = '''
from gateway.plugin import Plugin, Reply, SharedUnavailable

class Counter(Plugin):
    """Answers with how often it was asked, by all instances."""

    async def start(self):
        await self.env.shared.add("starts")

    async def admit(self, exchange):
        try:
            return Reply.text(200, str(await self.env.shared.add("calls", 1, 60)))
        except SharedUnavailable:
            return Reply.text(503, "no state")
'''
PLUGINS = "plugins: [counter]\n"


async def count(worker: object) -> bytes:
    async with worker.client() as client:  # type: ignore[attr-defined]
        answer: bytes = (await client.ask(request("/ping"))).body
        return answer


async def test_instances_share_a_redis_server(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as server:
        text = f"{HEAD}{PING}{PLUGINS}state: {{redis: {{url: 'redis://{server.address}', timeout: 10s}}}}\n"
        for name in "ab":
            (tmp_path / name).mkdir()
            write_plugin(tmp_path / name, "counter", COUNTER)
        async with running(tmp_path / "a", text) as a, running(tmp_path / "b", text) as b:
            assert [await count(a), await count(b), await count(a)] == [b"1", b"2", b"3"]
            store = a.runtime.env.shared
            a.write(text + "name: other\n")
            assert await a.runtime.reload(), a.runtime.last.texts
            assert a.runtime.env.shared is store
            assert await count(a) == b"4"
        assert server.ask("GET", "aiogate:starts") == b"$1\r\n2\r\n"
        await eventually(lambda: b"name=aiogate" not in server.ask("CLIENT", "LIST"), "a stop closes what was opened")


async def test_a_redis_server_that_is_not_there_does_not_keep_it_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_plugin(tmp_path, "counter", COUNTER.replace("async def start", "async def later"))
    async with running(tmp_path, HEAD + PING + PLUGINS + "state: {redis: 'redis://127.0.0.1:1'}\n") as worker:
        assert await count(worker) == b"no state"
        with pytest.raises(SharedUnavailable):
            await soon(worker.runtime.env.shared.get("a"))
    assert any("redis://127.0.0.1:1 is taken as down until it answers" in text for text in caplog.messages)


@pytest.mark.parametrize("state", ("state: {memory: {entries: 5}}\n", "state: {redis: 'redis://127.0.0.1:1'}\n"))
async def test_a_reload_cannot_change_it(tmp_path: Path, state: str) -> None:
    async with running(tmp_path) as worker:
        store = worker.runtime.env.shared
        assert isinstance(store, MemoryShared)
        worker.write(HEAD + PING + state)
        assert not await worker.runtime.reload()
        (problem,) = worker.runtime.problems
        assert "a reload cannot change where state is kept; for that type: gateway restart" in str(problem)
        assert problem.position.line == HEAD.count("\n") + PING.count("\n") + 1
        assert worker.runtime.env.shared is store

        # What is wrong besides is told as well.
        worker.write(HEAD + "plugins: [nothing]\n" + PING + state)
        assert not await worker.runtime.reload()
        assert len(worker.runtime.problems) == 2
        worker.write(HEAD + PING + "state: {memory: {entries: 100000}}\n")
        assert await worker.runtime.reload(), worker.runtime.last.texts


async def test_memory_has_the_entries_that_the_configuration_says(tmp_path: Path) -> None:
    async with running(tmp_path, HEAD + PING + "state: {memory: {entries: 5}}\n") as worker:
        assert repr(worker.runtime.env.shared) == "<MemoryShared 0 of 5 entries>"


async def test_memcached_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiomcache", None)
    monkeypatch.delitem(sys.modules, "gateway.state.memcached", raising=False)
    runtime = Runtime(write_config(tmp_path, HEAD + PING + "state: {memcached: '127.0.0.1'}\n"), {})

    with pytest.raises(ConfigError, match=r"needs the package aiomcache; run: pip install 'aiogate\[memcached\]'"):
        await runtime.start()
    await runtime.stop()
