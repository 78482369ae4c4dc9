"""Several workers as one gateway: real processes, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

import pytest

from gateway.config.files import Kept
from gateway.process.channel import Channel
from gateway.process.predecessor import OldWorker
from gateway.process.runtime import SystemClock
from gateway.process.supervisor import Supervisor
from gateway.process.versions import START, Version
from gateway.state.memory import MemoryShared
from tests.support.gateways import request
from tests.support.polling import eventually, soon
from tests.support.processes import GatewayProcess, gateway_run
from tests.support.raw_client import RawClient, connected
from tests.support.raw_upstream import held_until, silent, upstream
from tests.support.runtimes import HEAD, PING, all_to, write_config, write_plugin

# Says which worker answered.
WHO = """
import os
from gateway.plugin import Plugin, Reply
class Who(Plugin):
    def on_request(self, exchange):
        return Reply.text(200, str(os.getpid()))
"""
PLUGINS = "plugins: [who]\n" + PING


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_plugin(tmp_path, "who", WHO)
    write_config(tmp_path, HEAD + PLUGINS)
    return tmp_path


async def who(client: RawClient) -> int:
    return int((await client.ask(request("/ping"))).body)


async def everybody(gateway: GatewayProcess, workers: int) -> dict[int, RawClient]:
    """An open connection to each worker. The system divides connections as it likes: some more are made."""
    port, found = await gateway.port(), dict[int, RawClient]()
    for _ in range(200):
        client = await gateway.stack.enter_async_context(connected(port))
        found.setdefault(await who(client), client)
        if len(found) == workers:
            return found
    raise AssertionError(f"only {len(found)} of {workers} workers answer")


async def test_a_worker_that_is_killed_takes_nothing_but_its_own_connections(folder: Path) -> None:
    async with gateway_run(folder, "--workers", "3") as gateway:
        await gateway.admin()
        before = await everybody(gateway, 3)
        assert set(before) == set(gateway.workers())
        victim, *others = before
        os.kill(victim, signal.SIGKILL)
        await gateway.says(rf"worker \d \({victim}\) was killed by SIGKILL; another one starts at once")
        assert await before[victim].ends() in ("closed", "reset")
        for pid in others:
            assert await who(before[pid]) == pid
        await eventually(lambda: len(gateway.workers()) == 3)
        after = await everybody(gateway, 3)
        assert set(after) == set(gateway.workers())
        assert victim not in after


async def test_what_connects_while_a_worker_is_away_waits_for_its_successor(folder: Path) -> None:
    async with gateway_run(folder) as gateway:
        await gateway.admin()
        (victim,) = gateway.workers()
        os.kill(victim, signal.SIGKILL)
        async with connected(await gateway.port()) as client:
            assert await who(client) != victim


async def test_a_worker_that_dies_again_and_again_comes_later_and_later(folder: Path) -> None:
    async with gateway_run(folder) as gateway:
        await gateway.admin()
        for how in ("at once", "in 1 s"):
            await eventually(lambda: len(gateway.workers()) == 1)
            (victim,) = gateway.workers()
            os.kill(victim, signal.SIGKILL)
            await gateway.says(rf"\({victim}\) was killed by SIGKILL; another one starts {how}")


async def test_a_reload_is_in_all_workers(folder: Path) -> None:
    async with gateway_run(folder, "--workers", "3") as gateway:
        await gateway.admin()
        clients = await everybody(gateway, 3)
        write_config(folder, HEAD + PING)
        gateway.send(signal.SIGHUP)
        await gateway.says("configuration 2 is in service")
        for client in clients.values():
            assert (await client.ask(request("/ping"))).body == b"pong"
        assert sum("configuration 2 is in service" in line for line in gateway.lines) == 1


async def test_one_that_refuses_what_is_in_service_by_then_makes_room_for_another(folder: Path) -> None:
    top = f"""
import asyncio, pathlib
from gateway.plugin import Plugin
folder = pathlib.Path({str(folder)!r})
"""
    waits = """
class Waits(Plugin):
    async def start(self):
        while (folder / "hold").exists():
            (folder / "waits").touch()
            await asyncio.sleep(0.01)
"""
    fails_once = """
class FailsOnce(Plugin):
    async def start(self):
        if (folder / "fuse").exists():
            (folder / "fuse").unlink()
            raise RuntimeError("not here")
"""
    write_plugin(folder, "waits", top + waits)
    write_plugin(folder, "fails_once", top + fails_once)
    write_config(folder, HEAD + "plugins: [waits, who]\n" + PING)
    async with gateway_run(folder, "--workers", "2") as gateway:
        await gateway.admin()
        (folder / "hold").touch()
        os.kill(gateway.workers()[0], signal.SIGKILL)
        await eventually((folder / "waits").exists)
        write_config(folder, HEAD + "plugins: [waits, fails_once, who]\n" + PING)
        gateway.send(signal.SIGHUP)
        await gateway.says("configuration 2 is in service")
        (folder / "fuse").touch()
        (folder / "hold").unlink()
        await gateway.says("could not start: it refuses configuration 2, which is in service; another one starts")
        found = await everybody(gateway, 2)
        assert set(found) == set(gateway.workers())
        assert not (folder / "fuse").exists()


async def test_what_one_worker_refuses_none_has(folder: Path) -> None:
    marks = folder / "marks"
    marks.mkdir()
    # Only the third to start raises.
    code = f"""
import os, pathlib
from gateway.plugin import Plugin
class Picky(Plugin):
    async def start(self):
        (pathlib.Path({str(marks)!r}) / str(os.getpid())).touch()
        if len(os.listdir({str(marks)!r})) == 3:
            raise RuntimeError("not here")
"""
    write_plugin(folder, "picky", code)
    async with gateway_run(folder, "--workers", "3") as gateway:
        await gateway.admin()
        clients = await everybody(gateway, 3)
        write_config(folder, HEAD + "plugins: [picky]\n" + PING)
        gateway.send(signal.SIGHUP)
        await gateway.says("the plugin 'picky' did not start: RuntimeError: not here")
        for pid, client in clients.items():
            assert await who(client) == pid


async def test_a_stop_ends_every_worker_after_what_is_under_way(folder: Path) -> None:
    go = asyncio.Event()

    async with upstream(held_until(go)) as service, contextlib.AsyncExitStack() as stack:
        write_config(folder, HEAD + all_to(service.port))
        gateway = await stack.enter_async_context(gateway_run(folder, "--workers", "2"))
        clients = [await stack.enter_async_context(connected(await gateway.port())) for _ in range(8)]
        for client in clients:
            client.send(request("/slow"))
        await eventually(lambda: len(service.requests) == len(clients))
        gateway.send(signal.SIGTERM)
        await gateway.says("stopping")
        await eventually(lambda: not _accepts(gateway))
        go.set()
        for client in clients:
            assert (await client.response()).body == b"ok"
        assert await gateway.ended() == 0


def _accepts(gateway: GatewayProcess) -> bool:
    """Does anybody listen still?"""
    import socket

    address = next(line.rpartition(" ")[2] for line in gateway.lines if " listening on " in line)
    try:
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))).close()
    except ConnectionRefusedError:
        return False
    return True


async def test_workers_end_with_their_supervisor(folder: Path) -> None:
    async with gateway_run(folder, "--workers", "2") as gateway:
        await gateway.admin()
        workers = gateway.workers()
        gateway.send(signal.SIGKILL)
        await eventually(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in workers))


async def test_a_plugin_that_does_not_start_is_said_once(folder: Path) -> None:
    write_plugin(folder, "broken", "from gateway.plugin import Plugin\nclass Broken(Plugin):\n"
                 "    async def start(self):\n        raise RuntimeError('no')\n")  # fmt: skip
    write_config(folder, HEAD + "plugins: [broken]\n" + PING)
    async with gateway_run(folder, "--workers", "3") as gateway:
        assert await gateway.ended() == 2
        assert sum("the plugin 'broken' did not start" in line for line in gateway.lines) == 1


async def test_the_second_signal_waits_for_nobody(folder: Path) -> None:
    async with upstream(silent) as service:
        write_config(folder, HEAD + all_to(service.port))
        async with gateway_run(folder) as gateway, connected(await gateway.port()) as client:
            client.send(request("/never"))
            await eventually(lambda: service.requests)
            gateway.send(signal.SIGTERM)
            await gateway.says("stopping")
            gateway.send(signal.SIGTERM)
            assert await gateway.ended() == -signal.SIGTERM
            assert await client.ends() in ("closed", "reset")


async def test_who_has_ended_is_not_handed_on() -> None:
    memory, pairs = MemoryShared(SystemClock()), [socket.socketpair() for _ in range(2)]
    old = [OldWorker(slot, 4711 + slot, mine) for slot, (mine, _) in enumerate(pairs)]
    for worker in old:
        await worker.attach(memory)
    with socket.socket() as admin:
        first = Version(1, "", 0.0, START, Kept())
        supervisor = Supervisor(lambda *_: 0, [], admin, 1.0, first, memory, old)
        answers = Channel({"attach": lambda: None, "detach": lambda: None}, lambda: None)
        await asyncio.get_running_loop().create_unix_connection(lambda: answers, sock=pairs[1][1])
        pairs[0][1].close()
        await eventually(lambda: not old[0].channel.is_open)
        assert await soon(supervisor.detach()) == [(1, 4712, old[1].control)]
        answers.close()
        await eventually(lambda: not old[1].channel.is_open)
