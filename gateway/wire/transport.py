"""What both kinds of connection do with a transport."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import cast

from gateway.wire.headers import UNIX
from gateway.wire.proxy_protocol import UNKNOWN, Addresses

WRITE_HIGH = 128 * 1024
WRITE_LOW = 32 * 1024
RESET = struct.pack("ii", 1, 0)


def opened(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """A new connection's transport, with our marks for back-pressure.

    uvloop's transports have the methods of asyncio.Transport, but do not derive from it.
    """
    made = cast(asyncio.Transport, transport)
    made.set_write_buffer_limits(WRITE_HIGH, WRITE_LOW)
    return made


def as_protocol(connection: object) -> asyncio.Protocol:
    """One of our connections as loops want it. They ask for methods only, and a compiled class has no base of Python's
    own."""
    return cast(asyncio.Protocol, connection)


def peer_address(transport: asyncio.Transport) -> str:
    """The other side's IP address, or that it came through a Unix socket."""
    peername = transport.get_extra_info("peername")
    return str(peername[0]) if isinstance(peername, tuple) else UNIX


def both_ends(transport: asyncio.Transport) -> Addresses:
    """The other side's address, and ours."""
    source, destination = (transport.get_extra_info(name) for name in ("peername", "sockname"))
    if isinstance(source, tuple) and isinstance(destination, tuple):
        return Addresses(str(source[0]), int(source[1]), str(destination[0]), int(destination[1]))
    return UNKNOWN


def reset(transport: asyncio.Transport) -> None:
    """Close with RST: a plain abort sends FIN, which ends a body without a length as if it were whole."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport.abort()


def finish_writing(transport: asyncio.Transport) -> None:
    """Say that nothing more will be sent, and go on reading. TLS does that by itself when it is closed."""
    if transport.can_write_eof():
        transport.write_eof()
    else:
        transport.close()


def pending(transport: asyncio.Transport) -> int:
    """Bytes that were written and that the peer has not acknowledged, as far as the system tells."""
    return transport.get_write_buffer_size() + _unacknowledged(transport)


def _unacknowledged(transport: asyncio.Transport) -> int:
    """Those of them that the system holds: 0 for a socket that is closed, or that cannot tell."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return 0
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (OSError, ValueError):
        return 0


def closes_quietly(transport: asyncio.Transport | None) -> bool:
    """A connection that was closed is still there. Over TLS, which ends when both sides have said so, it may stay while
    it takes what was sent, and is then ended without a reset. False without TLS: there is something to cut off."""
    if transport is None or transport.get_extra_info("ssl_object") is None:
        return False
    if not _unacknowledged(transport):
        transport.abort()
    return True
