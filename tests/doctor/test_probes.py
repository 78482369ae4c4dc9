"""Probes of real sockets, files, servers and certificates."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.cli.offline import SystemTime
from gateway.config.fields import Bind
from gateway.config.state_specs import MemcachedSpec, RedisSpec, StateSpec
from gateway.doctor import probes
from gateway.doctor.probes import (
    LATE,
    ask_admin,
    ask_store,
    read_certificate,
    side_by_side,
    told,
    try_connect,
    try_listen,
    try_sink,
    try_url,
)
from gateway.doctor.services import StoreFacts
from gateway.telemetry.metrics import Metrics
from tests.support.polling import soon
from tests.support.ports import deaf_port, free_port
from tests.support.servers import MEMCACHED, NO_MEMCACHED, memcached_server, redis_server

FACTS = StoreFacts("redis", 0.5, 64)
BEGINS = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
ENDS = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)


def write_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    signed = builder.not_valid_before(BEGINS).not_valid_after(ENDS).sign(key, hashes.SHA256())
    cert, secret = folder / f"{name}.crt", folder / f"{name}.key"
    cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return cert, secret


async def in_thread(probe: Callable[[], object]) -> object:
    """What a probe brings, while this loop serves whom it asks."""
    return await soon(asyncio.to_thread(probe))


def test_side_by_side() -> None:
    meet = threading.Barrier(3)
    assert side_by_side([lambda: meet.wait() >= 0] * 3, [False] * 3) == [True, True, True]
    assert side_by_side([], []) == []


def test_who_comes_late_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "ALL_SECONDS", 0.05)
    go = threading.Event()
    found = side_by_side([lambda: str(go.wait()), lambda: "soon"], ["late", "late"])
    go.set()
    assert found == ["late", "soon"]


def test_more_probes_than_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "MOST_THREADS", 2)
    assert side_by_side([lambda number=number: number for number in range(9)], [-1] * 9) == [*range(9)]  # type: ignore[misc]


async def test_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert try_connect("127.0.0.1", server.getsockname()[1]) == ""
    assert try_connect("127.0.0.1", free_port()) == "connection refused"
    async with deaf_port() as port:
        assert try_connect("127.0.0.1", port) == LATE
    assert try_connect("no-such-host.invalid", 80) == "no such host"
    assert try_connect(f"unix:{tmp_path}/sock", 0) == "no such file or directory"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        assert try_connect(f"unix:{tmp_path}/sock", 0) == ""


async def test_urls() -> None:
    async def keys(request: web.Request) -> web.Response:
        return web.json_response({"keys": []}, status=200 if request.query_string == "v=1" else 404)

    app = web.Application()
    app.router.add_get("/keys", keys)
    async with TestServer(app) as server:
        url = f"http://127.0.0.1:{server.port}/keys"
        assert await in_thread(lambda: try_url(url + "?v=1", get=True)) == ""
        assert await in_thread(lambda: try_url(url, get=True)) == "it answers with 404"
        assert await in_thread(lambda: try_url(url, get=False)) == ""
        # It does not speak TLS.
        assert await in_thread(lambda: try_url(f"https://127.0.0.1:{server.port}/", get=False)) != ""
    assert try_url(f"http://127.0.0.1:{free_port()}/", get=True) == "connection refused"


def test_addresses_to_listen_on() -> None:
    assert try_listen(Bind("127.0.0.1", free_port())) == 0
    assert try_listen(Bind("", free_port())) == 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert try_listen(Bind("127.0.0.1", server.getsockname()[1])) == errno.EADDRINUSE
    assert try_listen(Bind("192.0.2.1", 8080)) == errno.EADDRNOTAVAIL
    assert try_listen(Bind("no-such-host.invalid", 8080)) == errno.EADDRNOTAVAIL


async def test_the_admin_listener() -> None:
    async def answer(request: web.Request) -> web.Response:
        right = request.path == "/healthz" or request.headers.get("Authorization") == "Bearer right"
        return web.Response(status=200 if right else 401)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        for token, status in (("right", 200), ("wrong", 401), ("", 401)):
            found = await in_thread(lambda token=token: ask_admin("here", "127.0.0.1", server.port, token))  # type: ignore[misc]
            assert (found.alive, found.asked) == (200, status)  # type: ignore[attr-defined]
    assert ask_admin("here", "127.0.0.1", free_port(), "").alive == 0


def test_logs(tmp_path: Path) -> None:
    (tmp_path / "there.log").touch()
    assert try_sink("stdout") == ""
    assert try_sink(f"file://{tmp_path}/there.log") == ""
    assert try_sink(f"file://{tmp_path}/new%20one.log") == ""
    assert try_sink(f"file://{tmp_path}") == "it is a folder"
    assert try_sink(f"file://{tmp_path}/none/a.log") == f"there is no folder {tmp_path}/none"
    assert sorted(os.listdir(tmp_path)) == ["there.log"]


def test_logs_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there.log").touch()
    # Root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert try_sink(f"file://{tmp_path}/there.log") == "permission denied"
    assert try_sink(f"file://{tmp_path}/new.log") == f"the folder {tmp_path} is not writable"


def test_certificates(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path, "a")
    _, other = write_pair(tmp_path, "b")
    found = read_certificate(cert, key)
    assert (found.problem, found.ends) == ("", ENDS.timestamp())
    assert read_certificate(cert, None) == found
    assert read_certificate(cert, other).problem == f"the key in {other} is another's"
    assert read_certificate(cert, cert).problem == f"the key in {cert} cannot be read"
    assert read_certificate(cert, tmp_path / "none").problem == f"{tmp_path}/none: no such file or directory"
    assert read_certificate(tmp_path / "none", key).problem == f"{tmp_path}/none: no such file or directory"
    assert read_certificate(key, key).problem == "no certificate in PEM"


def ask(spec: StateSpec) -> StoreFacts:
    return ask_store(spec, FACTS, SystemTime(), Metrics())


def test_redis(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--maxmemory-policy", "allkeys-lru") as server:
        spec = StateSpec(redis=RedisSpec(url=f"redis://{server.address}/0", timeout="500ms"))  # type: ignore[arg-type]
        found = ask(spec)
        assert (found.problem, found.policy) == ("", "allkeys-lru")
        assert found.version.count(".") == 2
        assert 0 < found.latency < 0.5
        assert found.skew is not None
        assert abs(found.skew) < 0.5
        assert server.ask("DBSIZE").startswith(b":0")
        server.kill()
        assert ask(spec).problem.startswith("Error 111 connecting to 127.0.0.1")


def test_a_redis_that_wants_a_password(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--requirepass", "geheim") as server:
        found = ask(StateSpec(redis=RedisSpec(url=f"redis://{server.address}/0", timeout="500ms")))  # type: ignore[arg-type]
        assert found.problem
        assert "geheim" not in found.problem


@pytest.mark.skipif(MEMCACHED is None, reason=NO_MEMCACHED)
def test_memcached(tmp_path: Path) -> None:
    with memcached_server(tmp_path) as server:
        spec = StateSpec(memcached=MemcachedSpec(address=server.address, timeout="500ms"))  # type: ignore[arg-type]
        found = ask(spec)
        assert (found.problem, found.version) == ("", "")
        assert 0 < found.latency < 0.5
        server.kill()
        assert ask(spec).problem


async def test_a_store_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_SECONDS", 0.1)
    async with deaf_port() as port:
        found = await in_thread(lambda: ask(StateSpec(redis=RedisSpec(url=f"redis://127.0.0.1:{port}/0"))))
    assert found == replace(FACTS, problem=found.problem)  # type: ignore[attr-defined]
    assert found.problem  # type: ignore[attr-defined]


def test_what_redis_does_not_tell_stays_unknown() -> None:
    assert told(FACTS, "", 0.0) == replace(FACTS, skew=0.0)
    found = told(FACTS, "# Clients\r\nmaxclients:100\r\nredis_version:7.2.4\r\n", 1.5)
    assert (found.clients, found.version, found.skew) == (100, "7.2.4", 1.5)
