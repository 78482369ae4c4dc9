"""A client's request, written out for the upstream: what is dropped is gone already, here ours is added."""

from __future__ import annotations

from gateway.wire.client_stream import ClientStream
from gateway.wire.framing import LAST_CHUNK, chunk
from gateway.wire.head import RequestHead
from gateway.wire.headers import REPLACED, UNIX, forwarded_element


def forwarded_lines(client: ClientStream, head: RequestHead, rfc7239: bool) -> bytes:
    """Our `X-Forwarded-*`, or `Forwarded`. A trusted peer's own are taken out of the head and gone on from."""
    if client.trusted:
        return _continued_lines(client, head, rfc7239)
    if rfc7239:
        element = forwarded_element(client.peer, head.block.host, client.settings.scheme)
        return b"Forwarded: %b\r\n" % element.encode("latin-1")
    return client.forwarded + head.block.host_field + b"\r\n"


def _continued_lines(client: ClientStream, head: RequestHead, rfc7239: bool) -> bytes:
    seen_for = head.get_all("x-forwarded-for")
    proto = head.get("x-forwarded-proto", client.settings.scheme)
    host = head.get("x-forwarded-host", head.block.host)
    elements = head.get_all("forwarded")
    for name in REPLACED:
        head.drop(name)
    if rfc7239:
        elements.append(forwarded_element(client.peer, head.block.host, client.settings.scheme))
        return b"Forwarded: %b\r\n" % ", ".join(elements).encode("latin-1")
    chain = ", ".join([*seen_for, client.peer] if client.peer != UNIX else seen_for)
    told = f"X-Forwarded-For: {chain}\r\n" if chain else ""
    lines = f"{told}X-Forwarded-Proto: {proto}\r\nX-Forwarded-Host: {host}\r\n"
    return lines.encode("latin-1")


def request_text(
    head: RequestHead,
    target: str,
    host: str | None,
    address: str,
    added: bytes,
    body: bytes,
    ended: bool,
    chunked: bool,
) -> bytes:
    """The request head, and what is there of the body, as one bytes object.

    `target` is in origin-form; `added` holds whole lines of ours. `host` is the upstream's: None for the client's
    own, "" for the endpoint's, `address`, which is also sent where the client gave none.
    """
    if head.line is not None and target == head.target:
        line = head.line
    else:
        line = f"{head.method} {target} HTTP/1.1\r\n".encode("latin-1")
    if host is not None or not head.block.host_field:
        head.drop(b"host")
        line += b"Host: %b\r\n" % (host or address).encode("latin-1")
    if not chunked:
        return b"".join((line, *head.lines(), added, b"\r\n", body))
    text = b"".join((line, *head.lines(), added, b"Transfer-Encoding: chunked\r\n\r\n"))
    if body:
        text += chunk(body)
    return text + LAST_CHUNK if ended else text
