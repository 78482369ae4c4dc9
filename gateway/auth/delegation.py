"""What an authorisation service is asked about a request, and what its answer means. Pure.

The dialects are those of Traefik's ForwardAuth, nginx's auth_request and Envoy's ext_authz over HTTP.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.auth.claims import Fields
from gateway.auth.delegation_options import DelegationOptions
from gateway.exchange import Exchange, Reply
from gateway.plugin import UpstreamReply

REDIRECTS = frozenset([301, 302, 303, 307, 308])
CACHE_CONTROL = re.compile(r"(?:^|,)\s*([a-z-]+)(?:=\"?(\d{1,9})\"?)?\s*(?=,|$)", re.IGNORECASE)


class Question(NamedTuple):
    """A call to the service."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Verdict(NamedTuple):
    """What the service decided. `fields` go upstream, `reply` to the client where it is refused. `seconds` is how long
    the decision may be kept, 0 for not at all; `cookies` says that it sets some, and so is of one request alone."""

    principal: str | None
    fields: Fields
    reply: Reply | None
    seconds: float
    cookies: bool = False


class Unintelligible(Exception):
    """An answer that neither allows nor refuses. The text is for the log."""


def question(exchange: Exchange, options: DelegationOptions) -> Question:
    """What to ask about a request."""
    target = f"{exchange.raw_path}?{exchange.query}" if exchange.query else exchange.raw_path
    headers = {}
    for name in options.send_headers:
        values = exchange.headers.get_all(name)
        if values:
            headers[name] = ("; " if name.lower() == "cookie" else ", ").join(values)
    headers["X-Request-Id"] = exchange.request_id
    for name in ("traceparent", "tracestate"):
        value = exchange.headers.get(name)
        if value is not None:
            headers[name] = value
    headers["X-Forwarded-Method"] = exchange.method
    headers["X-Forwarded-Proto"] = exchange.scheme
    headers["X-Forwarded-Host"] = exchange.host
    headers["X-Forwarded-Uri"] = target
    headers["X-Forwarded-For"] = exchange.client_ip
    path = options.path
    if options.dialect == "nginx":
        headers["X-Original-Method"] = exchange.method
        headers["X-Original-URI"] = target
    elif options.dialect == "envoy":
        path = options.path.rstrip("/") + target
        if exchange.host:
            headers["Host"] = exchange.host
    method = options.method or ("original" if options.dialect == "envoy" else "GET")
    body = b""
    if options.with_body is not None:
        body = exchange.body or b""
        kind = exchange.headers.get("content-type")
        if kind is not None:
            headers["Content-Type"] = kind
    return Question(exchange.method if method == "original" else method, path, headers, body)


def verdict(answer: UpstreamReply, options: DelegationOptions) -> Verdict:
    """What an answer means. Unintelligible where it is neither a yes nor a no."""
    status = answer.status
    if status == 200 or (200 < status < 300 and options.dialect != "envoy"):
        told = answer.headers
        fields = tuple((name, told[name.lower()]) for name in options.copy_on_allow if name.lower() in told)
        principal = told.get(options.principal.lower()) if options.principal is not None else None
        return Verdict(principal, fields, None, _kept(answer, options), bool(answer.cookies))
    known = status in (401, 403) if options.dialect == "nginx" else status in REDIRECTS or 400 <= status < 500
    if not known:
        raise Unintelligible(f"it answered {status}")
    headers = {"Cache-Control": "no-store"}
    cookies: tuple[str, ...] = ()
    for name in ("Content-Type", *options.copy_on_deny):
        if name.lower() == "set-cookie":
            cookies = answer.cookies
        elif name.lower() in answer.headers:
            headers[name] = answer.headers[name.lower()]
    seconds = _kept(answer, options) if status in (401, 403) else 0.0
    return Verdict(None, (), Reply(status, headers, answer.body, cookies), seconds, bool(answer.cookies))


def _kept(answer: UpstreamReply, options: DelegationOptions) -> float:
    """How long a decision holds for others that ask the same, in seconds."""
    cache = options.cache
    if cache is None or answer.cookies:
        return 0.0
    if answer.status >= 300:
        return float(cache.negative_ttl)
    if cache.ttl != "from_response":
        return float(cache.ttl)
    directives = {name.lower(): value for name, value in CACHE_CONTROL.findall(answer.headers.get("cache-control", ""))}
    if "no-store" in directives or "no-cache" in directives:
        return 0.0
    return float(directives.get("max-age") or 0)
