"""The gateway's own error answers: RFC 9457 problem details, or a page for people; RFC 9209 says whose fault it was."""

from __future__ import annotations

import html
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from math import ceil

from gateway.errors import GatewayError
from gateway.exchange import Exchange, Reply
from gateway.wire.head import ResponseBlock
from gateway.wire.reply_head import reply_head

ALWAYS = {"Cache-Control": "no-store", "Content-Type": "application/problem+json"}
# Heads of problems by status and length of the body; bounded, cleared when full.
WRITTEN: dict[tuple[int, int], ResponseBlock] = {}
WRITTEN_KEPT = 1024
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{status} {title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:34rem;padding:0 1rem}}
small{{color:#777}}</style></head>
<body><h1>{status} {title}</h1><p>{detail}</p><p><small>request {request_id}</small></p></body></html>
"""


class Problem:
    """What a failure comes to, whichever request it is told to. Immutable. `plain` has no header fields but those that
    all have."""

    __slots__ = ("detail", "headers", "is_clients", "opening", "plain", "status", "title")

    def __init__(self, error: GatewayError) -> None:
        answer = error.answer
        self.status = answer.status
        self.title = answer.title
        self.detail = error.detail or answer.title
        self.is_clients = answer.side == "client"
        self.headers = {**ALWAYS, **error.headers}
        if error.allow:
            self.headers["Allow"] = ", ".join(sorted(error.allow))
        if answer.status in (429, 503):
            self.headers["Retry-After"] = str(max(1, ceil(error.retry_after or 0)))
        self.plain = self.is_clients and self.headers == ALWAYS
        self.opening = _opening(error.kind.word, answer.title, answer.status, self.detail)

    def page(self, request_id: str) -> bytes:
        """The same for people."""
        return PAGE.format(
            status=self.status,
            title=html.escape(self.title),
            detail=html.escape(self.detail),
            request_id=html.escape(request_id),
        ).encode()


def problem_reply(error: GatewayError, exchange: Exchange, name: str) -> Reply:
    """The answer for a failure. `name` is the gateway's in `Proxy-Status`; only a trusted peer reads the cause."""
    problem = error.written
    if problem is None:
        problem = error.written = Problem(error)
    headers = problem.headers
    if not problem.is_clients:
        headers = {**headers, "Proxy-Status": _proxy_status(error, exchange, name)}
    fields = exchange.headers
    accept = fields.raw(b"accept")
    if accept is not None and accept != b"*/*" and _prefers_html(accept):
        headers = {**headers, "Content-Type": "text/html; charset=utf-8"}
        return Reply(problem.status, headers, problem.page(exchange.request_id))
    # Written out around the values, at half the cost of a dict and an encoder: scanners make many of these.
    path = exchange.sent_path if "/" in exchange.route_id else exchange.raw_path
    body = f'{problem.opening}{quoted(path)},"request_id":{quoted(exchange.request_id)}}}'.encode()
    reply = Reply(problem.status, headers, body)
    if problem.plain:
        reply.written = _written(reply)
    return reply


def _written(reply: Reply) -> ResponseBlock:
    """The head of a problem without fields of its own, which only status and length tell from others."""
    key = reply.status, len(reply.body)
    block = WRITTEN.get(key)
    if block is None:
        if len(WRITTEN) >= WRITTEN_KEPT:
            WRITTEN.clear()
        block = WRITTEN[key] = reply_head(reply).block
    return block


@lru_cache(256)
def _opening(kind: str, title: str, status: int, detail: str) -> str:
    return (
        f'{{"type":"urn:aiogate:problem:{kind}","title":{quoted(title)},"status":{status},'
        f'"detail":{quoted(detail)},"instance":'
    )


def _proxy_status(error: GatewayError, exchange: Exchange, name: str) -> str:
    text = f"{name}; error={error.answer.error_type}"
    if not exchange.peer_trusted:
        return text
    attempt = exchange.attempt
    if attempt is not None:
        text += f"; next-hop={_string(attempt.endpoint)}"
        if attempt.status is not None:
            text += f"; received-status={attempt.status}"
    return f"{text}; details={_string(error.cause)}" if error.cause else text


def _string(text: str) -> str:
    """A structured-field string (RFC 8941 §3.3.3): printable ASCII, quotes and backslashes escaped."""
    shown = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'


@lru_cache(256)
def _prefers_html(accept: bytes) -> bool:
    """A browser asks for text/html before anything of JSON; `*/*` and no Accept at all get JSON."""
    best = {"html": 0.0, "json": 0.0}
    for part in accept.decode("latin-1").split(","):
        media, _, parameters = part.partition(";")
        media = media.strip().lower()
        kind = "html" if media == "text/html" else "json" if "json" in media else ""
        if kind:
            best[kind] = max(best[kind], _quality(parameters))
    return best["html"] > 0 and best["html"] >= best["json"]


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
