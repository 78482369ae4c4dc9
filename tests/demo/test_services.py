"""The four services in one process."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import aiohttp
import pytest

from gateway.demo.services import HOST, SERVICES, start_services, stop_services
from tests.support.polling import PATIENCE


@pytest.fixture
def ports(unused_tcp_port_factory: Callable[[], int]) -> list[int]:
    return [unused_tcp_port_factory() for _ in SERVICES]


async def test_each_service_is_on_its_port(ports: list[int]) -> None:
    runners = await start_services(ports)

    async with aiohttp.ClientSession() as session:
        answers = [await (await session.get(f"http://{HOST}:{port}/health")).json() for port in ports]
    await stop_services(runners)

    assert answers == [{"service": name, "status": "up"} for name, _ in SERVICES]


async def test_stopping_ends_an_endless_stream(ports: list[int]) -> None:
    runners = await start_services(ports)

    async with aiohttp.ClientSession() as session:
        response = await session.get(f"http://{HOST}:{ports[0]}/events")
        await response.content.readline()
        async with asyncio.timeout(PATIENCE):
            await stop_services(runners)
        response.close()


async def test_a_taken_port_is_named_and_the_others_are_given_back(ports: list[int]) -> None:
    with socket.create_server((HOST, ports[1])):
        with pytest.raises(OSError, match=f"the reviews service cannot have {HOST}:{ports[1]}"):
            await start_services(ports)

        socket.create_server((HOST, ports[0])).close()


async def test_the_process_ends_on_sigterm(ports: list[int]) -> None:
    command = [sys.executable, "-m", "gateway.demo.services", "--ports", *map(str, ports)]
    process = await asyncio.create_subprocess_exec(*command)
    async with aiohttp.ClientSession() as session:
        for _ in range(200):
            try:
                (await session.get(f"http://{HOST}:{ports[2]}/health")).close()
                break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)

    process.send_signal(signal.SIGTERM)

    assert await process.wait() == 0


def test_the_process_says_which_port_is_taken(ports: list[int]) -> None:
    command = [sys.executable, "-m", "gateway.demo.services", "--ports", *map(str, ports)]
    with socket.create_server((HOST, ports[0])):
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"the catalog service cannot have {HOST}:{ports[0]}: ")
