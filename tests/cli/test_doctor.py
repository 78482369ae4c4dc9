"""`gateway doctor`: real servers, and a machine that is broken on purpose."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.commands import command, config
from tests.support.polling import soon
from tests.support.ports import free_port
from tests.support.runtimes import HEAD, PING, running
from tests.support.servers import redis_server

SMALL = "version: 1\nlisteners: [{bind: '127.0.0.1:%d'}]\nadmin: {bind: '127.0.0.1:%d', token: geheim}\n"
LIMITS = "limits: {connections: 100}\n"
ROUTES = (
    "upstreams: {up: {endpoints: ['http://127.0.0.1:%d'], pool: {max_connections: 4}}}\nroutes: [{name: up, to: up}]\n"
)


def levels(data: Any) -> dict[str, str]:
    return {finding["check"]: finding["level"] for finding in data["findings"]}


def test_all_is_well(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis, socket.create_server(("127.0.0.1", 0)) as up:
        state = f"state: {{redis: {{url: 'redis://{redis.address}/0', timeout: 500ms}}}}\n"
        text = SMALL % (free_port(), free_port()) + LIMITS + ROUTES % up.getsockname()[1] + state
        result = command("doctor", "-c", config(tmp_path, text))
        assert result.exit_code == 0, result.output
        assert f"ok       state redis://{redis.address}/0: version " in result.output
        assert "ok       upstream up: 1 of 1 endpoints take connections\n" in result.output
        assert "ok       configuration: " in result.output
        assert "geheim" not in result.output


def test_a_machine_that_is_broken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, admin, nobody = taken.getsockname()[1], free_port(), free_port()
        state = f"state: {{redis: 'redis://127.0.0.1:{nobody}/0'}}\n"
        path = config(tmp_path, SMALL % (port, admin) + LIMITS + ROUTES % nobody + state)
        words = f'ulimit -n 128; exec "{sys.executable}" -m gateway doctor --format json -c "{path}"'
        done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    data = json.loads(done.stdout)
    found = levels(data)
    assert data["ok"] is False
    assert data["failed"] == sum(level == "failed" for level in found.values())
    assert found["open files"] == found[f"listener 127.0.0.1:{port}"] == "failed"
    assert found[f"state redis://127.0.0.1:{nobody}/0"] == "failed"
    assert found["upstream up"] == "warning"
    assert found[f"admin listener 127.0.0.1:{admin}"] == found["configuration"] == "ok"
    (files,) = [one for one in data["findings"] if one["check"] == "open files"]
    assert files["found"].startswith("128 a process (at most 128)")
    assert files["remedy"]


def test_a_configuration_that_is_wrong(tmp_path: Path) -> None:
    path = config(tmp_path, "version: 1\nrouts: []\n")
    result = command("doctor", "-c", path)
    assert result.exit_code == 1
    line = f"failed   configuration: 1 error, the first: {path}:2:1: unknown key 'routs'"
    assert result.output.startswith(line), result.output
    assert " loop: uvloop" in result.output


async def test_beside_the_gateway_that_runs(tmp_path: Path) -> None:
    async with running(tmp_path, HEAD + LIMITS + PING) as worker:
        listener, admin = f"127.0.0.1:{worker.port}", worker.admin.address
        text = f"version: 1\nlisteners: [{{bind: '{listener}'}}]\nadmin: {{bind: '{admin}'}}\n"
        path = config(tmp_path, text + LIMITS)
        result = await soon(asyncio.to_thread(command, "doctor", "-c", path, "--format", "json"))
        findings = {one["check"]: one for one in json.loads(result.stdout)["findings"]}
        assert findings[f"listener {listener}"]["found"].startswith("taken by the gateway that runs")
        assert findings[f"admin listener {admin}"]["level"] == "ok"
        assert findings[f"admin {admin}"]["found"] == "a gateway runs there"
        assert result.exit_code == 0, result.output
