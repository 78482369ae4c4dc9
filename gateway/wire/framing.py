"""Bodies are always framed anew: by the length that was counted, or in chunks of our own (RFC 9112 §7.1)."""

from __future__ import annotations

import asyncio

LAST_CHUNK = b"0\r\n\r\n"
# Up to here one joined copy is cheaper than a vector of three.
JOIN = 16 * 1024


class BodyPieces:
    """What has come of a body and was not taken yet. Mutable state: the pieces."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def take_body(self) -> bytes:
        """The body bytes since the last call."""
        chunks = self._chunks
        if not chunks:
            return b""
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        return body


def chunk(data: bytes) -> bytes:
    """One chunk. Not for empty data: that would be the last chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def write_chunk(transport: asyncio.Transport, data: bytes, ended: bool) -> None:
    """Write `data` as a chunk, and the last chunk after it when the body ends here."""
    if len(data) > JOIN:
        tail = b"\r\n" + LAST_CHUNK if ended else b"\r\n"
        transport.writelines([b"%x\r\n" % len(data), data, tail])
    elif data:
        transport.write(chunk(data) + LAST_CHUNK if ended else chunk(data))
    elif ended:
        transport.write(LAST_CHUNK)
