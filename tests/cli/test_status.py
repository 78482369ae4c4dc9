"""`gateway status`, asked of a real worker."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path

import pytest

from tests.support.commands import command
from tests.support.gateways import request
from tests.support.polling import soon
from tests.support.runtimes import HEAD, PING, running

TOKEN = HEAD.replace("admin: {bind: '127.0.0.1:0'}", "admin: {bind: '127.0.0.1:0', token: geheim}")
METRICS = "plugins: [rate_metrics]\nupstreams: {up: {endpoints: ['http://127.0.0.1:9']}}\n"
ROUTES = PING + "  - {name: up, match: {path: /up}, to: up}\n"


async def test_in_words_and_as_json(tmp_path: Path) -> None:
    async with running(tmp_path, HEAD + METRICS + ROUTES) as worker, worker.client() as client:
        await client.ask(request("/ping"))
        words = ("status", "--admin", worker.admin.address, "-c", "none.yaml")
        result = await soon(asyncio.to_thread(command, *words))
        assert result.exit_code == 0, result.output
        assert "gateway is ready, aiogate" in result.output
        assert f"of {tmp_path}/routes.yaml" in result.output
        rows = {line.split()[0]: line.split()[1:] for line in result.output.splitlines() if line}
        assert rows["ping"][:2] == ["1", "0"]
        pid, uptime, *counts = rows["0"]
        assert (pid, counts[:3]) == (str(os.getpid()), ["1", "0", "1"])
        assert re.fullmatch("0:00:[0-9]{2}", uptime)
        assert rows["up"] == ["127.0.0.1:9", "available", "0", "0", "0", "0", "0", "0"]
        data = json.loads((await soon(asyncio.to_thread(command, *words, "--format", "json"))).stdout)
        assert (data["ready"], data["version"], data["routes"][0]["calls"]) == (True, 1, 1)
        assert data["workers"][0]["pid"] == os.getpid()
        assert data["upstreams"][0]["endpoints"][0]["state"] == "enabled"
        assert data["last_load"]["result"] == "success"


async def test_a_refused_reload_shows(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        worker.write(HEAD + "routes: [{nam: a}]\n")
        await worker.runtime.reload()
        words = ("status", "--admin", worker.admin.address, "-c", "none.yaml")
        result = await soon(asyncio.to_thread(command, *words))
        assert result.exit_code == 0
        assert "was refused:" in result.output
        assert "unknown key 'nam'" in result.output
        assert "       |           ^" in result.output


@pytest.mark.parametrize(("token", "code"), [("geheim", 0), ("wrong", 1), (None, 1)])
async def test_the_token(tmp_path: Path, token: str | None, code: int) -> None:
    async with running(tmp_path, TOKEN + PING) as worker:
        words = ("status", "--admin", worker.admin.address, "-c", "none.yaml")
        result = await soon(asyncio.to_thread(command, *words, env={"GATEWAY_ADMIN_TOKEN": token}))
        assert result.exit_code == code
        assert "geheim" not in result.output
        if code:
            assert "refuses (401): it wants a token" in result.stderr
        named = await soon(asyncio.to_thread(command, *words[:3], "-c", worker.runtime.path))
        assert named.exit_code == 0, named.output
