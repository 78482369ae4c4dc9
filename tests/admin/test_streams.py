"""The gateway in a few numbers, every second."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import orjson
import pytest

from gateway.admin import handlers
from gateway.admin.handlers import MOST_EVENT_STREAMS
from tests.support.gateways import request
from tests.support.polling import soon
from tests.support.runtimes import HEAD, PING, running

METERED = HEAD + "plugins: [rate_metrics]\n" + PING


async def test_an_event_every_second_also_without_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert handlers.EVENTS_DELAY == 1
    monkeypatch.setattr(handlers, "EVENTS_DELAY", 0.2)
    async with (
        running(tmp_path, METERED) as worker,
        worker.client() as client,
        aiohttp.ClientSession() as session,
        session.get(f"http://{worker.admin.address}/api/events") as answer,
    ):
        assert answer.headers["Content-Type"] == "text/event-stream;charset=UTF-8"
        events = []
        for _ in range(2):
            events.append(orjson.loads((await soon(answer.content.readline())).removeprefix(b"data: ")))
            assert await soon(answer.content.readline()) == b"\n"
            await client.ask(request("/ping"))
        first, second = events
        assert first.pop("at") < second.pop("at")
        assert first == {"version": 1, "workers": 1, "active_requests": 0, "connections": 1, "calls": 0, "errors": 0}
        assert second == {**first, "calls": 1}


async def test_so_many_readers_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "EVENTS_DELAY", 0.02)
    async with running(tmp_path) as worker, aiohttp.ClientSession() as session:
        url = f"http://{worker.admin.address}/api/events"
        answers = [await session.get(url) for _ in range(MOST_EVENT_STREAMS)]
        assert orjson.loads((await soon(answers[0].content.readline())).removeprefix(b"data: "))["calls"] is None
        refused = await session.get(url)
        assert refused.status == 503
        for answer in answers:
            answer.close()


async def test_it_ends_with_the_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "EVENTS_DELAY", 0.02)
    async with (
        running(tmp_path) as worker,
        aiohttp.ClientSession() as session,
        session.get(f"http://{worker.admin.address}/api/events") as answer,
    ):
        await soon(answer.content.readline())
        await worker.runtime.drain()
        await soon(answer.content.read())
        assert answer.content.at_eof()
