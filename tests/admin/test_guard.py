"""Who may talk to the admin listener."""

from pathlib import Path

import pytest

from gateway.admin.guard import host_is_ours, origin_is_ours, token_is_right
from tests.support.gateways import request
from tests.support.raw_client import connected
from tests.support.runtimes import HEAD, PING, Running, running

TOKEN = "correct-horse"
GUARDED = HEAD.replace(
    "admin: {bind: '127.0.0.1:0'}",
    f"admin: {{bind: '127.0.0.1:0', token: {TOKEN}, public: [/metrics], hosts: [gw.example.com]}}",
)
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3:9901", True),
        ("[::1]:9901", True),
        ("[::1]", True),
        ("localhost", True),
        ("LocalHost:9901", True),
        ("gw.example.com:9901", True),
        ("GW.example.com", True),
        ("a.b.example.org", True),
        ("example.org", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example@localhost", False),
        ("2130706433", False),
        ("::1", False),
        ("[::1", False),
        ("[localhost]", False),
        ("localhost:", False),
        ("localhost:x", False),
        ("", False),
    ],
)
def test_hosts(host: str, ours: bool) -> None:
    assert host_is_ours(host, ("gw.example.com", "*.example.org")) is ours


@pytest.mark.parametrize(
    ("origin", "host", "ours"),
    [
        ("http://localhost:9901", "localhost:9901", True),
        ("http://LOCALHOST:9901", "localhost:9901", True),
        ("http://[::1]:9901", "[::1]:9901", True),
        ("http://localhost", "localhost", True),
        ("http://localhost", "localhost:80", True),
        ("https://gw.example.com", "gw.example.com", True),
        ("http://localhost:9902", "localhost:9901", False),
        ("http://evil.example", "localhost:9901", False),
        ("http://localhost", "localhost:9901", False),
        ("file://localhost:9901", "localhost:9901", False),
        ("http://localhost:99999", "localhost:9901", False),
        ("null", "localhost:9901", False),
        ("", "localhost:9901", False),
    ],
)
def test_origins(origin: str, host: str, ours: bool) -> None:
    assert origin_is_ours(origin, host) is ours


@pytest.mark.parametrize(
    ("fields", "right"),
    [
        ([f"Bearer {TOKEN}"], True),
        ([f"bearer  {TOKEN} "], True),
        ([f"Bearer {TOKEN}x"], False),
        ([TOKEN], False),
        ([f"Basic {TOKEN}"], False),
        (["Bearer"], False),
        (["Bearer "], False),
        (["Bearer \udcff"], False),
        ([f"Bearer {TOKEN}", f"Bearer {TOKEN}"], False),
        ([], False),
    ],
)
def test_tokens(fields: list[str], right: bool) -> None:
    assert token_is_right(fields, TOKEN) is right


async def test_the_token_opens_everything_but_health(tmp_path: Path) -> None:
    async with running(tmp_path, GUARDED + PING) as worker:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await worker.get(path)).status == 200, path
        for path in ("/", "/api/routes", "/api/upstreams", "/api/plugins", "/api/config", "/nowhere"):
            answer = await worker.get(path)
            assert answer.status == 401, path
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert TOKEN.encode() not in answer.body
            assert (await worker.get(path, **BEARER)).status == (404 if path == "/nowhere" else 200), path
        for path in ("/api/reload", "/api/explain", "/api/upstreams/a/endpoints/b:1"):
            assert (await worker.ask("POST", path)).status == 401
        assert worker.runtime.version == 1


async def test_without_a_token_everything_is_open(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        assert (await worker.get("/api/config")).status == 200


async def test_a_foreign_host(tmp_path: Path) -> None:
    async with running(tmp_path, GUARDED + PING) as worker:
        assert (await worker.get("/healthz", Host="evil.example")).status == 421
        assert (await worker.get("/metrics", Host="gw.example.com")).status == 200
        port = int(worker.admin.address.rpartition(":")[2])
        async with connected(port) as client:
            client.send(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert b" 421 " in (await client.rest()).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://ADDRESS"}, 200),
        ({"Origin": "http://ADDRESS", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://ADDRESS", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_pages_of_other_sites_change_nothing(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async with running(tmp_path, GUARDED + PING) as worker:
        filled = {name: value.replace("ADDRESS", worker.admin.address) for name, value in headers.items()}
        answer = await worker.ask("POST", "/api/reload", {**BEARER, **filled})
        assert answer.status == status
        assert worker.runtime.version == (2 if status == 200 else 1)
        assert (await worker.ask("GET", "/api/routes", {**BEARER, **filled})).status == 200


async def test_a_reload_changes_the_token(tmp_path: Path) -> None:
    async with running(tmp_path, GUARDED + PING) as worker:
        worker.write(GUARDED.replace(TOKEN, "other") + PING)
        assert await worker.runtime.reload()
        assert (await worker.get("/api/config", **BEARER)).status == 401
        assert (await worker.get("/api/config", Authorization="Bearer other")).status == 200


async def test_admin_requests_count_nowhere(tmp_path: Path) -> None:
    async with running(tmp_path, HEAD + "plugins: [rate_metrics]\n" + PING) as worker:
        await worker.get("/api/routes")
        before = await _counted(worker)
        assert before == []
        async with worker.client() as client:
            await client.ask(request("/ping"))
        assert await _counted(worker) == ['gateway_requests_total{code="200",method="GET",route="ping"} 1.0']


async def _counted(worker: Running) -> list[str]:
    text = (await worker.get("/metrics")).body.decode()
    return [line for line in text.splitlines() if line.startswith("gateway_requests_total{")]
