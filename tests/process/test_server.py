"""`gateway run` as a process: its signals, its exit codes, its log files."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.support.gateways import request
from tests.support.polling import eventually
from tests.support.processes import file_holds, gateway_run
from tests.support.raw_client import connected
from tests.support.raw_upstream import held_until, upstream
from tests.support.runtimes import HEAD, PING, all_to, write_config, write_plugin


async def status(port: int, target: str = "/ping") -> int:
    async with connected(port) as client:
        return (await client.ask(request(target))).status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_lets_requests_finish(tmp_path: Path, number: signal.Signals) -> None:
    go = asyncio.Event()

    async with upstream(held_until(go)) as service:
        write_config(tmp_path, HEAD + all_to(service.port))
        async with gateway_run(tmp_path) as gateway, connected(await gateway.port()) as client:
            client.send(request("/slow"))
            await eventually(lambda: service.requests)
            await gateway.admin()
            gateway.send(number)
            await gateway.says("stopping: what is under way may finish")
            go.set()
            assert (await client.response()).body == b"ok"
            assert await gateway.ended() == 0
            assert gateway.lines[-1].endswith("stopped")


async def test_a_hang_up_reloads_and_opens_log_files_anew(tmp_path: Path) -> None:
    log, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    text = HEAD + f"plugins: [access_log: {{to: 'file://{log}'}}]\n" + PING
    write_config(tmp_path, text)
    async with gateway_run(tmp_path) as gateway:
        port = await gateway.port()
        await gateway.admin()
        assert await status(port) == 200
        before = await file_holds(log, lambda text: "/ping" in text)
        os.rename(log, moved)
        write_config(tmp_path, text.replace("path: /ping", "path: /other"))
        gateway.send(signal.SIGHUP)
        await gateway.says("configuration 2 is in service")
        assert await status(port, "/other") == 200
        after = await file_holds(log, lambda text: "/other" in text)
        assert "/ping" not in after
        assert moved.read_text() == before


async def test_a_hang_up_with_a_wrong_file_changes_nothing(tmp_path: Path) -> None:
    write_config(tmp_path, HEAD + PING)
    async with gateway_run(tmp_path) as gateway:
        port = await gateway.port()
        await gateway.admin()
        write_config(tmp_path, HEAD + "routes: [{nam: a}]\n")
        gateway.send(signal.SIGHUP)
        await gateway.says("unknown key 'nam'.*did you mean 'name'")
        assert await status(port) == 200
        gateway.send(signal.SIGTERM)
        assert await gateway.ended() == 0


async def test_a_hang_up_before_the_start_is_over_waits(tmp_path: Path) -> None:
    """The default of the signal would end the process."""
    flag = tmp_path / "go"
    code = f"""
import asyncio, logging, pathlib
from gateway.plugin import Plugin
class Slow(Plugin):
    async def start(self):
        logging.getLogger("gateway").info("starting slowly")
        while not pathlib.Path({str(flag)!r}).exists():
            await asyncio.sleep(0.01)
"""
    write_plugin(tmp_path, "slow", code)
    write_config(tmp_path, HEAD + "plugins: [slow]\n" + PING)
    async with gateway_run(tmp_path) as gateway:
        await gateway.says("starting slowly")
        gateway.send(signal.SIGHUP)
        flag.touch()
        await gateway.says("configuration 2 is in service")
        assert await status(await gateway.port()) == 200


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("version: 1\nroutes: [{name: a, too: b}]\n", (), "did you mean 'to'"),
        (None, (), "cannot read the file: no such file or directory"),
        (HEAD + PING, ("--bind", "nonsense"), "has no port"),
        (HEAD + PING, ("--admin", "0.0.0.0:0"), "needs a token"),
    ],
)
async def test_what_cannot_start_exits_with_2(
    tmp_path: Path, text: str | None, options: tuple[str, ...], said: str
) -> None:
    if text is not None:
        write_config(tmp_path, text)
    async with gateway_run(tmp_path, *options) as gateway:
        assert await gateway.ended() == 2
        assert said in "\n".join(gateway.lines)
        assert "Traceback" not in "\n".join(gateway.lines)


async def test_an_address_that_is_taken_exits_with_2(tmp_path: Path) -> None:
    write_config(tmp_path, HEAD + PING)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        async with gateway_run(tmp_path, "--bind", taken) as gateway:
            assert await gateway.ended() == 2
    assert f"cannot listen on {taken}: address already in use" in gateway.lines[-1]


async def test_an_admin_address_that_is_taken_exits_with_2(tmp_path: Path) -> None:
    write_config(tmp_path, HEAD + PING)
    async with gateway_run(tmp_path) as first:
        taken = await first.admin()
        async with gateway_run(tmp_path, "--admin", taken) as second:
            assert await second.ended() == 2
            assert f"the admin listener cannot listen on {taken}: address already in use" in second.lines[-1]


async def test_addresses_of_the_command_line(tmp_path: Path) -> None:
    write_config(tmp_path, "version: 1\n" + PING)
    async with gateway_run(tmp_path, "--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0") as gateway:
        assert await status(await gateway.port()) == 200
        await gateway.admin()
        gateway.send(signal.SIGHUP)
        await gateway.says("configuration 2 is in service")


async def test_edit_save_and_the_new_code_runs(tmp_path: Path) -> None:
    code = "from gateway.plugin import Plugin, Reply\nclass Mine(Plugin):\n    def on_request(self, exchange):\n"
    path = write_plugin(tmp_path, "mine", code + "        return Reply.text(201, '')\n")
    write_config(tmp_path, HEAD + "plugins: [mine]\n" + PING)
    async with gateway_run(tmp_path, "--reload") as gateway:
        port = await gateway.port()
        await gateway.admin()
        assert await status(port) == 201
        path.write_text(code + "        return Reply.text(202, '')\n")
        await gateway.says("configuration 2 is in service")
        assert await status(port) == 202
        path.write_text(code + "        return (\n")
        await gateway.says(rf"SyntaxError: .*{path}:4")
        assert await status(port) == 202
