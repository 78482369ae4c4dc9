"""Credentials and fields, as requests bring them."""

import base64
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, make_mocked_request
from pytest_aiohttp.plugin import AiohttpClient

from gateway.demo.credentials import FORM, basic_credentials, bearer_token, read_fields, read_form
from gateway.demo.switches import make_app

Client = TestClient[Any, Any]


def asking(authorization: str | None) -> web.Request:
    headers = {} if authorization is None else {"Authorization": authorization}
    return make_mocked_request("GET", "/", headers=headers)


def basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "token"),
    [
        ("Bearer abc.def-_~+/==", "abc.def-_~+/=="),
        ("bearer  abc", "abc"),
        (None, None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer a b", None),
        ("Bearer é", None),
        ("Bearerabc", None),
        (basic("ada:lovelace"), None),
    ],
)
def test_bearer_tokens(authorization: str | None, token: str | None) -> None:
    assert bearer_token(asking(authorization)) == token


@pytest.mark.parametrize(
    ("authorization", "credentials"),
    [
        (basic("ada:lovelace"), ("ada", "lovelace")),
        (basic("ada:love:lace"), ("ada", "love:lace")),
        (basic("adä:läce"), ("adä", "läce")),
        (basic(":"), ("", "")),
        (basic("ada:x").replace("Basic", "bASIC"), ("ada", "x")),
        (None, None),
        (basic("ada"), None),
        (basic(b"\xff:x"), None),
        ("Basic", None),
        ("Basic YWRhOng", None),
        ("Basic Y=", None),
        ("Basic ada:x", None),
        ("Bearer abc", None),
    ],
)
def test_basic_credentials(authorization: str | None, credentials: tuple[str, str] | None) -> None:
    assert basic_credentials(asking(authorization)) == credentials


async def show_form(request: web.Request) -> web.Response:
    return web.json_response(await read_form(request))


async def show_fields(request: web.Request) -> web.Response:
    return web.json_response(await read_fields(request))


@pytest.fixture
async def client(aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(make_app("sample", [web.post("/form", show_form), web.post("/fields", show_fields)]))


@pytest.mark.parametrize("path", ["/form", "/fields"])
async def test_a_form(client: Client, path: str) -> None:
    response = await client.post(path, data=b"a=1&b=x+%26%20y&empty=&c=%C3%A9", headers={"Content-Type": FORM})

    assert await response.json() == {"a": "1", "b": "x & y", "c": "é"}


@pytest.mark.parametrize("body", [b'{"a": "1", "b": ""}', b""])
async def test_json_or_nothing(client: Client, body: bytes) -> None:
    response = await client.post("/fields", data=body)

    assert await response.json() == ({"a": "1", "b": ""} if body else {})


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"a=1&a=2", "a field comes twice"),
        (b"a=%ff", "is not application/x-www-form-urlencoded"),
        (b"a=\xff", "is not application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % number for number in range(101)), "at most 100 fields"),
    ],
)
async def test_what_is_wrong_with_a_form(client: Client, body: bytes, complaint: str) -> None:
    response = await client.post("/form", data=body, headers={"Content-Type": FORM})

    assert response.status == 400
    assert complaint in (await response.json())["error"]


async def test_a_form_must_say_that_it_is_one(client: Client) -> None:
    response = await client.post("/form", json={"a": "1"})

    assert response.status == 400
    assert "the body must be application/x-www-form-urlencoded" in (await response.json())["error"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [(b"{", "not JSON"), (b"[]", "JSON object of strings"), (b'{"user": 1}', "JSON object of strings")],
)
async def test_what_is_wrong_with_fields(client: Client, body: bytes, complaint: str) -> None:
    response = await client.post("/fields", data=body)

    assert response.status == 400
    assert complaint in (await response.json())["error"]
