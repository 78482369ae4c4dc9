"""Responses out of bytes: httptools reads, and an upstream's head is checked as strictly as a client's.

Bodies with a length, and those that end with the connection, are counted here; only chunked ones pass the parser.
"""

from __future__ import annotations

import contextlib

import httptools

from gateway.errors import GatewayError, Kind
from gateway.wire.chunks import ChunkMap
from gateway.wire.fields import tokens
from gateway.wire.framing import BodyPieces
from gateway.wire.head import ResponseBlock, ResponseHead
from gateway.wire.shapes import BLOCK_KEPT, RESPONSES, SHAPES_KEPT, Shape

END = b"\r\n\r\n"
# Heads of answers with a length, by their bytes: a service under load repeats its heads within a second.
KNOWN_HEADS: dict[bytes, ResponseBlock] = {}
UNTIL_EOF = -1


class SwitchedProtocols(Exception):
    """A 101 has come: it is the parser's `head`, and what follows a body that ends with the connection."""


class _Sink:
    """What httptools calls: every field, repeated names too, and the pieces of a chunked body."""

    def __init__(self, chunks: list[bytes], unfinished: list[None]) -> None:
        self.names: list[bytes] = []
        self.values: list[bytes] = []
        self.reasons: list[bytes] = []
        self.on_status = self.reasons.append
        self.on_body = chunks.append
        self.on_message_complete = unfinished.clear

    def on_header(self, name: bytes, value: bytes) -> None:
        self.names.append(name)
        self.values.append(value)


class ResponseParser(BodyPieces):
    """Reads the responses of one upstream connection, one exchange at a time.

    After `feed`: `interim` holds 1xx heads, `head` the final one, `take_body()` the body bytes that came, `complete`
    tells that all is here, `surplus` that more came than the response holds. `next(bodyless)` makes ready for the
    next; `bodyless` is for answers to HEAD. GatewayError when the response is malformed, SwitchedProtocols for a 101.
    """

    __slots__ = (
        "_bodyless",
        "_framing",
        "_head_limit",
        "_interim_size",
        "_map",
        "_open",
        "_parser",
        "_remaining",
        "_seen",
        "_sink",
        "complete",
        "head",
        "interim",
        "surplus",
    )

    def __init__(self, head_limit: int) -> None:
        super().__init__()
        self._head_limit = head_limit
        self._parser: httptools.HttpResponseParser | None = None
        self._sink: _Sink | None = None
        self._open: list[None] = []
        self.interim: list[ResponseHead] = []
        self.surplus = False
        self.next(False)

    def next(self, bodyless: bool) -> None:
        """Make ready for the response to the next request."""
        self.head: ResponseHead | None = None
        self.complete = False
        self._bodyless = bodyless
        self._seen = b""
        self._interim_size = 0

    @property
    def begun(self) -> bool:
        """Has any byte of a response come?"""
        return bool(self._seen) or self.head is not None or self._interim_size > 0

    def feed(self, data: bytes) -> None:
        """Read on. GatewayError when the response is malformed."""
        head = self.head
        if head is None:
            if not self._seen:
                end = data.find(END) + 4
                block = KNOWN_HEADS.get(data[:end])
                if block is not None and end <= self._head_limit:
                    self._take_known(block, data, end)
                    return
            self._feed_head(data)
        elif self.complete:
            self.surplus = True
        elif head.block.chunked:
            self._feed_chunked(data)
        else:
            self._count(data)

    def feed_eof(self) -> None:
        """The upstream closed its side: the end of some bodies, a broken promise in others."""
        if self.head is not None and not self.complete and self._remaining == UNTIL_EOF and not self.head.block.chunked:
            self.complete = True

    # the head

    def _take_known(self, block: ResponseBlock, data: bytes, end: int) -> None:
        """A head with a length that was read and found good before."""
        self.head = ResponseHead(block)
        if self._bodyless:
            self.complete = True
            self.surplus = len(data) != end
            return
        self._remaining = length = block.length or 0
        if len(data) - end == length:
            self.complete = True
            if length:
                self._chunks.append(data[end:])
        elif len(data) > end:
            self._count(data[end:])

    def _feed_head(self, data: bytes) -> None:
        """Read up to the end of the head, 1xx heads before it included, then the body that came along."""
        while True:
            seen = self._seen
            whole = seen + data
            end = whole.find(END, max(0, len(seen) - 3))
            size = len(whole) if end < 0 else end + 4
            if size > self._head_limit:
                raise GatewayError(Kind.UPSTREAM_HEAD_TOO_LARGE, cause=f"more than {self._head_limit} bytes")
            piece = whole[len(seen) : size]
            self._feed_parser(piece)
            if end < 0:
                self._seen = whole
                return
            self._seen = b""
            data = whole[size:]
            try:
                block = self._finish_head(whole[:size])
            except SwitchedProtocols:
                self._count(data)
                raise
            if self.head is None:
                self._interim_size += size
                if self._interim_size > self._head_limit:
                    raise GatewayError(Kind.UPSTREAM_HEAD_TOO_LARGE, cause="too many interim heads")
                if data:
                    continue
                return
            if self.complete:
                self.surplus = bool(data)
            elif data and block.chunked:
                self._feed_chunked(data)
            elif data:
                self._count(data)
            return

    def _feed_parser(self, piece: bytes) -> None:
        parser = self._parser
        if parser is None:
            self._sink = _Sink(self._chunks, self._open)
            parser = self._parser = httptools.HttpResponseParser(self._sink)
        try:
            parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            # Only the head of a 101 ends so.
            pass
        except httptools.HttpParserError as error:
            raise GatewayError(Kind.UPSTREAM_MALFORMED, cause=str(error)) from None

    def _finish_head(self, text: bytes) -> ResponseBlock:
        parser = self._parser
        sink = self._sink
        assert parser is not None
        assert sink is not None
        # httptools leaves the status at 0 when what came was no head, an empty line for one.
        status = parser.get_status_code()
        version = parser.get_http_version()
        if not 100 <= status <= 599 or version not in ("1.0", "1.1"):
            raise GatewayError(Kind.UPSTREAM_MALFORMED, cause=f"HTTP {version}, status {status}")
        block = _examined(sink.names, sink.values, status, b"".join(sink.reasons), version)
        head = ResponseHead(block)
        if status == 101:
            self.head = head
            self._remaining = UNTIL_EOF
            self._parser = self._sink = None
            raise SwitchedProtocols
        if status < 200:
            self.interim.append(head)
            self._parser = None
            return block
        self.head = head
        if self._bodyless or status in (204, 304) or block.length == 0:
            self.complete = True
        if block.chunked and not self.complete:
            self._open.append(None)
            self._map = ChunkMap()
            self._framing = 0
            self._remaining = UNTIL_EOF
            return block
        self._parser = None
        self._remaining = UNTIL_EOF if block.length is None else block.length
        if block.length is None and not self.complete:
            block.keep_alive = False
        if block.length is not None and block.keep_alive and status not in (204, 304):
            _remember(text, block)
        return block

    # the body

    def _count(self, data: bytes) -> None:
        if self._remaining != UNTIL_EOF:
            if len(data) > self._remaining:
                data = data[: self._remaining]
                self.surplus = True
            self._remaining -= len(data)
            self.complete = self._remaining == 0
        if data:
            self._chunks.append(data)

    def _feed_chunked(self, data: bytes) -> None:
        before = len(self._chunks)
        try:
            end = self._map.find_end(data)
        except ValueError as error:
            raise GatewayError(Kind.UPSTREAM_MALFORMED, cause=f"chunked body: {error}") from None
        piece = data if end < 0 else data[:end]
        self._feed_parser(piece)
        self._framing = 0 if len(self._chunks) > before else self._framing + len(piece)
        if self._framing > self._head_limit:
            raise GatewayError(Kind.UPSTREAM_MALFORMED, cause="too many bytes of chunk framing")
        if (end >= 0) != (not self._open):
            raise GatewayError(Kind.UPSTREAM_MALFORMED, cause="chunked body: two readings of its end")
        if end >= 0:
            # Trailers are not passed on: nobody vouches for them.
            self.complete = True
            self._parser = None
            self.surplus = end < len(data)


def _examined(names: list[bytes], values: list[bytes], status: int, reason: bytes, version: str) -> ResponseBlock:
    """The block of a head that httptools accepted, with what goes beyond its strictness."""
    block = ResponseBlock(RESPONSES.shape(names), values, status, reason)
    lengths = block.telling(b"content-length")
    codings = block.telling(b"transfer-encoding")
    if len(lengths) > 1 or (lengths and codings) or len(codings) > 1:
        raise GatewayError(Kind.UPSTREAM_MALFORMED, cause="more than one framing of the body")
    if codings and (codings[0].lower() != b"chunked" or version == "1.0"):
        raise GatewayError(Kind.UPSTREAM_MALFORMED, cause=f"transfer coding {codings[0]!r}")
    nominated = tokens(block.telling(b"connection"))
    hidden = nominated - {b"close", b"keep-alive", b"content-length", b"date"}
    if not hidden.isdisjoint(block.shape.index):
        block = ResponseBlock(Shape(block.shape.names, RESPONSES.also_dropping(hidden)), values, status, reason)
    block.keep_alive = b"close" not in nominated and (version == "1.1" or b"keep-alive" in nominated)
    block.chunked = bool(codings)
    if lengths:
        with contextlib.suppress(ValueError):
            block.length = int(lengths[0])
    return block


def _remember(text: bytes, block: ResponseBlock) -> None:
    if len(text) <= BLOCK_KEPT:
        if len(KNOWN_HEADS) >= SHAPES_KEPT:
            KNOWN_HEADS.clear()
        KNOWN_HEADS[text] = block
