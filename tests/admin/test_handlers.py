"""What each path of the admin listener does, on a real worker."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.process.channel import Refusal
from gateway.process.siblings import Alone
from tests.support.gateways import request
from tests.support.polling import eventually
from tests.support.raw_upstream import answering, upstream
from tests.support.runtimes import HEAD, PING, prepared, running, write_plugin

API = "upstreams: {up: {endpoints: ['http://127.0.0.1:%d', 'http://127.0.0.1:9']}}\n"
API += "routes: [{name: api, match: {path: '/api/{rest}', methods: [GET]}, to: up, rewrite: {path: '/{rest}'}}]\n"


async def test_health_and_readiness(tmp_path: Path) -> None:
    async with prepared(tmp_path) as worker:
        assert (await worker.get("/healthz")).status == 200
        assert (await worker.get("/readyz")).body == b"starting\n"
        answer = await worker.get("/api/routes")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert (await worker.get("/metrics")).status == 200
        assert (await worker.ask("POST", "/api/reload")).status == 503
        await worker.runtime.start()
        answer = await worker.get("/readyz")
        assert (answer.status, answer.body) == (200, b"ready\n")
        await worker.runtime.drain()
        answer = await worker.get("/readyz")
        assert (answer.status, answer.body) == (503, b"draining\n")
        assert (await worker.get("/healthz")).status == 200
        answer = await worker.ask("POST", "/api/reload")
        assert (answer.status, answer.data["detail"]) == (503, "the gateway is stopping")


async def test_metrics_in_both_formats(tmp_path: Path) -> None:
    async with running(tmp_path, HEAD + "plugins: [rate_metrics]\n" + PING) as worker:
        async with worker.client() as client:
            await client.ask(request("/ping"))
        text = await worker.get("/metrics")
        assert text.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "gateway_requests" in {family.name for family in parse_text(text.body.decode())}
        accept = "application/openmetrics-text; version=1.0.0"
        opened = await worker.get("/metrics", Accept=accept)
        assert opened.headers["Content-Type"].startswith("application/openmetrics-text")
        assert "gateway_requests" in {family.name for family in parse_open_metrics(opened.body.decode())}


async def test_routes_upstreams_and_plugins(tmp_path: Path) -> None:
    async with running(tmp_path, HEAD + "plugins: [rate_metrics]\n" + API % 7) as worker:
        assert [row["name"] for row in (await worker.get("/api/routes")).data["routes"]] == ["api", "-"]
        (up,) = (await worker.get("/api/upstreams")).data["upstreams"]
        assert len(up["endpoints"]) == 2
        assert (await worker.get("/api/plugins")).data["plugins"][0]["name"] == "rate_metrics"


async def test_explain(tmp_path: Path) -> None:
    async with running(tmp_path, HEAD + "plugins: [rate_metrics]\n" + API % 7) as worker:
        asked = {"method": "GET", "url": "http://x/api/a?b=c", "headers": {"Cookie": "secret", "X": ["1", "2"]}}
        answer = await worker.ask("POST", "/api/explain", json=asked)
        assert answer.status == 200
        assert answer.data["route"] == "api"
        assert answer.data["targets"][0]["urls"] == ["http://127.0.0.1:7/a?b=c", "http://127.0.0.1:9/a?b=c"]
        assert answer.data["plugins"][0]["position"].endswith("routes.yaml:4:11")
        assert b"secret" not in answer.body
        missed = (await worker.ask("POST", "/api/explain", json={"url": "http://x/other"})).data
        assert (missed["route"], missed["status"]) == (None, 404)
        assert missed["others"][0]["route"] == "api"
        wrong = (await worker.ask("POST", "/api/explain", json={"method": "POST", "url": "/api/a"})).data
        assert (wrong["status"], wrong["allow"]) == (405, ["GET", "HEAD"])
    assert worker.runtime.proxy.active == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "'url' is missing"),
        ({"url": 1}, "'url' should be text"),
        ({"url": "ftp://x/"}, "not a URL"),
        ({"url": "/a", "method": "G T"}, "not a method"),
        ({"url": "/a", "headers": []}, "an object"),
        ({"url": "/a", "headers": {"a": 1}}, "text, or a list"),
        ({"url": "/a", "headers": {"a b": "1"}}, "not a header field"),
        ({"url": "/a", "header": {}}, "did you mean 'headers'"),
    ],
)
async def test_explain_refuses(tmp_path: Path, body: dict[str, Any], said: str) -> None:
    async with running(tmp_path) as worker:
        answer = await worker.ask("POST", "/api/explain", json=body)
        assert answer.status == 400
        assert said in answer.data["detail"]


async def test_reload(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        tag = (await worker.get("/api/config")).headers["ETag"]
        assert tag == '"1"'
        worker.write(HEAD + PING.replace("/ping", "/other"))
        answer = await worker.ask("POST", "/api/reload", {"If-Match": tag})
        assert (answer.status, answer.headers["ETag"], answer.data["version"]) == (200, '"2"', 2)
        assert answer.data["problems"] == []
        assert (await worker.get("/api/config")).data["digest"] == answer.data["digest"]
        async with worker.client() as client:
            assert (await client.ask(request("/other"))).status == 200


@pytest.mark.parametrize(
    ("condition", "status"),
    [("1", 200), ('"1"', 200), ('W/"1"', 200), ("*", 200), ('"7", "1"', 200), ("7", 412), ('"x"', 412), ("", 412)],
)
async def test_reload_on_condition(tmp_path: Path, condition: str, status: int) -> None:
    async with running(tmp_path) as worker:
        answer = await worker.ask("POST", "/api/reload", {"If-Match": condition})
        assert answer.status == status
        assert answer.headers["ETag"] == ('"2"' if status == 200 else '"1"')
        if status == 412:
            assert answer.data["version"] == 1


async def test_a_refused_reload_tells_all_problems(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        worker.write(HEAD + "routes:\n  - {nam: a}\n  - {name: b, to: nowhere}\n")
        answer = await worker.ask("POST", "/api/reload")
        assert (answer.status, answer.data["version"]) == (422, 1)
        problems = answer.data["problems"]
        assert {(problem["line"], problem["severity"]) for problem in problems} >= {(5, "error"), (6, "error")}
        assert any("unknown upstream 'nowhere'" in problem["message"] for problem in problems)
        assert "| " in problems[0]["text"]
        assert problems[0]["text"].endswith("^")
        config = (await worker.get("/api/config")).data
        assert config["last_load"]["result"] == "failure"
        assert config["last_load"]["problems"] == problems
        assert config["config"]["routes"][0]["name"] == "ping"
        text = (await worker.get("/metrics")).body.decode()
        assert 'gateway_config_reloads_total{result="failure"} 1.0' in text
        async with worker.client() as client:
            assert (await client.ask(request("/ping"))).status == 200


async def test_a_reload_takes_no_body(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        assert (await worker.ask("POST", "/api/reload", json={})).status == 200
        assert (await worker.ask("POST", "/api/reload", json={"force": True})).status == 400
        assert worker.runtime.version == 2


async def test_secrets_stay_out_of_a_refusal(tmp_path: Path) -> None:
    write_plugin(tmp_path, "probe")
    async with running(tmp_path) as worker:
        worker.write(HEAD + "plugins: [{probe: {key: geheim, fails: true}}]\n" + PING)
        answer = await worker.ask("POST", "/api/reload")
        assert answer.status == 422
        assert "cannot start ***" in answer.data["problems"][0]["message"]
        assert b"geheim" not in answer.body


async def test_an_endpoint_is_drained_and_enabled(tmp_path: Path) -> None:
    async with upstream(answering) as service, running(tmp_path, HEAD + API % service.port) as worker:
        path = f"/api/upstreams/up/endpoints/127.0.0.1:{service.port}"
        drained = await worker.ask("POST", "/api/upstreams/up/endpoints/127.0.0.1:9", json={"state": "drain"})
        assert (drained.status, drained.data["state"]) == (200, "drain")
        async with worker.client() as client:
            for _ in range(3):
                assert (await client.ask(request("/api/a"))).status == 200, "only one endpoint takes requests"
            assert (await worker.ask("POST", path, json={"state": "drain"})).status == 200
            assert (await client.ask(request("/api/a"))).status == 503
            assert await worker.runtime.reload(), "a reload keeps it so"
            assert (await client.ask(request("/api/a"))).status == 503
            shown = (await worker.ask("POST", "/api/explain", json={"url": "http://x/api/a"})).data["targets"][0]
            assert (shown["urls"], len(shown["drained"])) == ([], 2)
            assert (await worker.ask("POST", path, json={"state": "enabled"})).data["state"] == "enabled"
            assert (await client.ask(request("/api/a"))).status == 200
        await eventually(lambda: worker.runtime.proxy.active == 0)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("up/endpoints/127.0.0.1:9", {"state": "off"}, 400, "'state' is drain or enabled, not 'off'"),
        ("up/endpoints/127.0.0.1:9", {}, 400, "'state' is missing"),
        ("up/endpoints/127.0.0.1:9", {"state": "drain", "for": "1m"}, 400, "unknown key 'for'"),
        ("up/endpoints/127.0.0.1:8", {"state": "drain"}, 404, "it has 127.0.0.1:7, 127.0.0.1:9"),
        ("down/endpoints/127.0.0.1:9", {"state": "drain"}, 404, "no upstream 'down'"),
    ],
)
async def test_endpoint_refuses(tmp_path: Path, path: str, body: dict[str, str], status: int, said: str) -> None:
    async with running(tmp_path, HEAD + API % 7) as worker:
        answer = await worker.ask("POST", f"/api/upstreams/{path}", json=body)
        assert answer.status == status
        assert said in answer.data["detail"]


class Restarting(Alone):
    async def reload(self, *given: object, **options: object) -> bool:
        raise Refusal("the gateway is restarting; ask again")


@pytest.mark.parametrize("path", ["reload", "rollback"])
async def test_a_reload_that_cannot_be_made_just_now(tmp_path: Path, path: str) -> None:
    async with running(tmp_path, siblings=Restarting) as worker:
        answer = await worker.ask("POST", f"/api/{path}")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert answer.data["detail"] == "the gateway is restarting; ask again"


async def test_versions_and_rollback(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        runtime = worker.runtime
        worker.write(HEAD + PING.replace("/ping", "/other"))
        assert (await worker.ask("POST", "/api/reload")).status == 200
        refused = await worker.ask("POST", "/api/rollback", {"If-Match": '"1"'})
        assert (refused.status, refused.data["version"], runtime.version) == (412, 2, 2)
        answer = await worker.ask("POST", "/api/rollback", {"If-Match": '"2"'}, json={"version": 1})
        assert (answer.status, answer.headers["ETag"]) == (200, '"3"')
        assert (answer.data["version"], answer.data["restored"]) == (3, 1)
        shown = (await worker.get("/api/versions")).data["versions"]
        assert [(one["version"], one["why"], one["restored"]) for one in shown] == [
            (3, "rollback to 1", 1),
            (2, "reload", None),
            (1, "start", None),
        ]
        assert shown[0]["digest"] == shown[2]["digest"] != shown[1]["digest"]
        async with worker.client() as client:
            assert (await client.ask(request("/ping"))).status == 200
        assert (await worker.ask("POST", "/api/reload")).status == 200
        assert runtime.proxy.table.router.routes[0].pattern.text == "/other", "the disk was left as it was"


@pytest.mark.parametrize("number", [-1, "1", 1.0, True, None, [1]])
async def test_a_rollback_to_what_is_no_version(tmp_path: Path, number: Any) -> None:
    async with running(tmp_path) as worker:
        answer = await worker.ask("POST", "/api/rollback", json={"version": number})
        assert (answer.status, "number of a version" in answer.data["detail"]) == (400, True)


async def test_a_rollback_to_what_does_not_fit_any_more_is_refused(tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, "probe")
    async with running(tmp_path, HEAD + "plugins: [probe]\n" + PING) as worker:
        worker.write(HEAD + PING)
        assert await worker.runtime.reload()
        plugin.unlink()
        answer = await worker.ask("POST", "/api/rollback")
        assert (answer.status, answer.data["version"]) == (422, 2)
        assert "no plugin is named 'probe'" in answer.data["problems"][0]["text"]
        assert worker.runtime.version == 2
