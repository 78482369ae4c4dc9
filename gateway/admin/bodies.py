"""JSON bodies of admin requests: small, an object, and no key that nobody reads."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from gateway.admin.problems import Refused
from gateway.config.problems import closest

MAX_BODY = 64 * 1024


async def json_body(request: web.Request, keys: tuple[str, ...]) -> dict[str, Any]:
    """The body as an object with `keys` at most; an absent body is an empty one. Refused for anything else, with 413
    above MAX_BODY bytes."""
    raw = await request.read()
    if not raw:
        return {}
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the body is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise Refused(400, "the body should be a JSON object")
    for key in data:
        if key not in keys:
            hint = closest(key, keys) or (f"known are {', '.join(keys)}" if keys else "it has none")
            raise Refused(400, f"unknown key {key!r}; {hint}")
    return data


def text_of(data: dict[str, Any], key: str, default: str | None = None) -> str:
    """The text under `key`. Refused when it is something else, or absent without a default."""
    value = data.get(key, default)
    if not isinstance(value, str):
        raise Refused(400, f"{key!r} is missing" if value is None else f"{key!r} should be text")
    return value
