"""Listening sockets: opened here, before anything serves, and handed on to whoever accepts from them."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat

from gateway.config.fields import Bind
from gateway.wire.dial import unix_address

BACKLOG = 2048


def open_sockets(bind: Bind, count: int = 1) -> list[socket.socket]:
    """`count` sockets that listen on one address, among which the system divides what connects. OSError, in words, when
    the address cannot be had, also where it is another process's that would share it."""
    try:
        if bind.path:
            # What connects to a Unix socket is nobody's until it is accepted, so all may share one.
            first = _unix_socket(bind)
            return [first, *(first.dup() for _ in range(count - 1))]
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


def remove_socket_file(bind: Bind) -> None:
    """Once its sockets are closed: a Unix socket leaves a file. One that somebody still listens on, and anything else
    that stands there, stays."""
    if bind.path.startswith("/"):
        with contextlib.suppress(OSError):
            _remove_dead(bind.path)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)


def _unix_socket(bind: Bind) -> socket.socket:
    if bind.path.startswith("/"):
        _remove_dead(bind.path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(unix_address(bind.path))
        if bind.path.startswith("/"):
            # Nobody can connect before `listen`, so none comes in by wider permissions.
            os.chmod(bind.path, bind.mode)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_dead(path: str) -> None:
    """Remove the file of a socket that nobody listens on any more. OSError for a live one, and for another kind of
    file."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError("a file stands there that is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A full backlog is a sign of life too.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                raise
    raise OSError(errno.EADDRINUSE, "")


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
