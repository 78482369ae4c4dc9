"""Breakers as the admin API shows and forces them, on a real worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gateways import request
from tests.support.runtimes import HEAD, PING, running

BREAKING = (
    HEAD
    + """upstreams:
  up: {endpoints: ['http://127.0.0.1:9'], outliers: off}
routes:
  - {name: api, match: {path: /api}, to: up, plugins: [breaker: {requests: 2, sleep: 60s}]}
  - {name: by-endpoint, match: {path: /e}, to: up, plugins: [breaker: {requests: 2, sleep: 60s, scope: endpoint}]}
"""
)


async def test_what_is_shown(tmp_path: Path) -> None:
    async with running(tmp_path, BREAKING) as worker, worker.client() as client:
        (row,) = (await worker.get("/api/breakers")).data["breakers"]
        assert (row["name"], row["state"], row["calls"], row["errors"]) == ("api", "closed", 0, 0)
        for _ in range(2):
            assert (await client.ask(request("/api"))).status == 502
        answer = await client.ask(request("/api"))
        assert (answer.status, answer.get("retry-after")) == (503, "60")
        assert answer.get("proxy-status") == "gateway; error=destination_unavailable"
        (row,) = (await worker.get("/api/breakers")).data["breakers"]
        assert (row["state"], row["calls"], row["errors"], row["error_rate"]) == ("open", 2, 2, 1.0)
        assert (row["counts"]["failure"], row["counts"]["short_circuited"]) == (2, 1)
        assert row["in_flight"] == 0
        assert 0 < row["retry_after_seconds"] <= 60
        metrics = (await worker.get("/metrics")).body.decode()
        assert 'gateway_breaker_state{breaker="api",state="open"} 1.0' in metrics
        assert 'gateway_breaker_state{breaker="api",state="closed"} 0.0' in metrics


async def test_force(tmp_path: Path) -> None:
    async with running(tmp_path, BREAKING) as worker, worker.client() as client:
        answer = await worker.ask("POST", "/api/breakers/api", json={"state": "forced_open"})
        assert (answer.status, answer.data["name"], answer.data["state"]) == (200, "api", "forced_open")
        assert (await client.ask(request("/api"))).status == 503
        await worker.ask("POST", "/api/breakers/api", json={"state": "forced_closed"})
        assert [(await client.ask(request("/api"))).status for _ in range(5)] == [502] * 5
        assert (await worker.ask("POST", "/api/breakers/api", json={"state": "auto"})).data["state"] == "closed"


async def test_a_name_with_a_slash(tmp_path: Path) -> None:
    async with running(tmp_path, BREAKING) as worker, worker.client() as client:
        assert (await client.ask(request("/e"))).status == 502
        names = [row["name"] for row in (await worker.get("/api/breakers")).data["breakers"]]
        assert names == ["api", "up/127.0.0.1:9"]
        answer = await worker.ask("POST", "/api/breakers/up/127.0.0.1:9", json={"state": "forced_open"})
        assert (answer.status, answer.data["state"]) == (200, "forced_open")
        assert (await client.ask(request("/e"))).status == 503


@pytest.mark.parametrize(
    ("name", "body", "status", "says"),
    [
        ("apo", {"state": "auto"}, 404, "no breaker 'apo'; there are api"),
        ("api", {"state": "open"}, 400, "'state' is forced_open, forced_closed, auto, not 'open'"),
        ("api", {}, 400, "state"),
    ],
)
async def test_refused(tmp_path: Path, name: str, body: dict[str, str], status: int, says: str) -> None:
    async with running(tmp_path, BREAKING) as worker:
        answer = await worker.ask("POST", f"/api/breakers/{name}", json=body)
        assert answer.status == status
        assert says in answer.data["detail"]


async def test_without_breakers(tmp_path: Path) -> None:
    async with running(tmp_path, HEAD + PING) as worker:
        assert (await worker.get("/api/breakers")).data == {"breakers": []}
        answer = await worker.ask("POST", "/api/breakers/api", json={"state": "auto"})
        assert (answer.status, answer.data["detail"]) == (404, "no breaker 'api'; there is none")


async def test_a_breaker_keeps_its_state_across_a_reload(tmp_path: Path) -> None:
    async with running(tmp_path, BREAKING) as worker:
        await worker.ask("POST", "/api/breakers/api", json={"state": "forced_open"})
        worker.write(BREAKING + "  - {name: more, match: {path: /more}, respond: {text: more}}\n")
        assert await worker.runtime.reload()
        (row,) = (await worker.get("/api/breakers")).data["breakers"]
        assert row["state"] == "forced_open"
