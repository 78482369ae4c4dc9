"""What a handler has of the gateway: its exchange, and calls of the gateway's upstreams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from gateway.application.fetch import NO_JSON, Fetch
from gateway.exchange import Exchange
from gateway.plugin import UpstreamReply


class Gateway:
    """The gateway as the handler of one request sees it. `exchange` is the request as the gateway's plugins have left
    it: its principal and claims, request id, captures of the route's path."""

    __slots__ = ("_fetch", "exchange")

    def __init__(self, exchange: Exchange, fetch: Fetch) -> None:
        self.exchange = exchange
        self._fetch = fetch

    async def fetch(
        self,
        upstream: str,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        json: Any = NO_JSON,
        timeout: float = 5.0,  # noqa: ASYNC109
        max_body: int = 1 << 20,
    ) -> UpstreamReply:
        """Call one of the configuration's upstreams. `path` is raw, with its query; `json` is sent as the body.

        `timeout` in seconds covers all of it, `max_body` in bytes the answer's body. LookupError for an unknown
        upstream, GatewayError for everything that is not an answer.
        """
        return await self._fetch(
            self.exchange,
            upstream,
            path,
            method=method,
            headers=headers,
            body=body,
            json=json,
            timeout=timeout,
            max_body=max_body,
        )


# What a request has it under.
GATEWAY: Final = web.RequestKey("GATEWAY", Gateway)
