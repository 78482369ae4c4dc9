"""The sample catalog, over real sockets."""

import io
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient
from yarl import URL

from gateway.demo.catalog import ITEMS, catalog
from gateway.demo.users import USERS

Client = TestClient[Any, Any]


@pytest.fixture
async def client(aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(catalog())


def test_items_fit_together() -> None:
    assert all(item["seller_id"] in USERS for item in ITEMS.values())
    assert all(other in ITEMS and other != item["id"] for item in ITEMS.values() for other in item["related"])


async def test_items(client: Client) -> None:
    response = await client.get("/items")

    assert (await response.json())["items"] == list(ITEMS.values())


async def test_one_item(client: Client) -> None:
    response = await client.get("/items/42")

    assert await response.json() == ITEMS[42]


@pytest.mark.parametrize("item_id", ["43", "none", "9" * 10])
async def test_no_such_item(client: Client, item_id: str) -> None:
    response = await client.get(f"/items/{item_id}")

    assert response.status == 404


async def test_a_new_item_is_echoed(client: Client) -> None:
    response = await client.post("/items", json={"name": "spoon", "price": 1.5})

    assert response.status == 201
    assert response.headers["Location"] == "/items/43"
    assert await response.json() == {"id": 43, "name": "spoon", "price": 1.5}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"name": 1}'])
async def test_an_item_without_a_name_is_refused(client: Client, body: bytes) -> None:
    response = await client.post("/items", data=body)

    assert response.status == 400


async def test_a_stream_declares_its_length(client: Client) -> None:
    response = await client.get("/stream?bytes=100KiB")

    assert response.headers["Content-Length"] == str(100 << 10)
    assert len(await response.read()) == 100 << 10


async def test_a_chunked_stream_does_not(client: Client) -> None:
    response = await client.get("/stream?bytes=20000&chunked=1&pause=1ms")

    assert response.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in response.headers
    assert len(await response.read()) == 20_000


async def test_head_of_a_stream_has_no_body(client: Client) -> None:
    response = await client.head("/stream?bytes=20000")

    assert (response.headers["Content-Length"], await response.read()) == ("20000", b"")


async def test_a_stream_is_bounded(client: Client) -> None:
    response = await client.get("/stream?bytes=2GiB")

    assert response.status == 400


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_an_upload_is_counted(client: Client, method: str) -> None:
    response = await client.request(method, "/upload", data=io.BytesIO(b"x" * 3_000_000))

    assert await response.json() == {"bytes": 3_000_000}


async def test_events(client: Client) -> None:
    response = await client.get("/events?every=1ms&count=2")

    assert response.content_type == "text/event-stream"
    assert await response.text() == 'id: 1\nevent: tick\ndata: {"tick": 1}\n\nid: 2\nevent: tick\ndata: {"tick": 2}\n\n'


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE", "PURGE"])
async def test_echo_shows_the_request_as_it_came(client: Client, method: str) -> None:
    url = URL(f"http://{client.host}:{client.port}/echo/a%2Fb//c?x=%20&y", encoded=True)
    headers = [("X-Twice", "1"), ("X-Twice", "2")]

    async with client.session.request(method, url, headers=headers, data=b"12345") as response:
        seen = await response.json()

    assert (seen["method"], seen["path"], seen["query"]) == (method, "/echo/a%2Fb//c", "x=%20&y")
    assert [pair for pair in seen["headers"] if pair[0] == "X-Twice"] == [["X-Twice", "1"], ["X-Twice", "2"]]
    assert seen["body_bytes"] == 5
