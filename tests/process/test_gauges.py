"""What is always there under /metrics, and right at every scrape."""

import asyncio
import platform
from pathlib import Path
from typing import Any, cast

from gateway import __version__
from gateway.telemetry.exposition import expose
from gateway.telemetry.merging import collected
from tests.support.gateways import request
from tests.support.polling import eventually
from tests.support.raw_upstream import held_until, upstream
from tests.support.runtimes import HEAD, Running, all_to, prepared, running


def scrape(worker: Running) -> dict[str, float]:
    body, _ = expose([collected(worker.runtime.metrics)])
    lines = (line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def test_connections_and_requests(tmp_path: Path) -> None:
    go = asyncio.Event()

    async with (
        upstream(held_until(go)) as service,
        running(tmp_path, HEAD + all_to(service.port)) as worker,
        worker.client() as client,
        worker.client(),
    ):
        await eventually(lambda: len(worker.runtime.listeners[0].connections) == 2)
        client.send(request("/slow"))
        await eventually(lambda: service.requests)
        found = scrape(worker)
        assert found["gateway_active_requests"] == 1
        assert found['gateway_connections{side="client",state="active"}'] == 1
        assert found['gateway_connections{side="client",state="idle"}'] == 1
        assert found['gateway_connections{side="upstream",state="active"}'] == 1
        assert found['gateway_connections{side="upstream",state="idle"}'] == 0
        go.set()
        assert (await client.response()).status == 200
        found = scrape(worker)
        assert found["gateway_active_requests"] == 0
        assert found['gateway_connections{side="upstream",state="idle"}'] == 1


async def test_what_runs(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        found = scrape(worker)
        build = f'gateway_build_info{{python="{platform.python_version()}",version="{__version__}"}}'
        assert found[build] == 1
        assert found["gateway_config_version"] == 1
        assert found['gateway_config_reloads_total{result="success"}'] == 0
        assert found["gateway_allocated_blocks"] > 0
        await worker.runtime.reload()
        assert scrape(worker)["gateway_config_version"] == 2


async def test_before_the_start(tmp_path: Path) -> None:
    async with prepared(tmp_path) as worker:
        assert scrape(worker)['gateway_connections{side="upstream",state="idle"}'] == 0


async def test_how_several_workers_are_merged(tmp_path: Path) -> None:
    text = (
        HEAD
        + """upstreams:
  up: {endpoints: ['http://127.0.0.1:9'], concurrency: 5}
  adapts: {endpoints: ['http://127.0.0.1:9'], concurrency: {adaptive: {}}}
routes: [{name: a, to: up}, {name: b, match: {path: /b}, to: adapts}]
"""
    )
    async with running(tmp_path, text) as worker:
        found = collected(worker.runtime.metrics)
        hows = {
            (name, labels): value[0]
            for name, family in found.items()
            if family["kind"] == "gauge"
            for labels, value in cast(Any, family["children"]).items()
        }
        assert hows["gateway_upstream_concurrency_limit", ("up",)] == "max", "it is the gateway's"
        assert hows["gateway_upstream_concurrency_limit", ("adapts",)] == "sum"
        assert hows["gateway_upstream_endpoints", ("up", "available")] == "min"
        assert hows["gateway_upstream_endpoints", ("up", "ejected")] == "max"
        assert hows["gateway_active_requests", ()] == "sum"
        assert hows["gateway_connections", ("client", "idle")] == "sum"
        assert hows["gateway_config_version", ()] == "max"
