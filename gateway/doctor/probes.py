"""Asks what a configuration names: stores, addresses, files, upstreams, issuers. Each probe gives facts.

Probes never raise. They block, each for about PROBE_SECONDS at most, and run side by side in threads. A name look-up
has no time limit of its own, so who comes late is left behind: the threads do not keep the process.
"""

from __future__ import annotations

import asyncio
import errno
import http.client
import os
import queue
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from cryptography import x509

from gateway.config.fields import Bind
from gateway.config.state_specs import StateSpec
from gateway.doctor.services import AdminFacts, CertificateFacts, StoreFacts
from gateway.plugin import Clock, Metrics, Scripting, SharedUnavailable
from gateway.state.store import make_shared

PROBE_SECONDS = 1.0
ALL_SECONDS = 2.0
MOST_THREADS = 256
CALLS = 5
LATE = "it did not answer in time"
# The server's clock in seconds, and what it says of itself; "" where the account may not ask.
ABOUT = """
local function about(section)
  local answer = redis.pcall('INFO', section)
  return type(answer) == 'string' and answer or ''
end
local time = redis.call('TIME')
return {time[1] .. '.' .. string.format('%06d', time[2]), about('server') .. about('clients') .. about('memory')}
"""
EMPTY = "return 1"

Fact = TypeVar("Fact")


def side_by_side(probes: Sequence[Callable[[], Fact]], late: Sequence[Fact]) -> list[Fact]:
    """What each probe brings, or its entry of `late` where it had nothing after ALL_SECONDS."""
    found = list(late)
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Fact]] = queue.SimpleQueue()
    for number in range(len(probes)):
        todo.put(number)

    def work() -> None:
        while True:
            try:
                number = todo.get_nowait()
            except queue.Empty:
                return
            done.put((number, probes[number]()))

    for _ in range(min(MOST_THREADS, len(probes))):
        threading.Thread(target=work, daemon=True).start()
    deadline = time.monotonic() + ALL_SECONDS
    for _ in probes:
        try:
            number, fact = done.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        found[number] = fact
    return found


def try_connect(host: str, port: int, tls_name: str = "") -> str:
    """Why it takes no connection, or for a `tls_name` no handshake; empty when it does. `host` may be `unix:PATH`."""
    try:
        with _connection(host, port) as connection:
            if tls_name:
                with ssl.create_default_context().wrap_socket(connection, server_hostname=tls_name):
                    pass
    except (OSError, ValueError) as error:
        return in_words(error)
    return ""


def _connection(host: str, port: int) -> socket.socket:
    if not host.startswith("unix:"):
        return socket.create_connection((host, port), timeout=PROBE_SECONDS)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PROBE_SECONDS)
    try:
        path = host.removeprefix("unix:")
        # `@name` stands for a name without a file (unix(7)).
        connection.connect("\0" + path[1:] if path.startswith("@") else path)
    except OSError:
        connection.close()
        raise
    return connection


def try_url(url: str, get: bool) -> str:
    """Why the URL's host takes no connection, or with `get` does not answer with 200; empty when it does."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    if not get:
        return try_connect(host, parts.port or (443 if secure else 80), host if secure else "")
    maker: Any = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = maker(host, parts.port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")
        status = connection.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as error:
        return in_words(error)
    finally:
        connection.close()
    return "" if status == 200 else f"it answers with {status}"


def try_listen(bind: Bind) -> int:
    """0 when the address could be listened on, else the errno."""
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    try:
        ((*_, name), *_) = socket.getaddrinfo(
            bind.host or None, bind.port, family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
        )
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(name)
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno or errno.EINVAL
    return 0


def ask_admin(address: str, host: str, port: int, token: str) -> AdminFacts:
    """Is a gateway there, and does it take the token?"""
    alive = _status(host, port, "/healthz", "")
    return AdminFacts(address, alive, _status(host, port, "/api/config", token) if alive == 200 else 0)


def _status(host: str, port: int, path: str, token: str) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=PROBE_SECONDS / 2)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        return connection.getresponse().status
    except (OSError, ValueError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def try_sink(place: str) -> str:
    """Why the file of `file:///PATH` could not be opened for writing, empty when it could. Nothing is created."""
    if not place.startswith("file://"):
        return ""
    path = Path(unquote(place.removeprefix("file://")))
    if path.is_dir():
        return "it is a folder"
    if path.exists():
        return "" if os.access(path, os.W_OK) else "permission denied"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    return "" if os.access(path.parent, os.W_OK | os.X_OK) else f"the folder {path.parent} is not writable"


def read_certificate(cert: Path, key: Path | None) -> CertificateFacts:
    """The first certificate of a PEM file, and whether the key fits."""
    try:
        first = x509.load_pem_x509_certificates(cert.read_bytes())[0]
        if key is not None:
            key.read_bytes()
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as error:
        fits = "KEY_VALUES_MISMATCH" not in str(error)
        return CertificateFacts(
            str(cert), f"the key in {key} cannot be read" if fits else f"the key in {key} is another's"
        )
    except OSError as error:
        return CertificateFacts(str(cert), f"{error.filename or cert}: {in_words(error)}")
    except ValueError:
        return CertificateFacts(str(cert), "no certificate in PEM")
    begins, ends = first.not_valid_before_utc, first.not_valid_after_utc
    return CertificateFacts(str(cert), "", begins.timestamp(), ends.timestamp())


def _no_password() -> str:
    # OpenSSL would ask on the terminal.
    return ""


def ask_store(spec: StateSpec, facts: StoreFacts, clock: Clock, metrics: Metrics) -> StoreFacts:
    """What the store says of itself, and how soon. `facts` has what the configuration says."""
    return asyncio.run(_ask_store(spec, facts, clock, metrics))


async def _ask_store(spec: StateSpec, facts: StoreFacts, clock: Clock, metrics: Metrics) -> StoreFacts:
    store = make_shared(spec, clock, metrics)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await store.start()
            if not isinstance(store, Scripting):
                return await _timed(facts, lambda: store.get("doctor"))
            timed = await _timed(facts, lambda: store.run(EMPTY, [("doctor", ())]))
            before = clock.wall()
            ((time_there, about),) = await store.run(ABOUT, [("doctor", ())])
            middle = (before + clock.wall()) / 2
            return told(timed, about.decode("utf-8", "replace"), float(time_there) - middle)
    except SharedUnavailable as error:
        # Its name stands before the reason.
        return replace(facts, problem=str(error).partition(": ")[2] or str(error))
    except TimeoutError:
        return replace(facts, problem=LATE)
    finally:
        try:
            async with asyncio.timeout(PROBE_SECONDS / 4):
                await store.close()
        except TimeoutError:
            pass


async def _timed(facts: StoreFacts, call: Callable[[], Any]) -> StoreFacts:
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        took.append(time.perf_counter() - began)
    return replace(facts, latency=statistics.median(took))


def told(facts: StoreFacts, info: str, skew: float) -> StoreFacts:
    """With what Redis's INFO says; what it does not say stays unknown."""
    lines = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    clients = lines.get("maxclients", "")
    return replace(
        facts,
        version=lines.get("redis_version", ""),
        skew=skew,
        clients=int(clients) if clients.isdigit() else None,
        policy=lines.get("maxmemory_policy", ""),
    )


def in_words(error: Exception) -> str:
    """What went wrong, for who reads no errno."""
    if isinstance(error, TimeoutError):
        return LATE
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
