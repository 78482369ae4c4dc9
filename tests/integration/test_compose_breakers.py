"""Breakers around a composition and inside it, in a running worker, as the admin listener shows them."""

from __future__ import annotations

from pathlib import Path

from tests.support.gateways import request
from tests.support.messages import Message
from tests.support.misbehaving import status
from tests.support.polling import eventually
from tests.support.raw_upstream import RawUpstream, saying, upstream
from tests.support.runtimes import HEAD, Running, running

ONE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1"


def config(service: RawUpstream, other: RawUpstream, breaker: str) -> str:
    return f"""{HEAD}upstreams:
  up: {{endpoints: ['http://127.0.0.1:{service.port}'], outliers: off}}
  other: {{endpoints: ['http://127.0.0.1:{other.port}'], outliers: off}}
routes:
  - name: page
    match: {{path: "/p/{{id}}"}}
    plugins: [breaker: {{consecutive: 2, sleep: 60s, {breaker}}}]
    compose:
      parts:
        a: {{from: up, path: "/a/{{id}}", required: true}}
        b: {{from: other, path: "/b/{{id}}", breaker: {{consecutive: 1, sleep: 60s, fallback: {{json: 5}}}}}}
"""


async def ask(worker: Running) -> Message:
    async with worker.client() as client:
        answer = await client.ask(request("/p/7"))
    await eventually(lambda: worker.runtime.proxy.active == 0)
    return answer


async def states(worker: Running) -> dict[str, tuple[str, int]]:
    return {
        row["name"]: (row["state"], row["in_flight"]) for row in (await worker.get("/api/breakers")).data["breakers"]
    }


async def test_a_route_that_is_spared(tmp_path: Path) -> None:
    async with (
        upstream(saying(status(500))) as service,
        upstream(saying(ONE)) as other,
        running(tmp_path, config(service, other, "fallback: {json: {a: none}}")) as worker,
    ):
        for _ in range(4):
            answer = await ask(worker)
            assert (answer.status, answer.body, answer.get("gateway-fallback")) == (200, b'{"a":"none"}', "static")
        assert len(service.requests) == 2
        assert await states(worker) == {"page": ("open", 0), "page/b": ("closed", 0)}


async def test_a_part_that_is_spared(tmp_path: Path) -> None:
    async with (
        upstream(saying(ONE)) as service,
        upstream(saying(status(500))) as other,
        running(tmp_path, config(service, other, "fallback: {stale: {}}")) as worker,
    ):
        for _ in range(3):
            answer = await ask(worker)
            assert (answer.status, answer.body, answer.get("x-gateway-completed")) == (200, b'{"a":1,"b":5}', "true")
        assert len(other.requests) == 1
        assert await states(worker) == {"page": ("closed", 0), "page/b": ("open", 0)}
        forced = await worker.ask("POST", "/api/breakers/page", json={"state": "forced_open"})
        assert forced.status == 200
        answer = await ask(worker)
        assert (answer.body, answer.get("gateway-fallback")) == (b'{"a":1,"b":5}', "stale")


async def test_another_upstream_gets_the_whole_request(tmp_path: Path) -> None:
    async with (
        upstream(saying(status(500))) as service,
        upstream(saying(ONE)) as other,
        running(tmp_path, config(service, other, "fallback: {to: other}")) as worker,
    ):
        for _ in range(3):
            answer = await ask(worker)
            assert (answer.status, answer.body, answer.get("gateway-fallback")) == (200, b"1", "upstream")
        assert len(service.requests) == 2
        assert [message.first for message in other.requests].count(b"GET /p/7 HTTP/1.1") == 3


async def test_what_the_admin_listener_explains(tmp_path: Path) -> None:
    async with (
        upstream(saying(ONE)) as service,
        running(tmp_path, config(service, service, "requests: 5")) as worker,
    ):
        explained = await worker.ask("POST", "/api/explain", json={"url": "http://x/p/7"})
        assert [(part["name"], part["upstream"], part["path"]) for part in explained.data["parts"]] == [
            ("a", "up", "/a/7"),
            ("b", "other", "/b/7"),
        ]
        effective = (await worker.get("/api/config")).data["config"]["routes"][0]["compose"]["parts"]["b"]
        assert (effective["breaker"]["consecutive"], effective["breaker"]["fallback"]["json"]) == (1, 5)
        assert not service.requests
