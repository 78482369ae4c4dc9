"""A connection to an endpoint as a plain socket: for what has to be sent on it before anything else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from gateway.wire.proxy_protocol import Addresses
from gateway.wire.transport import both_ends

Made = TypeVar("Made", bound=asyncio.BaseProtocol)


async def dial(host: str, port: int, header: bytes = b"") -> socket.socket:
    """A connected socket on which `header`, a few hundred bytes at most, has been sent. `host` may be `unix:` with a
    path. Each address of a name is tried in turn. OSError, of which gaierror is one; ValueError for what is no name."""
    loop = asyncio.get_running_loop()
    failure: OSError = socket.gaierror(socket.EAI_NONAME, "no address")
    for family, address in await _addresses(host, port):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
            if header:
                await loop.sock_sendall(sock, header)
            return sock
        except OSError as error:
            sock.close()
            # With its traceback, which holds this frame, it would keep itself alive.
            failure = error.with_traceback(None)
        except BaseException:
            sock.close()
            raise
    try:
        raise failure
    finally:
        del failure


async def connect(factory: Callable[[], Made], host: str, port: int, header: bytes = b"", **tls: Any) -> Made:
    """A protocol that `factory` makes, on a connection that `dial` has made; whatever that raises. `tls` are what the
    loop takes of TLS."""
    loop = asyncio.get_running_loop()
    sock = await dial(host, port, header)
    make = loop.create_unix_connection if sock.family == socket.AF_UNIX else loop.create_connection
    try:
        _, protocol = await make(factory, sock=sock, **tls)
    except BaseException:
        sock.close()
        raise
    return protocol


async def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    if host.startswith("unix:"):
        return [(socket.AF_UNIX, unix_address(host.removeprefix("unix:")))]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def unix_address(path: str) -> str:
    """As the system takes it: a name in the abstract namespace begins with NUL (unix(7))."""
    return "\0" + path[1:] if path.startswith("@") else path


def client_ends(receiver: object) -> Addresses | None:
    """Both ends of the client's connection that a receiver's request came from; None for requests of the gateway's
    own. A subrequest is its client's."""
    exchange = getattr(receiver, "exchange", None)
    while exchange is not None:
        client = exchange.client
        owner = getattr(client, "owner", None)
        if owner is None:
            if client.told is not None or client.transport is None:
                return client.told  # type: ignore[no-any-return]
            return both_ends(client.transport)
        exchange = owner.exchange
    return None
