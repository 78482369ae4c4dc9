"""`gateway restart`, asked of a real gateway: the process begins anew, and nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from pathlib import Path

import pytest
from click.testing import Result

from tests.support.commands import command
from tests.support.gateways import request
from tests.support.polling import PATIENCE, eventually, soon
from tests.support.processes import GatewayProcess, gateway_run
from tests.support.raw_client import connected
from tests.support.raw_upstream import held_until, upstream
from tests.support.runtimes import HEAD, PING, all_to, running, write_config, write_plugin

# What the shared memory holds.
COUNTS = """
from gateway.plugin import Plugin, Reply
class Counts(Plugin):
    async def admit(self, exchange):
        return Reply.text(200, str(await self.env.shared.add("asked")))
"""


async def restart(address: str) -> Result:
    # Two programs start, one after the other.
    async with asyncio.timeout(3 * PATIENCE):
        return await asyncio.to_thread(command, "restart", "--admin", address, "-c", "none.yaml")


async def asked(gateway: GatewayProcess) -> bytes:
    async with connected(await gateway.port()) as client:
        answer = await client.ask(request("/ping"))
        assert answer.status == 200
        return answer.body


@pytest.mark.timeout(120)
async def test_new_workers_take_over(tmp_path: Path) -> None:
    write_plugin(tmp_path, "counts", COUNTS)
    write_config(tmp_path, HEAD + "plugins: [counts]\n" + PING)
    async with gateway_run(tmp_path, "--workers", "2") as gateway:
        address = await gateway.admin()
        before = gateway.workers()
        stop = asyncio.Event()

        async def asks() -> int:
            total = 0
            while not stop.is_set():
                await asked(gateway)
                total += 1
            return total

        asking = asyncio.create_task(asks())
        result = await restart(address)
        stop.set()
        total = await soon(asking)
        assert (result.exit_code, result.stderr) == (0, "")
        await eventually(lambda: len(gateway.workers()) == 2)
        assert not set(before) & set(gateway.workers())
        assert int(await asked(gateway)) == total + 1, "the shared memory goes on"
        assert gateway.process.returncode is None


@pytest.mark.timeout(120)
async def test_what_is_under_way_has_the_shared_memory_to_its_end(tmp_path: Path) -> None:
    waits = f"""
        import asyncio, pathlib
        (pathlib.Path({str(tmp_path)!r}) / "here").touch()
        while not (pathlib.Path({str(tmp_path)!r}) / "go").exists():
            await asyncio.sleep(0.01)"""
    head, _, last = COUNTS.rpartition("\n        return")
    write_plugin(tmp_path, "counts", f"{head}{waits}\n        return{last}")
    write_config(tmp_path, HEAD + "plugins: [counts]\n" + PING)
    async with gateway_run(tmp_path) as gateway:
        address = await gateway.admin()
        asking = asyncio.create_task(asked(gateway))
        await eventually((tmp_path / "here").exists)
        assert (await restart(address)).exit_code == 0
        (tmp_path / "go").touch()
        assert await soon(asking) == b"1"
        assert await asked(gateway) == b"2"


@pytest.mark.timeout(120)
async def test_after_a_restart_that_failed_a_stop_lets_requests_finish(tmp_path: Path) -> None:
    go, taken = asyncio.Event(), socket.create_server(("127.0.0.1", 0))
    async with upstream(held_until(go)) as service, contextlib.AsyncExitStack() as stack:
        stack.enter_context(taken)
        write_config(tmp_path, HEAD + all_to(service.port))
        gateway = await stack.enter_async_context(gateway_run(tmp_path))
        admin = int((await gateway.admin()).rpartition(":")[2])
        async with connected(await gateway.port()) as client, connected(admin) as operator:
            client.send(request("/slow"))
            await eventually(lambda: bool(service.requests))
            more = HEAD.replace("listeners: [", f"listeners: [{{bind: 127.0.0.1:{taken.getsockname()[1]}}}, ")
            write_config(tmp_path, more + all_to(service.port))
            operator.send(request("/api/restart", method="POST", host=b"127.0.0.1"))
            await gateway.says("the restart failed, the workers of before go on")
            gateway.send(signal.SIGTERM)
            await gateway.says("stopping: what is under way may finish")
            go.set()
            assert (await client.response()).body == b"ok"
            assert await gateway.ended() == 0
            assert gateway.lines[-1].endswith(" stopped")


async def test_a_wrong_configuration_changes_nothing(tmp_path: Path) -> None:
    write_config(tmp_path, HEAD + PING)
    async with gateway_run(tmp_path) as gateway:
        address, before = await gateway.admin(), gateway.workers()
        write_config(tmp_path, HEAD + "routes: [{nam: a}]\n")
        result = await restart(address)
        assert result.exit_code == 1
        assert "did you mean 'name'" in result.stderr
        assert gateway.workers() == before
        assert await asked(gateway) == b"pong"


async def test_one_worker_alone_cannot_be_replaced(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        result = await restart(worker.admin.address)
        assert result.exit_code == 1
        assert "this worker has no supervisor" in result.stderr
