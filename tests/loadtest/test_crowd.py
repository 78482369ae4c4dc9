"""Those who stay see what is changed, what ends, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from loadtest import crowd
from loadtest.crowd import Report, frame
from loadtest.long_lived import DOWNLOAD, PATTERN, make
from tests.support.polling import soon


async def stay(port: int, capfd: pytest.CaptureFixture[str], websockets: int, downloads: int) -> Report:
    """What became of them, when they are told to end once they are ready and had some turns."""

    async def told() -> None:
        seen = ""
        while "ready" not in seen:
            await asyncio.sleep(0.01)
            seen += capfd.readouterr().out
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    ending = asyncio.create_task(told())
    report = await soon(crowd.crowd(port, websockets, downloads))
    await ending
    return report


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "EVERY", 0.01)


async def test_all_is_well(capfd: pytest.CaptureFixture[str]) -> None:
    async with TestServer(make()) as server:
        report = await stay(server.port or 0, capfd, 3, 2)
    assert (report.open, report.downloads) == (3, 2)
    assert (report.closed, report.wrong, report.broken, report.complaints) == (0, 0, 0, [])
    assert report.messages >= 3
    assert report.downloaded % crowd.READ_BYTES == 0


async def test_what_ends_or_is_changed(capfd: pytest.CaptureFixture[str]) -> None:
    async def liar(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data.upper())
        return socket

    async def shifted(request: web.Request) -> web.Response:
        return web.Response(body=PATTERN[1:])

    app = web.Application()
    app.add_routes([web.get("/ws", liar), web.get("/download", shifted)])
    async with TestServer(app) as server:
        report = await stay(server.port or 0, capfd, 2, 1)
    assert (report.wrong, report.closed, report.broken) == (2, 2, 1)
    assert len(set(report.ended)) == 2
    assert any("came back as" in text for text in report.complaints)


async def test_nobody_lets_them_in(capfd: pytest.CaptureFixture[str]) -> None:
    async with TestServer(web.Application()) as server:
        report = await stay(server.port or 0, capfd, 1, 1)
    assert (report.open, report.closed, report.downloads, report.broken) == (0, 1, 0, 1)


def test_a_frame() -> None:
    assert frame(b"ab") == b"\x82\x82\0\0\0\0ab"
    assert DOWNLOAD % len(PATTERN) == 0
