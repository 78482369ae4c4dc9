"""Messages whose body changes its format on the way: what is asked of the one side, and what the other is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.answers.representation import DIGESTS, is_coded, weaken
from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange, Headers, ResponseHead
from gateway.problem import problem_reply
from gateway.shaping.exact import parse, write

JSON = "application/json"
# What is true of the bytes that were sent, and of no others.
_OF_THE_BYTES = ("Accept-Ranges", "Content-Range", *DIGESTS)
_OF_THE_ANSWER = ("Cache-Control", "Content-Disposition", "Content-Encoding", "ETag", "Expires", "Last-Modified")


def ask_for(headers: Headers, accept: str) -> None:
    """Let the upstream answer with this type, whole and as it is."""
    headers.set("Accept", accept)
    headers.set("Accept-Encoding", "identity")
    headers.remove("Range")
    headers.remove("If-Range")


def request_body(exchange: Exchange, reads: Callable[[str], bool], wanted: str) -> bytes | None:
    """The request's body, None where it has none. GatewayError UNSUPPORTED_MEDIA_TYPE for a type that is not read;
    `wanted` is what to send instead."""
    if not exchange.body:
        return None
    if not reads(exchange.headers.get("content-type") or ""):
        raise GatewayError(Kind.UNSUPPORTED_MEDIA_TYPE, f"send the body as {wanted}", headers={"Accept": wanted})
    if is_coded(exchange.headers):
        # RFC 9110 §15.5.16: this field tells that it is about the coding.
        headers = {"Accept-Encoding": "identity"}
        raise GatewayError(Kind.UNSUPPORTED_MEDIA_TYPE, "send the body without a content coding", headers=headers)
    return exchange.body


def replace_request(exchange: Exchange, body: bytes, content_type: str) -> None:
    """Another body in place of the request's."""
    exchange.body = body
    exchange.headers.set("Content-Type", content_type)
    for name in _OF_THE_BYTES:
        exchange.headers.remove(name)


def bad_request(error: ValueError) -> GatewayError:
    """What the client is told of its body."""
    return GatewayError(Kind.BAD_REQUEST, f"the body cannot be read: {error}")


def answer_body(head: ResponseHead) -> bytes:
    """The answer's body, to be read. ValueError where it is compressed, which `ask_for` did not ask for."""
    if is_coded(head.headers):
        raise ValueError("it has a content coding")
    return head.body or b""


def replace_body(exchange: Exchange, head: ResponseHead, body: bytes, content_type: str) -> None:
    """Another body in place of the answer's. For a HEAD nobody knows how long it would be."""
    head.body = None if exchange.method == "HEAD" else body
    head.headers.set("Content-Type", content_type)
    for name in _OF_THE_BYTES:
        head.headers.remove(name)
    weaken(head.headers)


def replace_by_problem(
    exchange: Exchange, head: ResponseHead, error: GatewayError, gateway: str, more: Mapping[str, Any] | None = None
) -> None:
    """The gateway's own problem in place of the answer; `gateway` is its name, `more` are further members. A status of
    the client's fault is no failure of a proxy, so that Proxy-Status is left out."""
    # The request is sent already. A page for people could hold no further members, and could not become XML.
    exchange.headers.set("Accept", JSON)
    reply = problem_reply(error, exchange, gateway)
    for name in (*_OF_THE_BYTES, *_OF_THE_ANSWER):
        head.headers.remove(name)
    for name, value in reply.headers.items():
        if name != "Proxy-Status" or reply.status >= 500:
            head.headers.set(name, value)
    head.status = reply.status
    head.body = write({**parse(reply.body), **more}) if more else reply.body
