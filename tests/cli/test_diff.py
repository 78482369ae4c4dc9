"""`gateway diff`, asked of a real worker."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from click.testing import Result

from tests.support.commands import command
from tests.support.frontends import INCLUDE
from tests.support.polling import soon
from tests.support.ports import free_port
from tests.support.runtimes import HEAD, PING, Running, running

TOKEN = HEAD.replace("admin: {bind: '127.0.0.1:0'}", "admin: {bind: '127.0.0.1:0', token: geheim}")
UP = "upstreams: {up: {endpoints: ['http://127.0.0.1:9']}}\n"
API = PING + "  - {name: api, match: {path: /api}, to: up, plugins: [{cors: {origins: ['https://a.example']}}]}\n"


async def diff(worker: Running, text: str, *words: str, token: str | None = None) -> Result:
    file = worker.runtime.path.with_name("new.yaml")
    file.write_text(text)
    asked = ("diff", file, "--admin", worker.admin.address, "-c", "none.yaml", *words)
    return await soon(asyncio.to_thread(command, *asked, env={"GATEWAY_ADMIN_TOKEN": token}))


async def test_what_would_change(tmp_path: Path) -> None:
    async with running(tmp_path, HEAD + UP + API) as worker:
        changed = API.replace("path: /ping", "path: /pong").replace("name: api", "name: other")
        text = HEAD + UP.replace("9'", "9', 'http://127.0.0.1:8'") + "limits: {request_body: 1KiB}\n" + changed
        result = await diff(worker, text)
        assert result.exit_code == 0, result.output
        file = tmp_path / "new.yaml"
        before = '[{"url": "http://127.0.0.1:9", "weight": 1, "priority": 0}]'
        lines = result.stdout.splitlines()
        assert lines[:2] == [
            f"~ limits.request_body: 10MiB -> 1KiB ({file}:5)",
            f"~ upstream up ({file}:4)",
        ]
        assert lines[2].startswith(f"    endpoints: {before} -> [")
        assert lines[3:] == [
            f"~ route ping ({file}:7)",
            f"    match.path: /ping -> /pong ({file}:7)",
            f"+ route other ({file}:8)",
            "- route api",
            f"{file} against configuration 1 ({worker.runtime.proxy.table.digest}): 1 added, 1 removed, 3 changed",
        ]
        data = json.loads((await diff(worker, text, "--format", "json")).stdout)
        assert (data["same"], data["in_service"]["version"]) == (False, 1)
        assert data["changes"][2] == {
            "change": "changed",
            "what": "route",
            "name": "ping",
            "position": f"{file}:7:5",
            "details": [
                {"key": "match.path", "before": "/ping", "after": "/pong", "position": f"{file}:7:32"},
            ],
        }
        assert worker.runtime.version == 1


async def test_nothing_would_change_and_no_secret_shows(tmp_path: Path) -> None:
    async with running(tmp_path, TOKEN + PING) as worker:
        result = await diff(worker, "# moved\n" + TOKEN.replace("geheim", "hidden") + PING, token="geheim")
        assert result.exit_code == 0, result.output
        assert result.stdout.endswith("): nothing would change\n")
        result = await diff(worker, TOKEN.replace(", token: geheim", "") + PING, token="geheim")
        assert "~ admin.token: *** -> null" in result.stdout
        assert "geheim" not in result.output
        assert (await diff(worker, TOKEN + PING)).exit_code == 1


async def test_a_wrong_file_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        result = await diff(worker, HEAD + "routes: [{nam: a}]\n")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "did you mean 'name'?" in result.stderr


async def test_frontends_that_are_served_alone(tmp_path: Path) -> None:
    (tmp_path / "bff").mkdir()
    for name in ("web", "mobile"):
        (tmp_path / "bff" / f"{name}.yaml").write_text(
            f"frontend: {name}\nprefix: /{name}\nroutes: [{{name: a, respond: {{text: a}}}}]\n"
        )
    text = HEAD + PING + INCLUDE
    async with running(tmp_path, text, alone=["web"]) as worker:
        assert (await diff(worker, text)).stdout.endswith("): nothing would change\n")


def test_nobody_answers(tmp_path: Path) -> None:
    result = command("diff", tmp_path / "a.yaml", "--admin", f"127.0.0.1:{free_port()}", "-c", "none.yaml")
    assert result.exit_code == 3
