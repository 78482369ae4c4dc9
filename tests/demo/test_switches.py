"""How a sample service is made slow or broken."""

import json
import time
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from gateway.demo.switches import SWITCHBOARD, Switch, make_app

Client = TestClient[Any, Any]


async def hello(request: web.Request) -> web.Response:
    return web.json_response({"hello": "world"})


@pytest.fixture
async def client(aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(make_app("sample", [web.get("/hello", hello)]))


async def test_a_service_behaves_unless_told(client: Client) -> None:
    response = await client.get("/hello")

    assert (response.status, await response.json()) == (200, {"hello": "world"})


async def test_a_query_breaks_one_request(client: Client) -> None:
    broken = await client.get("/hello?error=503")
    after = await client.get("/hello")

    assert (broken.status, after.status) == (503, 200)
    assert await broken.json() == {"error": "sample was told to fail"}


async def test_a_query_slows_one_request(client: Client) -> None:
    started = time.monotonic()

    await client.get("/hello?delay=60ms")

    assert time.monotonic() - started >= 0.05


async def test_a_share_breaks_some(client: Client) -> None:
    client.app[SWITCHBOARD].random.seed(1)

    statuses = [(await client.get("/hello?error=500&error_share=50%25")).status for _ in range(40)]

    assert 10 < statuses.count(500) < 30


async def test_a_switch_breaks_all_but_health_until_reset(client: Client) -> None:
    switched = await client.post("/_switch", json={"error": 503, "share": 1.0})
    broken = await client.get("/hello")
    health = await client.get("/health")
    reset = await client.delete("/_switch")
    after = await client.get("/hello")

    assert await switched.json() == {"delay": 0.0, "error": 503, "share": 1.0}
    assert (broken.status, health.status, after.status) == (503, 200, 200)
    assert await reset.json() == {"delay": 0.0, "error": None, "share": 1.0}


async def test_the_switch_can_be_seen(client: Client) -> None:
    await client.post("/_switch", json={"delay": "200ms"})

    assert await (await client.get("/_switch")).json() == {"delay": 0.2, "error": None, "share": 1.0}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("{", "not JSON"),
        ("\xff", "not JSON"),
        ("[]", "must be a JSON object"),
        ('{"dely": "1s"}', "unknown: dely"),
        ('{"delay": 5}', "delay: 5"),
        ('{"error": 200}', "error: 200"),
        ('{"share": 0.5}', "share needs an error"),
        ('{"error": 503, "share": 2}', "share: "),
    ],
)
async def test_a_bad_switch_is_told_so(client: Client, body: str, complaint: str) -> None:
    response = await client.post("/_switch", data=body.encode("latin-1"))

    assert response.status == 400
    assert complaint in (await response.json())["error"]
    assert client.app[SWITCHBOARD].switch == Switch()


@pytest.mark.parametrize("query", ["delay=5", "error=no", "error=503&error_share=2", "error_share=50%25"])
async def test_a_bad_query_is_told_so(client: Client, query: str) -> None:
    response = await client.get(f"/hello?{query}")

    assert response.status == 400
    assert "error" in await response.json()


async def test_what_is_not_there_is_told_in_json(client: Client) -> None:
    missing, not_allowed = await client.get("/nothing"), await client.post("/hello")

    assert (missing.status, not_allowed.status) == (404, 405)
    assert json.loads(await missing.text()) == {"error": "Not Found"}
    assert not_allowed.headers["Allow"] == "GET,HEAD"


def test_a_query_wins_over_the_switch() -> None:
    switch = Switch(delay=1.0, error=500, share=0.5)

    assert switch.for_query({}) == switch
    assert switch.for_query({"delay": "0ms", "error": "404"}) == Switch(delay=0.0, error=404, share=1.0)
    assert switch.for_query({"error_share": "10%"}) == Switch(delay=1.0, error=500, share=0.1)
