"""Requests out of bytes: httptools reads, and what its strictness leaves open is refused here.

One rule keeps the parser inside one message: it is fed up to and including the next CRLF CRLF, where every head and
every chunked body ends (RFC 9112 §2.1, §7.1), and bodies with a length are counted here. So pipelined bytes are
never parsed ahead of their turn, and no large body is copied by the parser.
"""

from __future__ import annotations

import contextlib
import sys

import httptools

from gateway.errors import GatewayError, Kind
from gateway.wire.chunks import ChunkMap
from gateway.wire.framing import BodyPieces
from gateway.wire.head import RequestBlock, RequestHead
from gateway.wire.request_checks import METHODS, check_host, examine, plain_target, refusal, request_line, take_absolute
from gateway.wire.shapes import HeaderPolicy

END = b"\r\n\r\n"
EMPTY_LINES = 4


class _Sink:
    """What httptools calls: methods of built-in containers, so that no header field costs a Python call."""

    __slots__ = ("on_body", "on_header", "on_message_complete", "on_url")

    def __init__(
        self, targets: list[bytes], fields: dict[bytes, bytes], chunks: list[bytes], unfinished: list[None]
    ) -> None:
        self.on_url = targets.append
        self.on_header = fields.__setitem__
        self.on_body = chunks.append
        self.on_message_complete = unfinished.clear


class RequestParser(BodyPieces):
    """Reads requests of one connection, one at a time.

    After `feed`: `head` is set once it is complete, `take_body()` gives the body bytes that came, `complete` tells
    that the request is all here, `rest` holds bytes after it. `next()` makes ready for the next request.
    GatewayError for everything that is refused; the connection is then of no more use.

    Mutable state besides: what httptools fills (`_targets`, `_fields`, `_chunks`, `_open`, which is emptied at the end
    of a message), the bytes of an unfinished head, and counts of the body.
    """

    __slots__ = (
        "_fields",
        "_fields_limit",
        "_framing",
        "_head_limit",
        "_map",
        "_open",
        "_parser",
        "_policy",
        "_remaining",
        "_seen",
        "_targets",
        "body_limit",
        "chunked_limit",
        "complete",
        "head",
        "received",
        "rest",
    )

    def __init__(self, policy: HeaderPolicy, head_limit: int, fields_limit: int, body_limit: int) -> None:
        super().__init__()
        self.adopt(policy, head_limit, fields_limit, body_limit)
        self._parser: httptools.HttpRequestParser | None = None
        self._targets: list[bytes] = []
        self._fields: dict[bytes, bytes] = {}
        self._open: list[None] = []
        self.rest = b""
        self.next()

    def adopt(self, policy: HeaderPolicy, head_limit: int, fields_limit: int, body_limit: int) -> None:
        """Read by another configuration's rule and limits from here on."""
        self._policy = policy
        self._head_limit = head_limit
        self._fields_limit = fields_limit
        self.body_limit = body_limit

    def switch(self) -> bytes:
        """From here on all bytes are one body without an end. Returns those that are here already."""
        early, self.rest = self.rest, b""
        self.complete = False
        self._remaining = sys.maxsize
        return early

    def next(self) -> None:
        """Forget the finished request; `rest` stays."""
        self.head: RequestHead | None = None
        self.complete = False
        self.received = 0
        self._framing = 0
        self._seen = b""

    @property
    def begun(self) -> bool:
        """Has the head begun to arrive?"""
        return self.head is not None or bool(self._seen)

    def feed(self, data: bytes) -> None:
        """Read on. GatewayError when the request is refused."""
        head = self.head
        if head is None:
            data = self._feed_head(data)
            head = self.head
        if data:
            if head is None or self.complete:
                self.rest += data
            elif head.chunked:
                self._feed_chunked(data)
            else:
                self._count(data)

    def read_known(self, data: bytes) -> RequestHead | None:
        """The head, where `data` is a whole request without a body whose fields, byte for byte, were read and found
        good before. Only the request line is new then.

        None for anything else, which is for `feed`: also what is not plainly `METHOD /path HTTP/1.1`.
        """
        eol = data.find(b"\r\n") + 2
        policy = self._policy
        block = policy.blocks.get(data[eol:])
        if block is None or self._seen or len(data) > self._head_limit or block.count > self._fields_limit:
            return None
        line = data[:eol]
        target = policy.targets.get(line)
        if target is None:
            target = plain_target(line)
            if target is None:
                return None
            policy.remember_target(line, target)
        self.complete = True
        self.head = head = RequestHead(block, target[0], target[1], "1.1", line)
        return head

    # the head

    def _feed_head(self, data: bytes) -> bytes:
        """Feed up to the end of the head; returns what follows it."""
        seen = self._seen
        if seen == b"\r":
            # Half of an empty line: the parser has not seen it.
            data = seen + data
            seen = self._seen = b""
        if seen:
            whole = seen + data
        else:
            if data[0] in b"\r\n":
                data = self._without_empty_lines(data)
                if data == b"\r":
                    self._seen = data
                if data in (b"", b"\r"):
                    return b""
            whole = data
        end = whole.find(END, len(seen) - 3 if len(seen) > 3 else 0)
        size = len(whole) if end < 0 else end + 4
        if size > self._head_limit:
            self._refuse_size(whole)
        rest = b""
        if size != len(whole):
            data = whole[len(seen) : size]
            rest = whole[size:]
        parser = self._parser
        if parser is None:
            self._targets.clear()
            self._fields.clear()
            sink = _Sink(self._targets, self._fields, self._chunks, self._open)
            parser = self._parser = httptools.HttpRequestParser(sink)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Upgrades are dropped, and a CONNECT is refused later: the parser is of no more use after either.
            self._parser = None
        except httptools.HttpParserError as error:
            raise refusal(error, whole) from None
        if end >= 0:
            self._finish_head(whole, size)
        elif len(self._fields) > self._fields_limit:
            raise GatewayError(Kind.HEAD_TOO_LARGE, f"more than {self._fields_limit} header fields")
        else:
            self._seen = whole
        return rest

    def _without_empty_lines(self, data: bytes) -> bytes:
        """RFC 9112 §2.2: an empty line or two before the request line is forgiven."""
        while data.startswith(b"\r\n") and self._framing < EMPTY_LINES:
            self._framing += 1
            data = data[2:]
        if data[:1] in (b"\r", b"\n") and data != b"\r":
            raise GatewayError(Kind.BAD_REQUEST, "empty or broken lines in place of a request")
        return data

    def _refuse_size(self, whole: bytes) -> None:
        if b"\r\n" not in whole[: self._head_limit]:
            raise GatewayError(Kind.TARGET_TOO_LONG, f"the request line is longer than {self._head_limit} bytes")
        raise GatewayError(Kind.HEAD_TOO_LARGE, f"the head is longer than {self._head_limit} bytes")

    def _finish_head(self, whole: bytes, size: int) -> None:
        targets = self._targets
        fields = self._fields
        if not targets:
            raise GatewayError(Kind.BAD_REQUEST, "the head has no end")
        target = targets[0] if len(targets) == 1 else b"".join(targets)
        if b"#" in target:
            raise GatewayError(Kind.BAD_REQUEST, "the request target holds a fragment")
        names = tuple(fields)
        values = list(fields.values())
        targets.clear()
        fields.clear()
        # Every field is a line, as folded lines are refused: where the lines are more, a name has come twice, and the
        # dict has kept one of them only.
        lines = whole.count(b"\r\n", 0, size - 2) - 1
        if lines != len(names):
            names, values = _all_fields(whole[:size])
        if len(names) > self._fields_limit:
            raise GatewayError(Kind.HEAD_TOO_LARGE, f"more than {self._fields_limit} header fields")
        method = whole[: whole.find(b" ")]
        line: bytes | None = whole[: whole.find(b"\r\n") + 2]
        version = "1.1"
        if line != b"%b %b HTTP/1.1\r\n" % (method, target):
            method, version = request_line(whole, target)
            line = None
        policy = self._policy
        shape = policy.shapes.get(names) or policy.shape(names)
        block = RequestBlock(shape, values, version)
        if not shape.plain:
            block = examine(block, version, policy)
        elif shape.length_at >= 0:
            block.content_length = int(values[shape.length_at])
        check_host(block, version)
        head = RequestHead(block, METHODS.get(method) or method.decode(), target.decode("ascii"), version, line)
        if target[0] != 47 and target != b"*" and method != b"CONNECT":
            take_absolute(head)
        if block.content_length is not None and block.content_length > self.body_limit:
            raise GatewayError(Kind.BODY_TOO_LARGE, f"the body is limited to {self.body_limit} bytes")
        if version == "1.1" and block.content_length is None and not block.chunked and block.keep_alive:
            policy.remember(whole[whole.find(b"\r\n") + 2 : size], block)
        self.head = head
        if block.content_length:
            # The length is counted here, so this httptools parser, which waits for the body, has done its work.
            self._remaining = block.content_length
            self._parser = None
        elif block.chunked:
            self._framing = 0
            self.chunked_limit = self.body_limit
            self._map = ChunkMap()
            if self._parser is None:
                self._parser = self._chunk_parser()
            self._open.append(None)
        else:
            self.complete = True
            if not block.keep_alive:
                self._parser = None

    def _chunk_parser(self) -> httptools.HttpRequestParser:
        """httptools takes an upgrade for the end of the message: it is told of the chunks alone."""
        parser = httptools.HttpRequestParser(_Sink([], {}, self._chunks, self._open))
        parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        return parser

    # the body

    def _count(self, data: bytes) -> None:
        if len(data) > self._remaining:
            self.rest += data[self._remaining :]
            data = data[: self._remaining]
        self._remaining -= len(data)
        self.received += len(data)
        self._chunks.append(data)
        self.complete = self._remaining == 0

    def _feed_chunked(self, data: bytes) -> None:
        chunks = self._chunks
        before = len(chunks)
        parser = self._parser
        assert parser is not None
        try:
            end = self._map.find_end(data)
            piece = data if end < 0 else data[:end]
            parser.feed_data(piece)
        except (httptools.HttpParserError, ValueError) as error:
            raise GatewayError(Kind.BAD_REQUEST, "the chunked body is malformed", cause=str(error)) from None
        # Trailers are not passed on: nobody vouches for them.
        self._fields.clear()
        came = sum(map(len, chunks[before:]))
        self.received += came
        if self.received > self.chunked_limit:
            raise GatewayError(Kind.BODY_TOO_LARGE, f"the body is limited to {self.chunked_limit} bytes")
        self._framing = 0 if came else self._framing + len(piece)
        if self._framing > self._head_limit:
            raise GatewayError(Kind.BAD_REQUEST, "too many bytes of chunk framing")
        if (end >= 0) != (not self._open):
            raise GatewayError(Kind.BAD_REQUEST, "the chunked body is malformed", cause="two readings of its end")
        if end >= 0:
            self.complete = True
            self.rest += data[end:]
            head = self.head
            if head is not None and not head.block.keep_alive:
                self._parser = None


class _FieldList:
    """Collects every field, repeated names too."""

    def __init__(self) -> None:
        self.names: list[bytes] = []
        self.values: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.names.append(name)
        self.values.append(value)


def _all_fields(head: bytes) -> tuple[tuple[bytes, ...], list[bytes]]:
    """Names and values of a head that httptools has accepted already."""
    found = _FieldList()
    with contextlib.suppress(httptools.HttpParserUpgrade):
        httptools.HttpRequestParser(found).feed_data(head)
    return tuple(found.names), found.values
