"""What an authorisation service is asked about a request, and what its answer means. Pure.

The dialects are those of Traefik's ForwardAuth, nginx's auth_request and Envoy's ext_authz over HTTP.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.answers.cache_control import read_cache_control
from gateway.auth.claims import Fields
from gateway.auth.delegation_options import REPRESENTATION, DelegationOptions
from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange, Reply
from gateway.plugin import UpstreamReply

REDIRECTS = frozenset([301, 302, 303, 307, 308])
NOT_KEPT = frozenset(["no-cache", "no-store"])
# A refusal with a longer body is not kept: whoever shows a new credential each time makes many of them.
LONGEST_KEPT = 4096


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
    sent = exchange.sent_path
    target = f"{sent}?{exchange.query}" if exchange.query else sent
    headers = {}
    fields = exchange.headers
    *shown, parents, states, protocols = fields.raw_values(options.read)
    for name, values in zip(options.sent, shown, strict=True):
        if values:
            headers[name] = (b"; " if name.lower() == "cookie" else b", ").join(values).decode("latin-1")
    headers["X-Request-Id"] = exchange.request_id
    for name, values in (("traceparent", parents), ("tracestate", states)):
        if values:
            headers[name] = values[0].decode("latin-1")
    headers["X-Forwarded-Method"] = exchange.method
    # Only a trusted peer's own is still there: whoever ended TLS before us knows better.
    headers["X-Forwarded-Proto"] = protocols[0].decode("latin-1") if protocols else exchange.scheme
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
    body = exchange.body or b"" if options.with_body is not None else b""
    return Question(exchange.method if method == "original" else method, path, headers, body)


def verdict(answer: UpstreamReply, options: DelegationOptions) -> Verdict:
    """What an answer means. Unintelligible where it is neither a yes nor a no."""
    status = answer.status
    if status == 200 or (200 < status < 300 and options.dialect != "envoy"):
        told = answer.headers
        copied = [(name, told.get(name.lower())) for name in options.copy_on_allow]
        fields = tuple([(name, value) for name, value in copied if value is not None])
        principal = told.get(options.principal.lower()) if options.principal is not None else None
        return Verdict(principal, fields, None, _kept(answer, options), bool(answer.cookies))
    known = status in (401, 403) if options.dialect == "nginx" else status in REDIRECTS or 400 <= status < 500
    if not known:
        raise Unintelligible(f"it answered {status}")
    wanted = {name.lower(): name for name in (*REPRESENTATION, *options.copy_on_deny)}
    cookies = answer.cookies if wanted.pop("set-cookie", None) else ()
    told = {"cache-control": "no-store"} | {key: value for key, value in answer.headers.items() if key in wanted}
    headers = {wanted.get(key, "Cache-Control"): value for key, value in told.items()}
    seconds = _kept(answer, options) if status in (401, 403) else 0.0
    return Verdict(None, (), Reply(status, headers, answer.body, cookies), seconds, bool(answer.cookies))


def _kept(answer: UpstreamReply, options: DelegationOptions) -> float:
    """How long a decision holds for others that ask the same, in seconds."""
    cache = options.cache
    if cache is None or answer.cookies:
        return 0.0
    if answer.status >= 300:
        return float(cache.negative_ttl) if len(answer.body) <= LONGEST_KEPT else 0.0
    return max_age(answer.headers.get("cache-control", "")) if cache.ttl == "from_response" else float(cache.ttl)


def max_age(field: str) -> float:
    """For how many seconds a Cache-Control lets an answer be kept: 0 where it says no or nothing, or cannot be read."""
    said = read_cache_control(field)
    return 0.0 if said.directives & NOT_KEPT else float(said.max_age or 0)


def no_decision(error: Exception, options: DelegationOptions) -> GatewayError:
    """What the client gets where there was none, for this reason."""
    why = (error.cause or error.kind.word) if isinstance(error, GatewayError) else error
    return GatewayError(
        Kind.AUTH_UNAVAILABLE,
        cause=f"{options.upstream} gave no decision: {why}",
        retry_after=error.retry_after if isinstance(error, GatewayError) else None,
        status=options.status_on_error,
    )
