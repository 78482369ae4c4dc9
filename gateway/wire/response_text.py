"""How an answer is framed that has no body, or none of a known length."""

from __future__ import annotations

from gateway.wire.date import DATE
from gateway.wire.framing import LAST_CHUNK, chunk
from gateway.wire.head import RequestHead, ResponseHead

# RFC 9110 §6.4.1
BODYLESS = frozenset([204, 304])


def unusual_framing(
    head: ResponseHead, request: RequestHead | None, pieces: list[bytes], body: bytes, ended: bool, keep: bool
) -> tuple[bytes, bool, bool, bool]:
    """The first body bytes as they are sent, whether the connection may be kept, whether chunks follow, and whether
    nothing may follow. Adds to the head's `pieces` what the framing needs."""
    if head.status in BODYLESS or (request is not None and request.method == "HEAD"):
        if head.status == 204 and head.length is not None:
            head.drop(b"content-length")
            pieces[:] = head.pieces() if head.block.dated else [*head.pieces(), DATE.line()]
        return b"", keep, False, True
    if head.length is not None:
        return body, keep, False, False
    if request is None or request.version != "1.1":
        # HTTP/1.0 knows no chunks: the body ends with the connection.
        return body, False, False, False
    pieces.append(b"Transfer-Encoding: chunked\r\n")
    if body:
        body = chunk(body)
    if ended:
        body += LAST_CHUNK
    return body, keep, True, False
