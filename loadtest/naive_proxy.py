"""What one writes first: an aiohttp application that streams through a `ClientSession`, all defaults, on uvloop.

`python -m loadtest.naive_proxy --port N --backend N [--full]`. `--full` adds, as plainly, what the full chain of the
gateway does: a request id, a traceparent, counters and a JSON line per request on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import time
from collections import Counter

from aiohttp import ClientSession, web

HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
CALLS: Counter[int] = Counter()


class Proxy:
    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.session: ClientSession | None = None

    async def client(self, app: web.Application):  # type: ignore[no-untyped-def]
        async with ClientSession(auto_decompress=False) as self.session:
            yield

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert self.session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        headers["Via"] = "1.1 naive"
        headers["X-Forwarded-For"] = request.remote or ""
        headers["X-Forwarded-Proto"] = request.scheme
        headers["X-Forwarded-Host"] = request.host
        headers.update(request.get("ids", {}))
        body = request.content if request.body_exists else None
        url = self.backend + request.raw_path
        sending = self.session.request(request.method, url, headers=headers, data=body, allow_redirects=False)
        async with sending as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            response.headers.extend((n, v) for n, v in answer.headers.items() if n.lower() not in HOP_BY_HOP)
            await response.prepare(request)
            async for part in answer.content.iter_any():
                await response.write(part)
            await response.write_eof()
            return response


@web.middleware
async def full_chain(request: web.Request, handler: web.Handler) -> web.StreamResponse:  # type: ignore[name-defined]
    """Ids, counters and an access log, as an application would have them."""
    started = time.monotonic()
    request_id, trace_id, span_id = secrets.token_hex(16), secrets.token_hex(16), secrets.token_hex(8)
    request["ids"] = {"X-Request-Id": request_id, "traceparent": f"00-{trace_id}-{span_id}-01"}
    response: web.StreamResponse = await handler(request)
    CALLS[response.status] += 1
    record = {
        "@timestamp": time.time(),
        "http.request.method": request.method,
        "url.path": request.path,
        "http.response.status_code": response.status,
        "client.ip": request.remote,
        "user_agent.original": request.headers.get("User-Agent"),
        "event.duration": time.monotonic() - started,
        "http.response.bytes": response.body_length,
        "http.request.id": request_id,
        "trace.id": trace_id,
    }
    sys.stdout.write(json.dumps(record) + "\n")
    return response


async def serve(port: int, backend: int, full: bool) -> None:
    proxy = Proxy(f"http://127.0.0.1:{backend}")
    app = web.Application(middlewares=[full_chain] if full else [])
    app.cleanup_ctx.append(proxy.client)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--backend", type=int, required=True)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    work = serve(options.port, options.backend, options.full)
    try:
        import uvloop

        uvloop.run(work)
    except ImportError:
        asyncio.run(work)


if __name__ == "__main__":
    main()
