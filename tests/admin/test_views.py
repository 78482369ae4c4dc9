"""What the admin API shows."""

from pathlib import Path
from typing import Any

import pytest

from gateway.admin import views
from tests.support.frontends import INCLUDE, write_frontend
from tests.support.gateways import request
from tests.support.raw_upstream import answering, upstream
from tests.support.runtimes import HEAD, PING, running, write_plugin

FIGURES = {"calls", "errors", "error_rate", "latency_avg_ms", "latency_max_ms", "rate_1m", "rate_5m"}
ROUTES = """upstreams:
  up: {endpoints: ['http://127.0.0.1:%d', {url: 'http://127.0.0.1:9', weight: 2}]}
routes:
  - name: item
    match: {host: "*.example.com", path: "/items/{id}", methods: [GET], headers: {X-Beta: "1"}, query: {v: "~2|3"}}
    to: up
    priority: 3
  - {name: all, match: {path: "/all/**"}, to: up%s}
  - {name: old, match: {path: "/v1/**"}, redirect: {to: "/api/{**}", status: 308}}
"""


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows}


async def test_routes_say_what_they_match_and_do(tmp_path: Path) -> None:
    async with running(tmp_path, HEAD + ROUTES % (7, "")) as worker:
        rows = views.routes(worker.runtime)
        assert [row["name"] for row in rows] == ["item", "all", "old", "-"]
        item = rows[0]
        assert item["host"] == "*.example.com"
        assert item["path"] == "/items/{id}"
        assert item["methods"] == ["GET", "HEAD"]
        assert item["conditions"] == ["header X-Beta is '1'", "query v is '~2|3'"]
        assert (item["priority"], item["action"], item["plugins"]) == (3, "to up", [])
        assert rows[2]["action"] == "redirect 308 to /api/{**}"
        assert all(row.keys() >= FIGURES for row in rows)
        assert all(row[key] is None for row in rows for key in FIGURES), "nothing counts here"


async def test_figures_of_routes_and_upstreams(tmp_path: Path) -> None:
    async with upstream(answering) as service:
        text = (HEAD + "plugins: [rate_metrics]\n" + ROUTES % (service.port, "")).replace(
            ", {url: 'http://127.0.0.1:9', weight: 2}", ""
        )
        async with running(tmp_path, text) as worker, worker.client() as client:
            for target in ("/all/a", "/all/b", "/v1/x", "/nowhere"):
                await client.ask(request(target))
            rows = by_name(views.routes(worker.runtime))
            assert {name: row["calls"] for name, row in rows.items()} == {"item": 0, "all": 2, "old": 1, "-": 1}
            assert rows["all"]["latency_avg_ms"] > 0
            assert rows["all"]["rate_1m"] > 0
            assert rows["item"]["latency_max_ms"] == 0
            (found,) = views.upstreams(worker.runtime)
            assert (found["name"], found["calls"], found["errors"]) == ("up", 2, 0)
            (endpoint,) = found["endpoints"]
            assert (found["available"], found["concurrency"]) == ([endpoint["address"]], None)
            assert (found["retries"], found["hedges"]) == ({"in_flight": 0}, {"in_flight": 0})
            assert endpoint == {
                "address": f"127.0.0.1:{service.port}",
                "weight": 1,
                "priority": 0,
                "state": "enabled",
                "availability": "available",
                "health": "unchecked",
                "check_failure": None,
                "ejected": None,
                "failures_in_a_row": 0,
                "in_flight": 0,
                "requests": 2,
                "errors": 0,
                "pool": {
                    "active": 0,
                    "idle": 1,
                    "connecting": 0,
                    "queued": 0,
                    "max_connections": 256,
                    "max_queue": 1024,
                },
            }


async def test_how_upstreams_fare(tmp_path: Path) -> None:
    keys = ", slow_start: 10s, concurrency: 5, retries: {}, hedge: {after: 1s}}"
    text = (HEAD + ROUTES % (7, "")).replace("}]}", "}, {url: 'http://127.0.0.1:11', priority: 1}]" + keys)
    async with running(tmp_path, text) as worker:
        assert worker.runtime.generation is not None
        up = worker.runtime.generation.table.upstreams["up"]
        now = worker.runtime.env.clock.now()
        sick, ejected, standby = up.endpoints
        sick.healthy, sick.checked, sick.check_failure = False, True, "status 500"
        ejected.ejected_until, ejected.ejected_for, ejected.failures = now + 300, "errors", 5
        up.changes.count += 1
        assert up.limiter is not None
        assert [up.limiter.take("normal") for _ in range(6)] == [True] * 5 + [False]
        assert up.budget.take(0)
        assert up.hedges.take(0)
        assert up.hedges.take(0)

        (found,) = views.upstreams(worker.runtime)
        assert found["available"] == [standby.address]
        assert found["concurrency"] == {"limit": 5, "fixed": True, "in_flight": 5, "refused": 1}
        assert (found["retries"], found["hedges"]) == ({"in_flight": 1}, {"in_flight": 2})
        first, second, third = found["endpoints"]
        assert (first["health"], first["check_failure"], first["availability"]) == (
            "unhealthy",
            "status 500",
            "unhealthy",
        )
        assert (second["health"], second["availability"], second["weight"]) == ("unchecked", "ejected", 2)
        assert second["failures_in_a_row"] == 5
        assert second["ejected"]["reason"] == "errors"
        assert 290 < second["ejected"]["seconds_left"] <= 300
        assert (third["priority"], third["ejected"], third["availability"]) == (1, None, "available")

        sick.healthy = True
        standby.put("drain", now)
        first, _, third = views.upstreams(worker.runtime)[0]["endpoints"]
        assert (first["health"], third["state"], third["availability"]) == ("healthy", "drain", "drained")
        for _ in range(5):
            up.limiter.give_back(0.1, None)


@pytest.mark.parametrize(("top", "item", "everything"), [("", None, 1), ("plugins: [rate_metrics]\n", 0, 1)])
async def test_figures_are_counted_once(tmp_path: Path, top: str, item: int | None, everything: int) -> None:
    """However many instances a request meets."""
    async with upstream(answering) as service:
        text = HEAD + top + ROUTES % (service.port, ", plugins: [rate_metrics]")
        text = text.replace(", {url: 'http://127.0.0.1:9', weight: 2}", "")
        async with running(tmp_path, text) as worker, worker.client() as client:
            await client.ask(request("/all/a"))
            rows = by_name(views.routes(worker.runtime))
            assert rows["all"]["calls"] == everything
            assert rows["item"]["calls"] == item
            assert views.upstreams(worker.runtime)[0]["calls"] == 1


async def test_plugins_show_where_they_come_from_and_no_secret(tmp_path: Path) -> None:
    write_plugin(tmp_path, "probe")
    text = HEAD + "plugins:\n  - tracing_ids\n" + PING.replace("}\n", ", plugins: [{probe: {key: geheim}}]}\n")
    async with running(tmp_path, text) as worker:
        first, second = views.plugins(worker.runtime)
        assert (first["name"], first["source"], first["place"]) == (
            "tracing_ids",
            "built-in",
            "gateway.plugins.tracing_ids",
        )
        assert first["routes"] == ["-", "ping"]
        assert first["options"]["propagate"] == ["w3c"]
        assert (second["name"], second["source"], second["routes"]) == ("probe", "local", ["ping"])
        assert second["options"] == {"label": "a", "fails": False, "key": "***"}
        assert second["place"] == str(tmp_path / "plugins" / "probe.py")
        assert first["position"].endswith("routes.yaml:5:5")
        assert "geheim" not in (await worker.get("/api/plugins")).body.decode()


async def test_the_effective_configuration_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("geheim\n")
    admin = "admin: {bind: '127.0.0.1:0', token: \"${TOKEN}\"}"
    text = HEAD.replace("admin: {bind: '127.0.0.1:0'}", admin)
    text += 'routes: [{name: a, match: {headers: {X-Key: "${file:secret}"}}, respond: {text: "${PLAIN}"}}]\n'
    async with running(tmp_path, text, {"TOKEN": "token-text", "PLAIN": "plain-text"}) as worker:
        answer = await worker.get("/api/config", Authorization="Bearer token-text")
        assert answer.data["version"] == 1
        assert answer.data["config"]["limits"]["request_head"] == "32KiB"
        assert answer.data["config"]["admin"]["token"] == "***"
        assert answer.data["last_load"]["result"] == "success"
        assert answer.data["files"] == [str(tmp_path / "routes.yaml")]
        for path in ("/api/config", "/api/routes", "/"):
            shown = (await worker.get(path, Authorization="Bearer token-text")).body
            assert b"geheim" not in shown
            assert b"token-text" not in shown
        assert b"plain-text" in answer.body


async def test_times() -> None:
    assert views.iso(0.25) == "1970-01-01T00:00:00.250Z"


async def test_frontends(tmp_path: Path) -> None:
    plugins = "plugins: [security_headers]\n"
    write_frontend(tmp_path, "mobile", "prefix: /m\n" + plugins)
    write_frontend(tmp_path, "web", "prefix: /w\n")
    async with running(tmp_path, HEAD + INCLUDE + "plugins: [tracing_ids]\n" + PING) as worker:
        rows = views.routes(worker.runtime)
        assert [(row["frontend"], row["name"], row["plugins"]) for row in rows] == [
            (None, "ping", ["tracing_ids"]),
            (None, "-", ["tracing_ids"]),
            ("mobile", "page", ["tracing_ids", "security_headers"]),
            ("mobile", "-", ["tracing_ids", "security_headers"]),
            ("web", "page", ["tracing_ids"]),
            ("web", "-", ["tracing_ids"]),
        ]
        shown = {row["name"]: row["routes"] for row in views.plugins(worker.runtime)}
        assert shown == {
            "tracing_ids": ["-", "ping", "mobile/-", "mobile/page", "web/-", "web/page"],
            "security_headers": ["mobile/-", "mobile/page"],
        }
        found = views.effective(worker.runtime.generation)["frontends"]
        assert [(one["frontend"], one["prefix"]) for one in found] == [("mobile", "/m"), ("web", "/w")]
        answer = await worker.ask("POST", "/api/explain", json={"url": "/page/1", "frontend": "mobile"})
        assert (answer.data["frontend"], answer.data["status"]) == ("mobile", 404)
        answer = await worker.ask("POST", "/api/explain", json={"url": "/w/page/1"})
        assert (answer.data["frontend"], answer.data["route"]) == ("web", "page")
        answer = await worker.ask("POST", "/api/explain", json={"url": "/", "frontend": "none"})
        assert answer.status == 400
        page = (await worker.get("/")).body.decode()
        assert "routes: 3, frontends: 2, upstreams: 0" in page
