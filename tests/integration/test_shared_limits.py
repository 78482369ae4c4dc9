"""Two workers with one board, over real connections: what holds, holds for both."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.state.board import Board
from tests.support.gateways import request
from tests.support.polling import eventually
from tests.support.raw_upstream import RawUpstream, answering, silent, upstream
from tests.support.runtimes import HEAD, Running, running


@contextlib.asynccontextmanager
async def workers(folder: Path, text: str) -> AsyncIterator[tuple[Board, list[Running]]]:
    board = Board.create(2)
    async with contextlib.AsyncExitStack() as stack:
        started = []
        for number in range(2):
            place = folder / str(number)
            place.mkdir()
            started.append(await stack.enter_async_context(running(place, HEAD + text, seat=board.take_seat(number))))
        yield board, started
        for worker in started:
            await eventually(lambda worker=worker: worker.runtime.proxy.active == 0)  # type: ignore[misc]


def to(service: RawUpstream, plugins: str = "", keys: str = "") -> str:
    up = f"{{endpoints: ['http://127.0.0.1:{service.port}'], {keys}}}"
    return f"upstreams: {{up: {up}}}\nroutes:\n  - {{name: all, to: up, plugins: [{plugins}]}}\n"


async def ask(worker: Running) -> int:
    async with worker.client() as client:
        return (await client.ask(request("/x"))).status


async def test_a_rate_is_that_of_both(tmp_path: Path) -> None:
    async with (
        upstream(answering) as service,
        workers(tmp_path, to(service, "rate_limit: {rate: 4/h}")) as (_, (one, other)),
    ):
        assert [await ask(worker) for worker in (one, other, one, other, one, other)] == [200] * 4 + [429] * 2


@pytest.mark.parametrize(
    ("plugins", "keys", "status"), [("concurrency_limit: {limit: 1}", "", 429), ("", "concurrency: 1", 503)]
)
async def test_places_are_those_of_both_and_those_of_a_dead_one_come_back(
    tmp_path: Path, plugins: str, keys: str, status: int
) -> None:
    async with (
        upstream(silent) as service,
        workers(tmp_path, to(service, plugins, keys)) as (board, (one, other)),
        one.client() as first,
        other.client() as second,
    ):
        first.send(request("/x"))
        await eventually(lambda: service.requests)
        assert await ask(other) == status
        board.clear_seat(0)
        second.send(request("/x"))
        await eventually(lambda: len(service.requests) == 2)


async def test_a_breaker_opens_for_both_and_is_forced_for_both(tmp_path: Path) -> None:
    text = "routes:\n  - {name: all, to: up, plugins: [breaker: {requests: 4}]}\n"
    dead = "upstreams: {up: {endpoints: ['http://127.0.0.1:1']}}\n"
    async with workers(tmp_path, dead + text) as (_, both):

        def tick() -> None:
            for worker in both:
                seat = worker.runtime.env.seat
                assert seat is not None
                seat.tick(time.monotonic())

        for worker in (*both, *both):
            assert await ask(worker) == 502
        tick()
        tick()
        for worker in both:
            (row,) = (await worker.get("/api/breakers")).data["breakers"]
            assert (row["state"], row["calls"], row["errors"]) == ("open", 4, 4)
            assert await ask(worker) == 503
        forced = await both[0].ask("POST", "/api/breakers/all", json={"state": "forced_closed"})
        assert forced.status == 200
        tick()
        assert [await ask(worker) for worker in both] == [502, 502]
