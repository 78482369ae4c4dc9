"""The walk that `make run` offers: log in through the gateway, use the token, and be refused without one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from gateway.demo.plan import PACKAGED_ROUTES, READ_TOKEN
from gateway.demo.services import PORTS, SERVICES, start_services, stop_services
from tests.support.runtimes import running


@contextlib.asynccontextmanager
async def demo(folder: Path, ports: list[int]) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """The sample services and a gateway on the packaged routes, all on free ports; the gateway's URL and a client."""
    text = PACKAGED_ROUTES.read_text()
    for before, port in zip(PORTS, ports, strict=True):
        # The tokens' issuer is a name, and stays.
        text = re.sub(rf"(?<!issuer: )http://127\.0\.0\.1:{before}", f"http://127.0.0.1:{port}", text)
    text = text.replace("0.0.0.0:8080", "127.0.0.1:0").replace("127.0.0.1:9901", "127.0.0.1:0")
    text = text.replace("to: stdout", f"to: file://{folder}/log")
    # A password takes a while to check, and longer on a busy machine.
    text = text.replace("auth_delegation: {", "auth_delegation: {timeout: 20s, ")
    runners = await start_services(ports)
    try:
        async with running(folder, text) as worker, aiohttp.ClientSession() as session:
            yield f"http://127.0.0.1:{worker.port}", session
    finally:
        await stop_services(runners)


@pytest.fixture
def ports(unused_tcp_port_factory: Callable[[], int]) -> list[int]:
    return [unused_tcp_port_factory() for _ in SERVICES]


async def test_the_whole_walk(tmp_path: Path, ports: list[int]) -> None:
    async with demo(tmp_path, ports) as (base, session):
        refused = await session.get(f"{base}/api/me", headers={"X-User-Id": "1"})
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="edge"')

        login = await session.post(f"{base}/auth/login", data={"user": "grace", "password": "hopper"})
        given = await login.json()
        grace = {"Authorization": f"Bearer {given['access_token']}"}
        mine = await session.get(f"{base}/api/me", headers={**grace, "X-User-Id": "1"})
        assert (mine.status, (await mine.json())["name"]) == (200, "Grace")

        assert (await session.delete(f"{base}/api/items/42")).status == 401
        assert (await session.delete(f"{base}/api/items/42", headers=grace)).status == 403
        ada = aiohttp.encode_basic_auth("ada", "lovelace")
        assert (await session.delete(f"{base}/api/items/42", headers={"Authorization": ada})).status == 204

        renewed = await session.post(f"{base}/auth/refresh", json={"refresh_token": given["refresh_token"]})
        token = (await renewed.json())["access_token"]
        again = await session.get(f"{base}/api/me", headers={"Authorization": f"Bearer {token}"})
        assert again.status == 200
        assert (await session.post(f"{base}/auth/logout", headers=grace)).status == 204
        assert (await session.delete(f"{base}/api/items/42", headers=grace)).status in (401, 403)
    log = (tmp_path / "log").read_text()
    assert "lovelace" not in log
    assert given["access_token"] not in log


async def test_passwords_cannot_be_guessed_at_speed(tmp_path: Path, ports: list[int]) -> None:
    async with demo(tmp_path, ports) as (base, session):
        guesses = [
            await session.post(f"{base}/auth/login", data={"user": "ada", "password": f"{number}"})
            for number in range(6)
        ]

    assert [guess.status for guess in guesses] == [401] * 5 + [429]
    assert int(guesses[-1].headers["Retry-After"]) >= 1


def test_the_greeting_reads_the_token_out_of_the_answer() -> None:
    pattern = re.fullmatch(r"sed 's/(.*)/\\1/'", READ_TOKEN)

    assert pattern is not None
    expression = pattern[1].replace("\\(", "(").replace("\\)", ")")
    assert re.sub(expression, r"\1", '{"access_token": "a.b-c_d", "token_type": "Bearer"}') == "a.b-c_d"
