"""Old services for new clients and the other way round, over real connections. The services read and write their XML
with the standard library alone."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import aiohttp
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from tests.support.gateways import request
from tests.support.polling import eventually, soon
from tests.support.runtimes import HEAD, Running, running

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
STOCK = "urn:stock"
PNG = b"\x89PNG" + bytes(range(256)) * 4


def envelope(content: ET.Element) -> bytes:
    root = ET.Element(f"{{{SOAP}}}Envelope")
    ET.SubElement(root, f"{{{SOAP}}}Body").append(content)
    return ET.tostring(root, encoding="iso-8859-1", xml_declaration=True)


def fault(code: str, reason: str, detail: str) -> bytes:
    found = ET.Element(f"{{{SOAP}}}Fault")
    ET.SubElement(found, "faultcode").text = f"ns0:{code}"
    ET.SubElement(found, "faultstring").text = reason
    ET.SubElement(ET.SubElement(found, "detail"), f"{{{STOCK}}}{detail}").text = "at Stock.java:7"
    return envelope(found)


async def soap(asked: web.Request) -> web.Response:
    """Prices by symbol: what it knows, a fault of each kind, and rubbish."""
    assert asked.headers["SOAPAction"] == f'"{STOCK}#GetPrice"'
    assert asked.content_type == "text/xml"
    body = ET.fromstring(await asked.read()).find(f"{{{SOAP}}}Body")
    assert body is not None
    symbol = body.findtext(f"{{{STOCK}}}GetPrice/{{{STOCK}}}symbol")
    if symbol == "rubbish":
        return web.Response(body=b"<html>", content_type="text/xml")
    if symbol == "long":
        return web.Response(body=b"<" * 5000, content_type="text/xml")
    if symbol in (None, "gone", "broken"):
        kind, name = ("Server", "Stack") if symbol == "broken" else ("Client", "NotFound" if symbol else "Missing")
        return web.Response(status=500, body=fault(kind, f"{symbol}: no", name), content_type="text/xml")
    answer = ET.Element(f"{{{STOCK}}}GetPriceResponse")
    ET.SubElement(answer, f"{{{STOCK}}}name").text = f"{symbol} & Söhne"
    ET.SubElement(answer, f"{{{STOCK}}}price").text = "9.990"
    return web.Response(body=envelope(answer), content_type="text/xml")


async def catalog(asked: web.Request) -> web.Response:
    """Plain XML: one document with an ETag, and a picture."""
    if asked.path == "/logo":
        return web.Response(body=PNG, content_type="image/png")
    assert asked.headers["Accept-Encoding"] == "identity"
    if asked.headers.get("If-None-Match") == 'W/"1"':
        return web.Response(status=304, headers={"ETag": '"1"'})
    text = '<items><item id="1">tea</item></items>'
    return web.Response(text=text, content_type="application/xml", headers={"ETag": '"1"'})


async def orders(asked: web.Request) -> web.Response:
    """JSON, and nothing else: it gives back what it got."""
    assert asked.content_type == "application/json"
    return web.json_response({"got": await asked.json()}, status=201)


@pytest.fixture
async def service(aiohttp_server: AiohttpServer) -> int:
    app = web.Application()
    app.router.add_post("/soap", soap)
    app.router.add_get("/items", catalog)
    app.router.add_get("/logo", catalog)
    app.router.add_route("*", "/orders", orders)
    server = await aiohttp_server(app)
    return int(server.port or 0)


PRICES = (
    "soap: {operation: GetPrice, namespace: 'urn:stock', action: 'urn:stock#GetPrice', types: {price: number}, "
    "faults: {NotFound: 404}}, max_body: 4KiB"
)


@contextlib.asynccontextmanager
async def worker(folder: Path, port: int) -> AsyncIterator[tuple[Running, aiohttp.ClientSession]]:
    config = f"""{HEAD}upstreams:
  old: {{endpoints: ['http://127.0.0.1:{port}']}}
  again: {{endpoints: ['http://127.0.0.1:1', 'http://127.0.0.1:{port}'], retries: {{attempts: 2, on: [connect]}}}}
routes:
  - {{name: price, match: {{path: /price}}, to: old, rewrite: {{path: /soap}}, plugins: [legacy_service: {{{PRICES}}}]}}
  - name: xml-price
    match: {{path: /xml-price}}
    to: old
    rewrite: {{path: /soap}}
    plugins: [legacy_client: {{xml: {{root: price}}}}, legacy_service: {{{PRICES}}}]
  - {{name: items, match: {{path: /items}}, to: old, plugins: [legacy_service: {{xml: {{lists: [item]}}}}]}}
  - {{name: logo, match: {{path: /logo}}, to: old, plugins: [legacy_service: {{xml: {{}}}}]}}
  - name: orders
    match: {{path: /orders, headers: {{Content-Type: "~.*xml.*"}}}}
    to: again
    plugins: [legacy_client: {{xml: {{root: order, types: {{n: number}}}}}}]
  - {{name: form, match: {{path: /orders}}, to: again, plugins: [legacy_client: {{form: {{}}}}]}}
"""
    async with running(folder, config) as started, aiohttp.ClientSession(f"http://127.0.0.1:{started.port}") as session:
        yield started, session
        await eventually(lambda: started.runtime.proxy.active == 0)


async def ask(session: aiohttp.ClientSession, method: str, path: str, **options: Any) -> tuple[int, Any, bytes]:
    async def exchange() -> tuple[int, Any, bytes]:
        async with session.request(method, path, **options) as answer:
            return answer.status, answer.headers, await answer.read()

    return await soon(exchange())


async def test_a_soap_service_is_offered_as_json(tmp_path: Path, service: int) -> None:
    async with worker(tmp_path, service) as (_, session):
        status, headers, body = await ask(session, "POST", "/price", json={"symbol": "ACME"})
        assert (status, body.decode()) == (200, '{"name":"ACME & Söhne","price":9.990}')
        assert headers["Content-Type"] == "application/json"
        assert headers["Content-Length"] == str(len(body))

        for symbol, wanted, code in [("gone", 404, "Client"), ("broken", 502, "Server")]:
            status, headers, body = await ask(session, "POST", "/price", json={"symbol": symbol})
            assert (status, headers["Content-Type"]) == (wanted, "application/problem+json")
            assert f'"detail":"{symbol}: no"'.encode() in body
            assert f'"code":"{code}"'.encode() in body
            assert b"Stock.java" not in body
        status, _, body = await ask(session, "POST", "/price")
        assert (status, b'"detail":"None: no"' in body) == (422, True), "without a body it has no parameters"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": {"symbol": "rubbish"}}, 502),
        ({"json": {"symbol": "long"}}, 502),
        ({"json": {"symbol": "x" * 4096}}, 413),
        ({"json": {"symbol": "<" * 2000}}, 400),
        ({"json": {"a b": 1}}, 400),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": {"a": "1"}}, 415),
    ],
)
async def test_what_is_not_as_promised(tmp_path: Path, service: int, options: Any, status: int) -> None:
    async with worker(tmp_path, service) as (_, session):
        found, headers, _ = await ask(session, "POST", "/price", **options)
        assert (found, headers["Content-Type"]) == (status, "application/problem+json")
        assert (await ask(session, "GET", "/price"))[0] == 405


async def test_plain_xml_is_offered_as_json(tmp_path: Path, service: int) -> None:
    async with worker(tmp_path, service) as (started, session):
        status, headers, body = await ask(session, "GET", "/items")
        assert (status, body) == (200, b'{"items":{"item":[{"@id":"1","#text":"tea"}]}}')
        assert headers["ETag"] == 'W/"1"'
        status, headers, body = await ask(session, "GET", "/items", headers={"If-None-Match": headers["ETag"]})
        assert (status, headers["ETag"], body) == (304, 'W/"1"', b"")

        async with started.client() as client:
            answer = await client.ask(request("/items", method="HEAD"), "HEAD")
            assert (answer.status, answer.get("content-type")) == (200, "application/json")
            assert answer.get("content-length") is None, "that of the XML would be wrong"
            assert (await client.ask(request("/items"))).status == 200, "the connection goes on"
        status, headers, body = await ask(session, "GET", "/logo")
        assert (status, headers["Content-Type"], body) == (200, "image/png", PNG)


@pytest.mark.parametrize("chunked", [False, True])
async def test_json_is_offered_to_old_clients(tmp_path: Path, service: int, chunked: bool) -> None:
    async with worker(tmp_path, service) as (_, session):
        xml = '<?xml version="1.0" encoding="windows-1252"?><o><n>9.990</n><t>Café</t></o>'.encode("cp1252")
        fields = {"Content-Type": "text/xml"}
        status, headers, body = await ask(session, "PUT", "/orders", data=xml, headers=fields, chunked=chunked or None)
        assert (status, headers["Content-Type"]) == (201, "application/xml; charset=utf-8")
        assert [(one.tag, one.text) for one in ET.fromstring(body).iter()] == [
            ("order", None),
            ("got", None),
            ("n", "9.99"),
            ("t", "Café"),
        ]
        status, headers, body = await ask(session, "PUT", "/orders", data={"name": "Café", "tag": "a b"})
        assert (status, body) == (201, b'{"got": {"name": "Caf\\u00e9", "tag": "a b"}}')


async def test_an_old_client_of_an_old_service(tmp_path: Path, service: int) -> None:
    async with worker(tmp_path, service) as (_, session):
        fields = {"Content-Type": "application/xml"}
        data = b"<ask><symbol>ACME</symbol></ask>"
        status, _, body = await ask(session, "POST", "/xml-price", data=data, headers=fields)
        assert (status, ET.fromstring(body).findtext("price")) == (200, "9.990")
        status, headers, body = await ask(session, "POST", "/xml-price", data=b"<ask/>", headers=fields)
        assert (status, headers["Content-Type"]) == (422, "application/xml; charset=utf-8")
        assert ET.fromstring(body).findtext("code") == "Client"
