"""The shapes of JSON answers, through a worker and real sockets: what is JSON gets one, what is not streams by."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.polling import soon
from tests.support.raw_upstream import Peer, RawUpstream, upstream
from tests.support.runtimes import HEAD, running

MIB = 1 << 20
PRODUCT = (
    b'{"id": 12345678901234567890123, "name": "pot \\u00e9", "price": 9.990, "seller_id": 1E5,'
    b' "internal": {"cost": 1.10}, "items": [{"sku": -0, "internal_id": 4}, {"sku": 2.50}]}'
)
JSON = b"Content-Type: application/json\r\n"
ROUTES = """
upstreams:
  up: {endpoints: ["http://127.0.0.1:PORT"]}
routes:
  - name: picked
    match: {path: /picked}
    rewrite: {path: "/product?from=gateway"}
    to: up
    plugins: [{transform: {pick: "{id: id, name: name, price: price, seller: seller_id, first: items[0]}"}}]
  - name: other
    match: {path: "/{kind}"}
    to: up
    plugins:
      - breaker: {fallback: {json: {instead: true}, stale: {for: 60s}}}
      - transform: {rename: {items.sku: code}, remove: [internal, items.internal_id], fields: query, max_body: 1MiB}
"""
EDITED = (
    '{"id":12345678901234567890123,"name":"pot é","price":9.990,"seller_id":1E5,"items":[{"code":-0},{"code":2.50}]}'
)


def whole(fields: bytes, body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d OK\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body)


class Service:
    """Answers by the path. `go_on` lets the picture come to its end, `broken` cuts the product short."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.broken = False

    async def __call__(self, peer: Peer) -> None:
        while True:
            method, target, _ = (await peer.request()).first.split(b" ")
            path = target.partition(b"?")[0]
            if path == b"/picture":
                picture = whole(b'Content-Type: image/png\r\nETag: "a"\r\n', b"first" + bytes(5 * MIB))
                peer.send(picture[: -5 * MIB])
                await soon(self.go_on.wait())
                peer.send(picture[-5 * MIB :])
            elif path == b"/product" and not self.broken:
                fields = JSON + b'ETag: "a"\r\nRepr-Digest: sha-256=:eA==:\r\nAccept-Ranges: bytes\r\n'
                answer = whole(fields, PRODUCT)
                peer.send(answer if method == b"GET" else answer.removesuffix(PRODUCT))
            elif path == b"/chunked":
                peer.send(b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n" % JSON)
                for piece in (PRODUCT[:50], PRODUCT[50:], b""):
                    peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await peer.writer.drain()
            elif path == b"/part":
                peer.send(whole(JSON + b"Content-Range: bytes 0-9/99\r\n", PRODUCT[:10], 206))
            elif path == b"/large":
                peer.send(whole(JSON, b'"' + bytes(2 * MIB) + b'"'))
            else:
                peer.send(whole(JSON, PRODUCT[:-1]))
            await peer.writer.drain()


@contextlib.asynccontextmanager
async def serving(folder: Path, service: RawUpstream, breaker: bool = True) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a worker in front of the service."""
    routes = ROUTES.replace("PORT", str(service.port))
    if not breaker:
        routes = "\n".join(line for line in routes.splitlines() if "breaker" not in line)
    async with (
        running(folder, HEAD + routes) as worker,
        aiohttp.ClientSession(f"http://127.0.0.1:{worker.port}") as client,
    ):
        yield client


async def test_shapes_through_a_worker(tmp_path: Path) -> None:
    script = Service()
    async with (
        upstream(script) as service,
        serving(tmp_path, service) as client,
    ):
        async with client.get("/picked?fields=id") as answer:
            assert await answer.text() == (
                '{"id":12345678901234567890123,"name":"pot é","price":9.990,"seller":1E5,'
                '"first":{"sku":-0,"internal_id":4}}'
            )
        assert service.requests[-1].first == b"GET /product?from=gateway HTTP/1.1"
        assert service.requests[-1].get("accept-encoding") == "identity"
        async with client.get("/product?a=%20b") as answer:
            assert await answer.text() == EDITED
            assert answer.headers["ETag"] == 'W/"a"'
            assert not {"Repr-Digest", "Accept-Ranges"} & set(answer.headers)
            assert int(answer.headers["Content-Length"]) == len(EDITED.encode())
        async with client.get("/chunked") as answer:
            assert await answer.text() == EDITED
            assert "Transfer-Encoding" not in answer.headers
        async with client.get("/product?fields=price,items.code&a=1") as answer:
            assert await answer.text() == '{"price":9.990,"items":[{"code":-0},{"code":2.50}]}'
        assert service.requests[-1].first == b"GET /product?a=1 HTTP/1.1"
        async with client.head("/product") as answer:
            assert (answer.status, answer.headers["ETag"]) == (200, 'W/"a"')
            assert "Content-Length" not in answer.headers
        async with client.get("/product?fields=a..b") as answer:
            assert answer.status == 400


async def test_a_picture_streams_by(tmp_path: Path) -> None:
    """Five times what is collected at most; its beginning is with the client before the end is sent."""
    script = Service()
    async with (
        upstream(script) as service,
        serving(tmp_path, service) as client,
        client.get("/picture?fields=id") as answer,
    ):
        assert await soon(answer.content.readexactly(5)) == b"first"
        script.go_on.set()
        assert await soon(answer.content.read()) == bytes(5 * MIB)
        assert (answer.headers["ETag"], answer.headers["Content-Length"]) == ('"a"', str(5 * MIB + 5))


@pytest.mark.parametrize(
    ("kind", "status", "outcome"),
    [("cut", 502, "malformed"), ("large", 502, "too large"), ("part", 416, "whole only")],
)
async def test_what_cannot_be_shaped_does_not_get_out(tmp_path: Path, kind: str, status: int, outcome: str) -> None:
    async with (
        upstream(Service()) as service,
        serving(tmp_path, service, breaker=False) as client,
        client.get(f"/{kind}", headers={"Range": "bytes=0-9"}) as answer,
    ):
        body = await answer.text()
        assert (answer.status, answer.content_type) == (status, "application/problem+json")
        assert outcome in body
        assert "internal" not in body


async def test_a_breaker_answers_with_what_clients_got(tmp_path: Path) -> None:
    script = Service()
    async with (
        upstream(script) as service,
        serving(tmp_path, service) as client,
    ):
        async with client.get("/product?fields=items") as answer:
            good = await answer.text()
        script.broken = True
        async with client.get("/product?fields=items") as answer:
            assert (answer.status, await answer.text()) == (200, good)
            assert good == '{"items":[{"code":-0},{"code":2.50}]}'
        async with client.get("/cut") as answer:
            assert await answer.json() == {"instead": True}
