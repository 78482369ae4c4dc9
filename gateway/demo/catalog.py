"""The sample catalog: items, and what is good for trying a gateway out: streams, uploads, events, an echo."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TypedDict

from aiohttp import web

from gateway.demo.quantities import BadValue, duration, number, size
from gateway.demo.switches import make_app, problem, read_json


class Item(TypedDict):
    """One thing on sale."""

    id: int
    name: str
    price: float
    seller_id: int
    related: list[int]


def _item(item_id: int, name: str, price: float, seller_id: int, related: list[int]) -> Item:
    return {"id": item_id, "name": name, "price": price, "seller_id": seller_id, "related": related}


ITEMS: dict[int, Item] = {
    item["id"]: item
    for item in (
        _item(1, "kettle", 34.9, 1, [2, 3]),
        _item(2, "teapot", 24.5, 1, [1, 3]),
        _item(3, "mug", 7.9, 2, [1, 2, 4]),
        _item(4, "coaster", 3.2, 2, [3]),
        _item(5, "desk lamp", 49.0, 3, [6, 7]),
        _item(6, "notebook", 5.5, 3, [7]),
        _item(7, "fountain pen", 39.0, 3, [6]),
        _item(8, "backpack", 89.0, 4, [9, 10]),
        _item(9, "water bottle", 18.0, 4, [8]),
        _item(10, "umbrella", 22.0, 4, [8]),
        _item(11, "chess set", 59.0, 5, [42]),
        _item(42, "towel", 12.0, 5, [9, 11]),
    )
}

SLICE = bytes(range(256)) * 64


async def list_items(request: web.Request) -> web.Response:
    """GET /items"""
    return web.json_response({"items": list(ITEMS.values())})


async def get_item(request: web.Request) -> web.Response:
    """GET /items/{id}"""
    item_id = int(request.match_info["id"])
    item = ITEMS.get(item_id)
    return problem(404, f"no item {item_id}") if item is None else web.json_response(item)


async def create_item(request: web.Request) -> web.Response:
    """POST /items: answered as if it had been stored."""
    body = await read_json(request)
    if not isinstance(body, dict) or not isinstance(body.get("name"), str):
        raise BadValue('an item is a JSON object with at least a name, such as {"name": "mug", "price": 7.9}')
    item_id = max(ITEMS) + 1
    return web.json_response({**body, "id": item_id}, status=201, headers={"Location": f"/items/{item_id}"})


async def remove_item(request: web.Request) -> web.Response:
    """DELETE /items/{id}: answered as if it were gone."""
    item_id = int(request.match_info["id"])
    return web.Response(status=204) if item_id in ITEMS else problem(404, f"no item {item_id}")


async def stream(request: web.Request) -> web.StreamResponse:
    """GET /stream?bytes=N: that many bytes; `chunked=1` without a declared length, `pause=10ms` between slices."""
    left: int = size(request.query.get("bytes", "64KiB"), "bytes")
    pause = duration(request.query.get("pause", "0s"), "pause")
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    if request.query.get("chunked", "0") == "1":
        response.enable_chunked_encoding()
    else:
        response.content_length = left
    await response.prepare(request)
    while left and request.method != "HEAD":
        part = SLICE[:left]
        await response.write(part)
        left -= len(part)
        if pause and left:
            await asyncio.sleep(pause)
    return response


async def upload(request: web.Request) -> web.Response:
    """POST /upload: counts the body and keeps none of it."""
    return web.json_response({"bytes": await _body_length(request)})


async def events(request: web.Request) -> web.StreamResponse:
    """GET /events: a server-sent event every second, or `every=100ms`; ends after `count=N`."""
    pause = duration(request.query.get("every", "1s"), "every")
    last = number(request.query["count"], "count") if "count" in request.query else None
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    for tick in itertools.count(1):
        await response.write(f"id: {tick}\nevent: tick\ndata: {json.dumps({'tick': tick})}\n\n".encode())
        if tick == last:
            break
        await asyncio.sleep(pause)
    return response


async def echo(request: web.Request) -> web.Response:
    """Any method on /echo and below: the request as it arrived, to see what a gateway makes of it."""
    raw_path, _, query = request.raw_path.partition("?")
    return web.json_response(
        {
            "method": request.method,
            "path": raw_path,
            "query": query,
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers],
            "body_bytes": await _body_length(request),
        }
    )


async def _body_length(request: web.Request) -> int:
    length = 0
    async for part in request.content.iter_any():
        length += len(part)
    return length


def catalog() -> web.Application:
    """The catalog service."""
    return make_app(
        "catalog",
        [
            web.get("/items", list_items),
            web.post("/items", create_item),
            web.get("/items/{id:[0-9]{1,9}}", get_item),
            web.delete("/items/{id:[0-9]{1,9}}", remove_item),
            web.get("/stream", stream),
            web.post("/upload", upload),
            web.put("/upload", upload),
            web.get("/events", events),
            web.route("*", "/echo", echo),
            web.route("*", "/echo/{rest:.*}", echo),
        ],
    )
