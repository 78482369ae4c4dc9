"""ClientHellos: those of the ssl module, and some made by hand."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Sequence


def hello_of(name: str | None, *protocols: str, context: ssl.SSLContext | None = None) -> bytes:
    """The first bytes of a client that asks for `name`."""
    context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols([*protocols])
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name).do_handshake()
    return sent.read()


def in_records(message: bytes, sizes: Sequence[int]) -> bytes:
    """A handshake message in records of these sizes, the last one as large as it takes."""
    records, at = b"", 0
    for size in sizes:
        records += _record(message[at : at + size])
        at += size
    return records + _record(message[at:])


def _record(part: bytes) -> bytes:
    return b"\x16\x03\x01" + len(part).to_bytes(2) + part if part else b""


def make_hello(body: bytes) -> bytes:
    """A ClientHello's body in one record."""
    return _record(b"\x01" + len(body).to_bytes(3) + body)


def make_message(extensions: bytes | None, tail: bytes = b"") -> bytes:
    """A body with these extensions; None leaves out that there are any."""
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    return body if extensions is None else body + len(extensions).to_bytes(2) + extensions + tail


def server_name(*names: bytes, kind: int = 0) -> bytes:
    """The extension with these names."""
    items = b"".join(bytes([kind]) + len(name).to_bytes(2) + name for name in names)
    data = len(items).to_bytes(2) + items
    return b"\x00\x00" + len(data).to_bytes(2) + data
