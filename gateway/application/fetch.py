"""How a handler's calls reach upstreams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import orjson

from gateway.exchange import Exchange
from gateway.plugin import UpstreamClient, UpstreamReply

# In place of JSON where there is none, since None is JSON.
NO_JSON: Final = object()


class Fetch(Protocol):
    """Calls an upstream on behalf of an exchange."""

    async def __call__(
        self,
        exchange: Exchange,
        upstream: str,
        path: str,
        *,
        method: str,
        headers: Mapping[str, str] | None,
        body: bytes,
        json: Any,
        timeout: float,  # noqa: ASYNC109
        max_body: int,
    ) -> UpstreamReply:
        """See `Gateway.fetch`. `json` is NO_JSON where there is none."""


def fetch_through(client: Callable[[Exchange, str], UpstreamClient]) -> Fetch:
    """Calls as plugins make them. `client` gives who makes them, by the upstream's name."""

    async def fetch(
        exchange: Exchange,
        upstream: str,
        path: str,
        *,
        method: str,
        headers: Mapping[str, str] | None,
        body: bytes,
        json: Any,
        timeout: float,  # noqa: ASYNC109
        max_body: int,
    ) -> UpstreamReply:
        fields = dict(headers or {})
        if json is not NO_JSON:
            body = orjson.dumps(json)
            if not any(name.lower() == "content-type" for name in fields):
                fields["Content-Type"] = "application/json"
        return await client(exchange, upstream).request(method, path, fields, body, timeout, max_body)

    return fetch
