"""The first message of a TLS client, read only as far as it says where it wants to go (RFC 8446 §4.1.2, RFC 6066 §3,
RFC 7301 §3.1). Pure: bytes in, names out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# Of all bytes that are looked at. With two post-quantum key shares a hello has about 3 KiB.
HELLO_LIMIT = 16 * 1024
# A hello may be cut into records at will; each is walked again when more has come.
RECORDS = 64
HANDSHAKE, CLIENT_HELLO = 22, 1
RECORD_HEAD = 5
LONGEST_RECORD = 1 << 14
SERVER_NAME, PROTOCOLS = 0, 16
NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


class ClientHello(NamedTuple):
    """`server_name` is in lower case, "" where none was named; `protocols` are those of ALPN, in the client's order."""

    server_name: str
    protocols: tuple[str, ...]


class HelloError(ValueError):
    """What came is no ClientHello, or one that can be read in two ways."""


def parse_client_hello(data: bytes) -> ClientHello | int:
    """The hello that `data` begins with, or how many bytes there must be at least before it is worth another look.
    HelloError as soon as it cannot be one."""
    message, at = bytearray(), 0
    for _ in range(RECORDS):
        for place, allowed in enumerate((HANDSHAKE, 3)):
            if len(data) > at + place and data[at + place] != allowed:
                raise HelloError("no TLS handshake")
        if len(data) < at + RECORD_HEAD:
            return _wanted(at + RECORD_HEAD)
        length = int.from_bytes(data[at + 3 : at + RECORD_HEAD])
        if not 0 < length <= LONGEST_RECORD:
            raise HelloError("a TLS record of an impossible length")
        at += RECORD_HEAD
        message += data[at : at + length]
        at += length
        if message and message[0] != CLIENT_HELLO:
            raise HelloError("no ClientHello")
        size = 4 + int.from_bytes(message[1:4]) if len(message) >= 4 else HELLO_LIMIT
        if len(message) >= size:
            return _parse_message(bytes(message[4:size]))
        if at > len(data):
            return _wanted(at)
    raise HelloError("a ClientHello in too many records")


def _wanted(size: int) -> int:
    if size > HELLO_LIMIT:
        raise HelloError("a ClientHello that is too long")
    return size


class _Reader:
    """Vectors of TLS (RFC 8446 §3.4). Mutable state: how far it has read."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """So many bytes."""
        end = self._at + size
        if end > len(self._data):
            raise HelloError("a ClientHello that ends too early")
        taken, self._at = self._data[self._at : end], end
        return taken

    def number(self, size: int) -> int:
        """An integer of `size` bytes."""
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """What a length of `size` bytes stands before."""
        return self.take(self.number(size))


def _parse_message(message: bytes) -> ClientHello:
    reader = _Reader(message)
    reader.take(2 + 32)
    for size in (1, 2, 1):
        # The session's id, cipher suites, compressions.
        reader.vector(size)
    if not reader:
        return ClientHello("", ())
    extensions = dict[int, bytes]()
    rest = _Reader(reader.vector(2))
    if reader:
        raise HelloError("bytes behind a ClientHello's extensions")
    while rest:
        kind = rest.number(2)
        if kind in extensions:
            raise HelloError("an extension that is there twice")
        extensions[kind] = rest.vector(2)
    name = _server_name(extensions[SERVER_NAME]) if SERVER_NAME in extensions else ""
    return ClientHello(name, tuple(_protocols(extensions.get(PROTOCOLS))))


def _server_name(extension: bytes) -> str:
    names = _Reader(_whole(extension))
    if names.number(1) != 0:
        raise HelloError("a server name that is no host")
    name = names.vector(2).decode("latin-1").lower().removesuffix(".")
    if names or len(name) > 255 or not NAME.fullmatch(name):
        raise HelloError("a server name that can be read in two ways")
    return name


def _protocols(extension: bytes | None) -> Iterator[str]:
    if extension is not None:
        names = _Reader(_whole(extension))
        while names:
            yield names.vector(1).decode("latin-1")


def _whole(extension: bytes) -> bytes:
    """A list that is all of an extension."""
    reader = _Reader(extension)
    items = reader.vector(2)
    if reader:
        raise HelloError("bytes behind an extension's list")
    return items
