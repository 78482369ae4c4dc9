"""Answers without an end: the same thing again and again, until the client leaves or the gateway stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.admin.problems import Refused

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime


class Stream:
    """One path's streams of server-sent events. Mutable state: how many clients read it."""

    def __init__(self, runtime: Runtime, most: int) -> None:
        self._runtime = runtime
        self._most = most
        self._readers = 0

    async def serve(
        self, request: web.Request, events: Callable[[], Awaitable[bytes]], seconds: float
    ) -> web.StreamResponse:
        """What `events` gives, at once and then every so many seconds. Refused when enough clients read already."""
        if self._readers >= self._most:
            raise Refused(503, f"MaxConcurrentConnections reached: {self._most}")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream;charset=UTF-8", "Pragma": "no-cache"})
        self._readers += 1
        try:
            await response.prepare(request)
            while not self._runtime.proxy.stopping:
                await response.write(await events())
                await asyncio.sleep(seconds)
        except ConnectionError:
            pass
        finally:
            self._readers -= 1
        return response
