"""A service whose answers last: `/ws` gives back each WebSocket message, `/download` sends DOWNLOAD bytes.

`app` is an aiohttp application, so that the gateway can also mount it on a route (`app: long_lived:app`).
`python -m loadtest.long_lived --port N` serves it alone.
"""

from __future__ import annotations

import argparse

from aiohttp import WSMsgType, web

DOWNLOAD = 1 << 30
# Byte number n of a download is n modulo 256: whoever reads it sees what is lost or comes twice.
PATTERN = bytes(range(256)) * 256


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def download(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    response.content_length = DOWNLOAD
    await response.prepare(request)
    for _ in range(DOWNLOAD // len(PATTERN)):
        await response.write(PATTERN)
    return response


def make() -> web.Application:
    made = web.Application()
    made.add_routes([web.get("/ws", echo), web.get("/download", download)])
    return made


app = make()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    web.run_app(make(), host="127.0.0.1", port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
