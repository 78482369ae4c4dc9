"""What is refused of a request's head, beyond httptools' own strictness. Pure."""

from __future__ import annotations

import re

import httptools

from gateway.errors import GatewayError, Kind
from gateway.wire.fields import TOKEN, tokens
from gateway.wire.head import RequestBlock, RequestHead
from gateway.wire.shapes import HeaderPolicy, Shape

HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE)
VERSION = re.compile(rb" HTTP/\d\.\d")
METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


def plain_target(line: bytes) -> tuple[str, str] | None:
    """Method and target of a request line that is plainly `METHOD /path HTTP/1.1`, else None."""
    words = line.split(b" ")
    if len(words) != 3 or words[2] != b"HTTP/1.1\r\n":
        return None
    method = METHODS.get(words[0])
    target = words[1].decode("latin-1")
    if method is None or target[:1] != "/" or not target.isascii() or not target.isprintable() or "#" in target:
        return None
    return method, target


def refusal(error: httptools.HttpParserError, whole: bytes) -> GatewayError:
    """What to tell a client whose head httptools refused."""
    first = whole.lstrip(b"\r\n").partition(b" ")[0]
    if isinstance(error, httptools.HttpParserInvalidMethodError) and TOKEN.fullmatch(first):
        return GatewayError(Kind.UNKNOWN_METHOD, "this method is not known here")
    if whole[:1] == b"\x16":
        return GatewayError(Kind.BAD_REQUEST, "this port speaks plain HTTP, and TLS was tried")
    if str(error) == "Invalid HTTP version":
        return GatewayError(Kind.UNSUPPORTED_VERSION, "HTTP/1.0 and HTTP/1.1 are spoken here")
    return GatewayError(Kind.BAD_REQUEST, str(error).rstrip(".").lower())


def request_line(whole: bytes, target: bytes) -> tuple[bytes, str]:
    """Method and version of a request line that is not exactly `METHOD TARGET HTTP/1.1`."""
    line = whole.lstrip(b"\r\n").partition(b"\r\n")[0]
    method = line.partition(b" ")[0]
    if line == b"%b %b HTTP/1.1" % (method, target):
        return method, "1.1"
    if line == b"%b %b HTTP/1.0" % (method, target):
        return method, "1.0"
    tail = line.removeprefix(b"%b %b" % (method, target))
    if tail != line and (not tail or VERSION.fullmatch(tail)):
        raise GatewayError(Kind.UNSUPPORTED_VERSION, "HTTP/1.0 and HTTP/1.1 are spoken here")
    raise GatewayError(Kind.BAD_REQUEST, "the request line is malformed")


def examine(block: RequestBlock, version: str, policy: HeaderPolicy) -> RequestBlock:
    """The fields that steer framing and the connection; what goes beyond the parser's own strictness."""
    lengths = block.telling(b"content-length")
    codings = block.telling(b"transfer-encoding")
    if len(lengths) > 1 or (lengths and codings):
        raise GatewayError(Kind.BAD_REQUEST, "more than one framing of the body")
    if codings:
        if version == "1.0":
            raise GatewayError(Kind.BAD_REQUEST, "Transfer-Encoding in HTTP/1.0")
        if len(codings) > 1:
            raise GatewayError(Kind.BAD_REQUEST, "more than one Transfer-Encoding")
        if codings[0].lower() != b"chunked":
            raise GatewayError(Kind.UNKNOWN_CODING, "only the transfer coding `chunked` is known here")
    if len(block.telling(b"authorization")) > 1:
        # RFC 9110 §11.6.2 knows one: of two, the gateway and a service might believe a different one.
        raise GatewayError(Kind.BAD_REQUEST, "more than one Authorization field")
    nominated = tokens(block.telling(b"connection"))
    # RFC 9110 §7.6.1, but what steers the message is not the client's to take away.
    hidden = nominated - {b"close", b"keep-alive", b"host", b"content-length", b"expect"}
    if not hidden.isdisjoint(block.shape.index):
        block = RequestBlock(Shape(block.shape.names, policy.also_dropping(hidden)), block.values, version)
    if nominated:
        block.keep_alive = b"close" not in nominated and (version == "1.1" or b"keep-alive" in nominated)
    block.chunked = bool(codings)
    block.content_length = int(lengths[0]) if lengths else None
    for expectation in block.telling(b"expect"):
        if expectation.lower() != b"100-continue":
            raise GatewayError(Kind.EXPECTATION_FAILED, "only `100-continue` can be expected")
        block.expects_continue = version == "1.1" and (block.chunked or bool(block.content_length))
    return block


def check_host(block: RequestBlock, version: str) -> None:
    values = block.telling(b"host")
    if not values:
        if version == "1.1":
            raise GatewayError(Kind.BAD_REQUEST, "the Host field is missing")
        return
    if len(values) > 1:
        raise GatewayError(Kind.BAD_REQUEST, "more than one Host field")
    host = values[0].decode("latin-1")
    if not HOST.fullmatch(host):
        raise GatewayError(Kind.BAD_REQUEST, "the Host field is malformed")
    block.host_field = values[0]
    block.host = host


def take_absolute(head: RequestHead) -> None:
    """RFC 9112 §3.2.2: an absolute-form target. It must name the same host as the Host field."""
    match = ABSOLUTE.fullmatch(head.target)
    if match is None:
        raise GatewayError(Kind.BAD_REQUEST, "the request target is malformed")
    authority, rest = match.groups()
    block = head.block
    if block.host and authority.lower() != block.host.lower():
        raise GatewayError(Kind.BAD_REQUEST, "the request target and the Host field disagree")
    if not HOST.fullmatch(authority):
        raise GatewayError(Kind.BAD_REQUEST, "the request target is malformed")
    block.host = authority
    block.host_field = authority.encode("latin-1")
    head.line = None
    head.target = rest if rest.startswith("/") else f"/{rest}"
