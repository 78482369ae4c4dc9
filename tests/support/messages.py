"""Reading HTTP messages strictly, by other code than the gateway's: what does not fit is an AssertionError."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9][0-9]) ([\t -~\x80-\xff]*)")
FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t -~\x80-\xff]*)")


@dataclass
class Message:
    """A head and its body. `chunks` are the sizes of the chunks it came in, empty without chunked coding."""

    first: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    chunks: list[int] = field(default_factory=list)
    head: bytes = b""

    @property
    def status(self) -> int:
        match = STATUS_LINE.fullmatch(self.first)
        assert match, self.first
        return int(match[1])

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for found, value in self.fields if found.lower() == wanted]

    def get(self, name: str) -> str | None:
        """The value of a field that may stand there once at most."""
        values = self.all(name)
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    @property
    def names(self) -> list[str]:
        return [name.decode() for name, _ in self.fields]


def parse_head(raw: bytes) -> Message:
    """A head, with the empty line that ends it."""
    assert raw.endswith(b"\r\n\r\n"), raw
    lines = raw[:-4].split(b"\r\n")
    fields = []
    for line in lines[1:]:
        match = FIELD.fullmatch(line)
        assert match, line
        fields.append((match[1], match[2]))
    assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", lines[0]), lines[0]
    return Message(lines[0], fields, head=raw)


async def read_head(reader: asyncio.StreamReader) -> Message:
    """The next head. asyncio.IncompleteReadError when the stream ends before it."""
    return parse_head(await reader.readuntil(b"\r\n\r\n"))


async def read_body(reader: asyncio.StreamReader, message: Message) -> None:
    """The body of a request, by its framing."""
    lengths, codings = message.all("content-length"), message.all("transfer-encoding")
    assert len(lengths) + len(codings) <= 1, message.head
    if codings:
        assert codings == ["chunked"], codings
        await _read_chunks(reader, message)
    elif lengths:
        message.body = await reader.readexactly(int(lengths[0]))


async def _read_chunks(reader: asyncio.StreamReader, message: Message) -> None:
    while True:
        line = await reader.readuntil(b"\r\n")
        assert re.fullmatch(rb"[0-9a-f]+\r\n", line), f"a chunk's size with something to it: {line!r}"
        size = int(line, 16)
        if size == 0:
            assert await reader.readexactly(2) == b"\r\n", "trailers"
            return
        message.chunks.append(size)
        message.body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"


async def read_response(reader: asyncio.StreamReader, method: str = "GET") -> Message:
    """A final answer, whole; one whose body ends with the connection is read to its end."""
    message = await read_head(reader)
    if method == "HEAD" or message.status in (204, 304) or message.status < 200:
        return message
    if message.all("content-length") or message.all("transfer-encoding"):
        await read_body(reader, message)
    else:
        assert message.get("connection") == "close", message.head
        message.body = await reader.read()
    return message
