"""The gateway under a service manager: it says how it is, and accepts from sockets that it is given."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from tests.support.gateways import request
from tests.support.polling import eventually
from tests.support.processes import gateway_run
from tests.support.raw_client import connected
from tests.support.runtimes import PING, write_config


async def test_it_says_how_it_is_and_accepts_from_what_it_is_given(tmp_path: Path) -> None:
    said: list[bytes] = []
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        port = listening.getsockname()[1]
        text = f"version: 1\nlisteners: [{{bind: '127.0.0.1:{port}'}}]\nadmin: {{bind: '127.0.0.1:0'}}\n"
        write_config(tmp_path, text + PING)

        def heard(word: bytes) -> bool:
            try:
                while True:
                    said.append(manager.recv(1000))
            except BlockingIOError:
                return any(word in one for one in said)

        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        async with gateway_run(tmp_path, "--workers", "2", activated=listening, **environ) as gateway:
            await eventually(lambda: heard(b"READY=1"))
            await eventually(lambda: heard(b"WATCHDOG=1"))
            async with connected(port) as client:
                assert (await client.ask(request("/ping"))).body == b"pong"
            gateway.send(signal.SIGHUP)
            await eventually(lambda: heard(b"RELOADING=1"))
            gateway.send(signal.SIGTERM)
            await eventually(lambda: heard(b"STOPPING=1"))
            assert await gateway.ended() == 0
