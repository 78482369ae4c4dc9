"""The admin listener's life."""

from pathlib import Path

import aiohttp
import pytest

from gateway.admin.server import AdminServer
from gateway.config.fields import Bind
from gateway.process.sockets import open_sockets
from tests.support.runtimes import HEAD, PING, prepared, running


async def test_it_listens_where_it_is_told_and_stops(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        second = AdminServer(worker.runtime)
        await second.start(open_sockets(Bind("127.0.0.1", 0))[0])
        assert second.address.startswith("127.0.0.1:")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{second.address}/healthz") as response:
                assert await response.text() == "ok\n"
            await second.stop()
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"http://{second.address}/healthz")


async def test_stop_before_start_is_nothing(tmp_path: Path) -> None:
    async with prepared(tmp_path, HEAD + PING) as worker:
        await AdminServer(worker.runtime).stop()
