"""A worker starts whole or not at all; a reload changes what it can, keeps what it may, and refuses the rest."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.config.fields import Bind
from gateway.errors import ConfigError
from gateway.process import runtime as runtime_module
from gateway.process.reloading import VersionChanged
from gateway.process.runtime import Runtime
from tests.support.gateways import request
from tests.support.polling import eventually, soon
from tests.support.raw_upstream import answering, held_until, silent, upstream
from tests.support.runtimes import HEAD, PING, Running, events, prepared, running, write_config, write_plugin

UPSTREAM = "upstreams:\n  up: {endpoints: ['http://127.0.0.1:%d']}\n"
ALL = "routes: [{name: all, to: up}]\n"


def reloads(worker: Running) -> dict[str, float]:
    family = worker.runtime.metrics.counter("gateway_config_reloads_total", "", ("result",))
    return {labels[0]: child.value for labels, child in family.children.items()}


async def status(worker: Running, target: str) -> int:
    async with worker.client() as client:
        return (await client.ask(request(target))).status


async def test_a_reload_changes_the_routes(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        assert await status(worker, "/ping") == 200
        digest = worker.runtime.proxy.table.digest
        worker.write(HEAD + PING.replace("/ping", "/other"))
        assert await worker.runtime.reload()
        assert [await status(worker, "/ping"), await status(worker, "/other")] == [404, 200]
        assert (worker.runtime.version, worker.runtime.last.accepted) == (2, True)
        assert worker.runtime.proxy.table.version == 2
        assert worker.runtime.proxy.table.digest != digest
        assert reloads(worker) == {"success": 1, "failure": 0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 2\n", "version"),
        ("routes: [\n", "routes.yaml:"),
        ("", "empty"),
        (HEAD + PING + "plugins: [nothing]\n", "no plugin is named 'nothing'"),
        (
            HEAD.replace("listeners: [{bind: '127.0.0.1:0'}]", "listeners: [{bind: '127.0.0.1:1'}]") + PING,
            "where the gateway",
        ),
        (HEAD.replace("admin: {bind: '127.0.0.1:0'}", "admin: {bind: '127.0.0.1:1'}") + PING, "move the admin"),
        (HEAD + "plugins: [probe: {fails: true, key: geheim}]\n", "the plugin 'probe' did not start: RuntimeError"),
        (HEAD + "plugins: [broken]\n", "SyntaxError"),
        (HEAD + "plugins: [cors]\n", "the plugin name 'cors' is taken twice"),
    ],
)
async def test_a_wrong_configuration_never_replaces_a_good_one(tmp_path: Path, text: str, said: str) -> None:
    write_plugin(tmp_path, "probe")
    async with running(tmp_path) as worker:
        runtime = worker.runtime
        before = runtime.generation
        write_plugin(tmp_path, "broken", "def (")
        if "cors" in text:
            write_plugin(tmp_path, "cors")
        worker.write(text)
        assert not await runtime.reload()
        assert runtime.generation is before
        assert runtime.version == 1
        assert any(said in problem for problem in runtime.last.texts), runtime.last.texts
        assert "geheim" not in "".join(runtime.last.texts)
        assert await status(worker, "/ping") == 200
        assert reloads(worker) == {"success": 0, "failure": 1}
        for name in ("broken.py", "cors.py"):
            (tmp_path / "plugins" / name).unlink(missing_ok=True)
        worker.write(HEAD + PING)
        assert await runtime.reload(), runtime.last.texts
        assert runtime.last.accepted


async def test_a_crash_of_the_compiler_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> None:
        raise ZeroDivisionError("oh")

    async with running(tmp_path) as worker:
        monkeypatch.setattr(runtime_module, "compile_table", crash)
        assert not await worker.runtime.reload()
        assert "ZeroDivisionError: oh" in worker.runtime.last.texts[-1]
        assert await status(worker, "/ping") == 200


async def test_plugins_keep_their_state_while_their_options_stay(tmp_path: Path) -> None:
    write_plugin(tmp_path, "probe")
    async with running(tmp_path, HEAD + "plugins: [probe]\n" + PING) as worker:
        runtime = worker.runtime
        (first,) = runtime.generation.plugin("probe")  # type: ignore[union-attr]
        worker.write("# moved down\n" + HEAD + PING + "plugins:\n  - rate_metrics\n  - probe\n")
        assert await runtime.reload()
        assert runtime.generation.plugin("probe") == [first]  # type: ignore[union-attr]
        assert events(runtime) == ["start a"]
        worker.write(HEAD + PING + "plugins: [{probe: {label: b}}]\n")
        assert await runtime.reload()
        await eventually(lambda: events(runtime) == ["start a", "start b", "stop a"])
    assert events(runtime) == ["start a", "start b", "stop a", "stop b"]


async def test_old_plugins_stop_after_the_last_request_that_meets_them(tmp_path: Path) -> None:
    write_plugin(tmp_path, "probe")
    go = asyncio.Event()

    async with upstream(held_until(go)) as service:
        text = HEAD + UPSTREAM % service.port + ALL
        async with running(tmp_path, text + "plugins: [probe]\n") as worker, worker.client() as client:
            client.send(request("/slow"))
            await eventually(lambda: service.requests)
            worker.write(text)
            assert await worker.runtime.reload()
            noted = events(worker.runtime)
            for _ in range(20):
                await asyncio.sleep(0)
            assert noted == ["start a"]
            go.set()
            assert (await client.response()).status == 200
            await eventually(lambda: noted == ["start a", "stop a"])


async def test_retiring_plugins_are_stopped_when_the_worker_stops(tmp_path: Path) -> None:
    write_plugin(tmp_path, "probe")

    async with upstream(silent) as service:
        text = HEAD + UPSTREAM % service.port + ALL
        async with running(tmp_path, text + "plugins: [probe]\n") as worker, worker.client() as client:
            client.send(request("/slow"))
            await eventually(lambda: service.requests)
            worker.write(text)
            assert await worker.runtime.reload()
            noted = events(worker.runtime)
            await worker.runtime.stop()
            assert noted == ["start a", "stop a"]


async def test_endpoints_keep_their_connections_and_get_their_new_weights(tmp_path: Path) -> None:
    async with upstream(answering) as service:
        text = HEAD + UPSTREAM % service.port + ALL
        async with running(tmp_path, text) as worker, worker.client() as client:
            assert (await client.ask(request("/a"))).status == 200
            (endpoint,) = worker.runtime.proxy.table.upstreams["up"].endpoints
            endpoint.state = "drain"
            entry = f"{{url: 'http://127.0.0.1:{service.port}', weight: 3}}"
            worker.write(text.replace(f"'http://127.0.0.1:{service.port}'", entry))
            assert await worker.runtime.reload(), worker.runtime.last.texts
            (kept,) = worker.runtime.proxy.table.upstreams["up"].endpoints
            assert kept is endpoint
            assert (kept.weight, kept.state) == (3, "drain")
            kept.state = "enabled"
            assert (await client.ask(request("/b"))).status == 200
        assert service.connections == 1


async def test_a_removed_endpoint_closes_its_connections(tmp_path: Path) -> None:
    async with (
        upstream(answering) as service,
        running(tmp_path, HEAD + UPSTREAM % service.port + ALL) as worker,
        worker.client() as client,
    ):
        assert (await client.ask(request("/a"))).status == 200
        worker.write(HEAD + UPSTREAM % 9 + ALL)
        assert await worker.runtime.reload()
        await eventually(lambda: service.open == 0)


async def test_a_reload_on_condition_of_a_version(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        with pytest.raises(VersionChanged):
            await worker.runtime.reload({7})
        assert reloads(worker) == {"success": 0, "failure": 0}
        assert await worker.runtime.reload({1, 7})
        assert worker.runtime.version == 2


async def test_reloads_at_the_same_time_go_one_after_the_other(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        assert await asyncio.gather(*(worker.runtime.reload() for _ in range(3))) == [True] * 3
        assert worker.runtime.version == 4


async def test_settings_of_new_connections_follow(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        worker.write(HEAD + PING + "limits: {request_head: 512B}\n")
        assert await worker.runtime.reload()
        async with worker.client() as client:
            assert (await client.ask(request("/ping", b"A: " + b"a" * 600))).status == 431


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 1\nroutes: [{name: a}]\n", "missing key 'to'"),
        (HEAD + "plugins: [probe: {fails: true}]\n", "routes.yaml:4:11: the plugin 'probe' did not start"),
    ],
)
async def test_a_wrong_configuration_never_starts(tmp_path: Path, text: str, said: str) -> None:
    write_plugin(tmp_path, "probe")
    runtime = Runtime(write_config(tmp_path, text), {})
    with pytest.raises(ConfigError, match=said):
        await runtime.start()
    assert not runtime.ready
    assert not runtime.listeners
    await runtime.stop()


async def test_an_address_that_is_taken(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        text = HEAD.replace("listeners: [{bind: '127.0.0.1:0'}]", f"listeners: [{{bind: '127.0.0.1:{worker.port}'}}]")
        (tmp_path / "b").mkdir()
        second = Runtime(write_config(tmp_path / "b", text), {})
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{worker.port}: address already in use"):
            await second.start()
        await second.stop()


async def test_an_admin_address_for_everybody_needs_a_token(tmp_path: Path) -> None:
    everybody = Bind("0.0.0.0", 0)
    with pytest.raises(ConfigError, match="needs a token"):
        Runtime(write_config(tmp_path, HEAD + PING), {}, admin_bind=everybody).prepare()
    text = HEAD.replace("'127.0.0.1:0'}\n", "'127.0.0.1:0', token: t}\n").replace(
        "[{bind: '127.0.0.1:0', token: t}]", "[{bind: '127.0.0.1:0'}]"
    )
    async with prepared(tmp_path, text + PING, admin_bind=everybody) as worker:
        await worker.runtime.start()
        worker.write(HEAD + PING)
        assert not await worker.runtime.reload(), "a reload must not take the token away"


async def test_a_drain_lets_requests_finish(tmp_path: Path) -> None:
    go = asyncio.Event()

    async with (
        upstream(held_until(go)) as service,
        running(tmp_path, HEAD + UPSTREAM % service.port + ALL) as worker,
        worker.client() as client,
        worker.client() as idle,
    ):
        client.send(request("/slow"))
        await eventually(lambda: service.requests and len(worker.runtime.listeners[0].connections) == 2)
        drain = asyncio.create_task(worker.runtime.drain())
        assert await idle.ends() == "closed"
        assert not worker.runtime.ready
        with pytest.raises(ConnectionRefusedError):
            async with worker.client():
                pass
        go.set()
        answer = await client.response()
        assert (answer.status, answer.get("connection")) == (200, "close")
        await soon(drain)


STATEFUL = """
from gateway.plugin import Plugin, Reply

class Stateful(Plugin):
    count = 0

    def on_request(self, exchange):
        self.count += 1
        return Reply.text(200, f"A {self.count}")
"""


async def test_plugin_code_is_read_again_when_it_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    path = write_plugin(tmp_path, "stateful", STATEFUL)
    write_plugin(tmp_path, "probe")
    async with running(tmp_path, HEAD + "plugins: [probe, stateful]\n" + PING) as worker, worker.client() as client:

        async def said() -> bytes:
            return (await client.ask(request("/ping"))).body

        assert [await said(), await said()] == [b"A 1", b"A 2"]
        assert await worker.runtime.reload()
        assert await said() == b"A 3", "the code is the same, and so is the instance"
        path.write_text(STATEFUL.replace('"A', '"B'))
        assert await worker.runtime.reload()
        assert await said() == b"B 1"
        assert "the plugin 'stateful' runs its new code; what its instances had in memory is gone" in caplog.text
        assert events(worker.runtime) == ["start a"], "others live on"
        path.write_text(STATEFUL + "def (")
        assert not await worker.runtime.reload()
        assert f"SyntaxError: invalid syntax ({path}:10)" in caplog.text
        assert await said() == b"B 2"
        assert await worker.runtime.reload(back_to=1) is False, "code is no part of a version"
        path.write_text(STATEFUL.replace('"A', '"C'))
        assert await worker.runtime.reload(back_to=1)
        assert await said() == b"C 1"
