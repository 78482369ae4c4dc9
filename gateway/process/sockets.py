"""Listening sockets: opened here, before anything serves, and handed on to whoever accepts from them."""

from __future__ import annotations

import os
import socket

from gateway.config.fields import Bind

BACKLOG = 2048


def open_sockets(bind: Bind, count: int = 1) -> list[socket.socket]:
    """`count` sockets that listen on one address, among which the system divides what connects. OSError, in words, when
    the address cannot be had, also where it is another process's that would share it."""
    try:
        address = _resolved(bind)
        if count == 1:
            return [_bound(address, False)]
        # Only an address that nobody has is ours to share.
        first = _bound(address, False)
        address = address[0], first.getsockname()
        first.close()
        return [_bound(address, True) for _ in range(count)]
    except OSError as error:
        raise OSError(f"cannot listen on {bind}: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)


def _resolved(bind: Bind) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    found = socket.getaddrinfo(bind.host or None, bind.port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return family, found[0][4]


def _bound(address: tuple[socket.AddressFamily, tuple[object, ...]], shared: bool) -> socket.socket:
    family, name = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(name)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
