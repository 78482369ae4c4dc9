"""`app:` in a configuration: what is wrong is told at its place, and what no edit touched lives on."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.main import main
from gateway.errors import ConfigError
from gateway.local_modules import PREFIX
from tests.support.apps import ROUTE, UPSTREAM, events, module, mounts, serving, write_app, write_module
from tests.support.gateways import request
from tests.support.polling import eventually
from tests.support.raw_upstream import Peer, upstream
from tests.support.runtimes import HEAD, Running, prepared, write_config

HELLO = """
COUNT = [0]
@routes.get("/{name}")
async def hello(request):
    COUNT[0] += 1
    return web.Response(text=f"hello {COUNT[0]}")

async def begin(app):
    EVENTS.append("start")

async def close(app):
    EVENTS.append("stop")
"""
END = """
app = web.Application()
app.add_routes(routes)
app.on_startup.append(begin)
app.on_cleanup.append(close)
"""


def gateway_command(folder: Path, *arguments: str) -> tuple[int, str]:
    """A command on the configuration in `folder`, with the folder's path taken out of what it says."""
    result = CliRunner().invoke(main, [*arguments, "-c", str(folder / "routes.yaml")])
    return result.exit_code, result.output.replace(f"{folder}/", "").replace(str(folder), "FOLDER")


async def ask(worker: Running, target: str = "/x") -> bytes:
    async with worker.client() as client:
        return (await client.ask(request(target))).body


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "routes.yaml:4:27: no module 'bff.web': there is no bff/web.py in FOLDER, and no package"),
        ("apps = 1", "routes.yaml:4:27: bff.web has no 'app'; did you mean 'apps'?"),
        ("app = 1", "routes.yaml:4:27: bff.web:app is no aiohttp web.Application, but something of type int"),
        ("1 / 0", "routes.yaml:4:27: bff.web does not load: ZeroDivisionError: division by zero"),
    ],
)
def test_check_says_what_is_wrong_with_an_application(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        write_module(tmp_path, "bff.web", text)
    write_config(tmp_path, HEAD + ROUTE)
    code, output = gateway_command(tmp_path, "check")
    assert code == 1
    assert said in output


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("{name: a, app: bff.web}", "'bff.web' is not module:attribute; write one such as bff.web.handlers:app"),
        (
            "{name: a, app: 'bff.web:app', respond: {}}",
            "a route has exactly one of to, redirect, respond, compose, app",
        ),
        ("{name: a}", "a route has one of to, redirect, respond, compose, app"),
        ("{name: a, app: 'bff.web:app', sticky: {header: X-A}}", "'sticky' without 'to' in route 'a'"),
    ],
)
def test_check_says_what_is_wrong_with_a_route(tmp_path: Path, route: str, said: str) -> None:
    write_app(tmp_path, HELLO, END)
    write_config(tmp_path, HEAD + f"routes: [{route}]\n")
    code, output = gateway_command(tmp_path, "check")
    assert code == 1
    assert said in output


def test_check_imports_and_never_starts(tmp_path: Path) -> None:
    write_app(tmp_path, HELLO, END + "import sys\nsys.modules['noted_events'] = EVENTS\n")
    upstreams = "upstreams: {catalog: {endpoints: ['http://127.0.0.1:9']}}\n"
    route = "{name: a, app: 'bff.web:app', rewrite: {path: /b}, timeouts: {total: 3s}, mirror: {to: catalog}}"
    tests = "tests: [{request: 'GET /a', expect: {route: a, path: /b}}]\n"
    write_config(tmp_path, f"{HEAD}{upstreams}routes: [{route}]\n{tests}")
    try:
        assert gateway_command(tmp_path, "check", "--strict") == (0, "routes.yaml: no errors, 1 route test run\n")
        assert sys.modules["noted_events"] == []  # type: ignore[comparison-overlap]
    finally:
        del sys.modules["noted_events"]


def test_explain_and_routes_show_it(tmp_path: Path) -> None:
    write_app(tmp_path, HELLO, END)
    write_config(tmp_path, HEAD + ROUTE)
    code, output = gateway_command(tmp_path, "explain", "GET", "http://a/b?c=d")
    assert code == 0
    assert "action    to app:bff.web:app, upgrade to websocket\n" in output
    assert "          app://bff.web:app/b?c=d\n" in output
    assert "to app:bff.web:app" in gateway_command(tmp_path, "routes")[1]


async def test_the_admin_api_shows_it(tmp_path: Path) -> None:
    async with serving(tmp_path, HELLO, ROUTE, END) as worker:
        await ask(worker)
        (row,) = (await worker.get("/api/upstreams")).data["upstreams"]
        assert (row["name"], row["available"]) == (UPSTREAM, ["bff.web:app"])
        assert (row["endpoints"][0]["requests"], row["endpoints"][0]["pool"]["idle"]) == (1, 1)
        assert (await worker.get("/api/config")).data["config"]["routes"][0]["app"] == "bff.web:app"
        drained = await worker.ask("POST", f"/api/upstreams/{UPSTREAM}/endpoints/bff.web:app", json={"state": "drain"})
        assert drained.data["availability"] == "drained"
        assert b"no_endpoint" in await ask(worker)
        metrics = (await worker.get("/metrics")).body.decode()
        assert 'gateway_connections{side="upstream",state="idle"} 1.0' in metrics


async def test_routes_share_an_application(tmp_path: Path) -> None:
    config = """
routes:
  - {name: a, match: {path: /a}, app: "bff.web:app"}
  - {name: b, match: {path: /b}, app: "bff.web:app"}
  - {name: c, match: {path: /c}, app: "bff.web:other"}
"""
    async with serving(tmp_path, HELLO, config, END + "def other():\n    return web.Application()\n") as worker:
        assert [await ask(worker, "/a"), await ask(worker, "/b")] == [b"hello 1", b"hello 2"]
        assert await ask(worker, "/c") == b"404: Not Found"
        assert [str(mount.options) for mount in mounts(worker.runtime)] == ["bff.web:app", "bff.web:other"]


async def test_a_reload_keeps_what_has_not_changed(tmp_path: Path) -> None:
    async with serving(tmp_path, HELLO, ROUTE, END) as worker:
        assert await ask(worker) == b"hello 1"
        (before,) = mounts(worker.runtime)
        worker.write(HEAD + ROUTE.replace("name: all", "name: other"))
        assert await worker.runtime.reload()
        assert mounts(worker.runtime) == [before]
        assert await ask(worker) == b"hello 2"
        assert events(worker) == ["start"]


async def test_a_reload_replaces_what_has_changed_and_stops_the_old_one(tmp_path: Path) -> None:
    async with serving(tmp_path, HELLO, ROUTE, END) as worker:
        assert await ask(worker) == b"hello 1"
        (before,) = mounts(worker.runtime)
        noted, name = module(before).EVENTS, module(before).__name__
        write_app(tmp_path, HELLO.replace("hello {", "good day {"), END)
        assert await worker.runtime.reload()
        assert await ask(worker) == b"good day 1"
        await eventually(lambda: noted == ["start", "stop"])
        await eventually(lambda: name not in sys.modules)
        worker.write(HEAD + "routes: []\n")
        (after,) = mounts(worker.runtime)
        noted = module(after).EVENTS
        assert await worker.runtime.reload()
        await eventually(lambda: noted == ["start", "stop"])
        worker.write(HEAD + ROUTE)
        assert await worker.runtime.reload()
        assert await ask(worker) == b"good day 1"


async def test_a_reload_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, HELLO, ROUTE, END) as worker:
        assert await ask(worker) == b"hello 1"
        known = [name for name in sys.modules if name.startswith(PREFIX)]
        for text, said in (
            ("1 / 0", "bff.web does not load: ZeroDivisionError"),
            (
                "async def app():\n    return 1",
                "'app:bff.web:app' did not start: ConfigError: bff.web:app makes",
            ),
        ):
            write_module(tmp_path, "bff.web", text)
            assert not await worker.runtime.reload()
            assert said in worker.runtime.last.texts[0]
            assert worker.runtime.last.problems[0].position[1:] == (4, 27)
            assert await ask(worker) != b""
        assert [name for name in sys.modules if name.startswith(PREFIX)] == known


async def test_a_start_that_fails_is_told_at_its_place(tmp_path: Path) -> None:
    fails = "async def fail(app):\n    raise OSError('no database')\napp.on_startup.append(fail)\n"
    write_app(tmp_path, HELLO, END + fails)
    async with prepared(tmp_path, HEAD + ROUTE) as worker:
        with pytest.raises(ConfigError, match="routes.yaml:4:27: .*did not start: OSError: no database"):
            await worker.runtime.start()


FALLBACK = """
upstreams: {up: {endpoints: ['http://127.0.0.1:%d']}}
routes:
  - name: all
    to: up
    plugins: [breaker: {fallback: {app: "bff.web:app"}}]
"""


async def test_a_breakers_fallback_may_be_an_application(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

    async with (
        upstream(script) as service,
        serving(tmp_path, HELLO, FALLBACK % service.port, END) as worker,
        worker.client() as client,
    ):
        answer = await client.ask(request("/x"))
        assert (answer.status, answer.body, answer.get("Gateway-Fallback")) == (200, b"hello 1", "upstream")
        assert await worker.runtime.reload()
        assert await ask(worker) == b"hello 2"


def test_a_fallback_that_is_no_application_is_told_at_its_place(tmp_path: Path) -> None:
    write_config(tmp_path, HEAD + FALLBACK % 9)
    code, output = gateway_command(tmp_path, "check")
    assert code == 1
    assert "routes.yaml:9:24: no module 'bff.web'" in output
    write_config(tmp_path, HEAD + (FALLBACK % 9).replace("bff.web:app", "bff"))
    assert "'bff' is not module:attribute" in gateway_command(tmp_path, "check")[1]
