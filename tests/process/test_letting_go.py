"""The end of a configuration: all of it goes, without a collector, and not before its last request."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

from gateway.compile import Generation, compile_table
from gateway.config.load import Loaded, load
from gateway.library import Library
from gateway.process.letting_go import let_go
from gateway.table import RouteTable
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_env
from tests.support.leftovers import no_collector
from tests.support.polling import eventually, turns
from tests.support.runtimes import HEAD, write_config

TEXT = (
    HEAD
    + "plugins: [tracing_ids]\nupstreams: {up: {endpoints: ['http://127.0.0.1:9']}}\ninclude: [web.yaml]\nroutes:\n"
)
ROUTE = "  - {name: r%d, match: {path: '/%d/{id}/{x:[0-9]+}/*'}, to: up, plugins: [breaker, {headers: {}}]}\n"
WEB = "frontend: web\nprefix: /w\nroutes: [{name: a, match: {path: /x}, to: up}]\n"


def made(folder: Path) -> tuple[Generation, Loaded]:
    (folder / "web.yaml").write_text(WEB)
    loaded = load(write_config(folder, TEXT + "".join(ROUTE % (n, n) for n in range(30))), {})
    metrics = Metrics()
    generation, problems = compile_table(loaded, make_env(metrics=metrics), metrics, Library(folder))
    assert generation is not None, problems
    return generation, loaded


async def test_all_of_it_goes_after_the_last_request(tmp_path: Path) -> None:
    tasks: dict[asyncio.Task[None], asyncio.Event] = {}
    with no_collector():
        generation, loaded = made(tmp_path)
        table: RouteTable | None = generation.table
        gone = [weakref.ref(one) for one in generation.plugins.values()]
        assert len(gone) > 60
        upstream = weakref.ref(generation.spec.upstreams["up"])
        files = weakref.ref(loaded)
        let_go(tasks, generation, loaded, 60.0)
        del generation, loaded
        await eventually(lambda: files() is None)
        await turns()
        assert table is not None
        table = None
        assert all(one() is not None for one in gone), "not all at once, by who held the table last"
        await eventually(lambda: not tasks)
        assert all(one() is None for one in gone)
        assert upstream() is None


async def test_of_what_was_refused_only_the_files_are_there(tmp_path: Path) -> None:
    tasks: dict[asyncio.Task[None], asyncio.Event] = {}
    loaded = load(write_config(tmp_path, HEAD + "routes: [{nam: a}]\n"), {})
    root = weakref.ref(loaded)
    with no_collector():
        let_go(tasks, None, loaded)
        del loaded
        await eventually(lambda: not tasks)
        assert root() is None


async def test_patience_ends(tmp_path: Path) -> None:
    tasks: dict[asyncio.Task[None], asyncio.Event] = {}
    generation, loaded = made(tmp_path)
    table = generation.table
    let_go(tasks, generation, loaded, 0.001)
    del generation, loaded
    await eventually(lambda: not tasks)
    assert len(table.router.routes) == 30
    gc.collect()
