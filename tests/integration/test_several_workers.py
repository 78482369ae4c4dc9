"""The admin listener of each worker shows and changes the whole gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.admin import handlers
from tests.support.gateways import request
from tests.support.polling import soon
from tests.support.raw_upstream import answering, upstream
from tests.support.runtimes import HEAD, PING, Running
from tests.support.siblings import workers

TEXT = (
    HEAD
    + """plugins: [rate_metrics]
upstreams: {up: {endpoints: ['http://127.0.0.1:%d']}}
"""
    + PING
    + "  - {name: up, match: {path: /up}, to: up, plugins: [breaker: {requests: 2}]}\n"
)


async def ask(worker: Running, path: str, times: int = 1) -> list[int]:
    async with worker.client() as client:
        return [(await client.ask(request(path))).status for _ in range(times)]


async def scrape(worker: Running) -> dict[str, float]:
    text = (await worker.get("/metrics")).body.decode()
    samples = [sample for family in parse_text(text) for sample in family.samples]
    found = {sample.name + repr(sorted(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples), "no sample is there twice"
    return found


async def rows(worker: Running, what: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in (await worker.get(f"/api/{what}")).data[what]}


async def test_whichever_worker_answers(tmp_path: Path) -> None:
    async with upstream(answering) as service, workers(tmp_path, TEXT % service.port) as (_, both):
        for worker, times in zip(both, (1, 2), strict=True):
            await ask(worker, "/ping", times)
            await ask(worker, "/up", times)
        for worker in both:
            found = await scrape(worker)
            assert found["gateway_requests_total[('code', '200'), ('method', 'GET'), ('route', 'ping')]"] == 3
            assert found["gateway_upstream_duration_seconds_count[('upstream', 'up')]"] == 3
            assert found["gateway_config_version[]"] == 1
            assert found["gateway_connections[('side', 'upstream'), ('state', 'idle')]"] == 2
            assert (await rows(worker, "routes"))["ping"]["calls"] == 3
            up = (await rows(worker, "upstreams"))["up"]
            (endpoint,) = up["endpoints"]
            assert (up["calls"], endpoint["requests"], endpoint["pool"]["idle"]) == (3, 3, 2)
            assert endpoint["workers"] == {"available": 2}
            listed = (await worker.get("/api/workers")).data["workers"]
            assert [(row["slot"], row["version"]) for row in listed] == [(0, 1), (1, 1)]
            assert (await worker.get("/api/config")).data["workers"][1]["slot"] == 1


async def test_what_a_worker_served_is_kept_when_it_ends(tmp_path: Path) -> None:
    async with upstream(answering) as service, workers(tmp_path, TEXT % service.port) as (joined, (first, second)):
        await ask(first, "/up", 2)
        await ask(second, "/up", 3)
        before = await scrape(first)
        await joined.end(second.runtime)
        after = await scrape(first)
        grows = [key for key in before if key.partition("[")[0].endswith(("_total", "_count", "_sum", "_bucket"))]
        assert {key: after[key] for key in grows} == {key: before[key] for key in grows}
        assert (await rows(first, "routes"))["up"]["calls"] == 5
        up = (await rows(first, "upstreams"))["up"]
        assert (up["calls"], up["endpoints"][0]["requests"]) == (5, 5)
        assert len((await first.get("/api/workers")).data["workers"]) == 1
        await ask(first, "/up")
        assert (await rows(first, "routes"))["up"]["calls"] == 6


async def test_changes_reach_all_workers(tmp_path: Path) -> None:
    async with upstream(answering) as service, workers(tmp_path, TEXT % service.port) as (_, (first, second)):
        answer = await first.ask("POST", "/api/breakers/up", json={"state": "forced_open"})
        assert (answer.status, answer.data["state"]) == (200, "forced_open")
        assert [await ask(worker, "/up") for worker in (first, second)] == [[503], [503]]
        assert (await rows(second, "breakers"))["up"]["state"] == "forced_open"
        await second.ask("POST", "/api/breakers/up", json={"state": "auto"})
        assert [await ask(worker, "/up") for worker in (first, second)] == [[200], [200]]

        path = f"/api/upstreams/up/endpoints/127.0.0.1:{service.port}"
        answer = await second.ask("POST", path, json={"state": "drain"})
        assert (answer.status, answer.data["workers"]) == (200, {"drained": 2})
        assert [await ask(worker, "/up") for worker in (first, second)] == [[503], [503]]


@pytest.mark.parametrize("path", ["breakers/nobody", "upstreams/nobody/endpoints/h:1", "upstreams/up/endpoints/h:1"])
async def test_what_no_worker_knows(tmp_path: Path, path: str) -> None:
    async with workers(tmp_path, TEXT % 9) as (_, (first, _)):
        state = "auto" if path.startswith("breakers") else "drain"
        assert (await first.ask("POST", f"/api/{path}", json={"state": state})).status == 404


async def test_what_one_worker_knows(tmp_path: Path) -> None:
    async with workers(tmp_path, TEXT % 9) as (_, (first, second)):
        second.write((TEXT % 9).replace("up: {end", "new: {end").replace("up}, to: up", "new}, to: new"))
        assert await second.runtime.reload()
        answer = await first.ask("POST", "/api/upstreams/new/endpoints/127.0.0.1:9", json={"state": "drain"})
        assert (answer.status, answer.data["workers"]) == (200, {"drained": 1})
        assert set(await rows(first, "upstreams")) == {"up", "new"}


async def test_streams_show_the_whole_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "EVENTS_DELAY", 0.02)
    async with workers(tmp_path, TEXT % 9) as (_, (first, second)), aiohttp.ClientSession() as session:
        await ask(first, "/ping")
        await ask(second, "/ping", 2)
        await ask(second, "/up", 3)
        found = {}
        for path in ("/api/events", "/hystrix.stream"):
            async with session.get(f"http://{first.admin.address}{path}") as answer:
                line = await soon(answer.content.readline())
                found[path] = orjson.loads(line.removeprefix(b"data: "))
        summary, command = found["/api/events"], found["/hystrix.stream"]
        assert (summary["workers"], summary["calls"], summary["errors"]) == (2, 6, 3)
        assert (command["name"], command["isCircuitBreakerOpen"], command["rollingCountFailure"]) == ("up", True, 2)
