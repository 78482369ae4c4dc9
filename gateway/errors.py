"""Everything that can go wrong with a request, and the one table that says what the client is told.

A kind answers four questions: whose fault it is, what the client sees, whether another try is safe, and as what
retry policies and breakers count it.
Status codes follow RFC 9110, `error_type` is a registered RFC 9209 §2.3 type, `flag` is the short word of logs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal, NamedTuple

Side = Literal["client", "gateway", "upstream"]
Retry = Literal["never", "idempotent", "always"]
# The words of retry policies and breakers. "" is none of their business, "full" is refused for want of room.
Condition = Literal["", "connect", "reset", "timeout", "full"]


class Kind(Enum):
    """One way for a request to fail. `word` is what logs and metrics call it."""

    def __init__(self, word: str) -> None:
        # An Enum's `value` is found by code in Python, at ten times the cost of an attribute.
        self.word = word

    NO_ROUTE = "no_route"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BAD_REQUEST = "bad_request"
    AMBIGUOUS_PATH = "ambiguous_path"
    EXPECTATION_FAILED = "expectation_failed"
    REQUEST_TIMEOUT = "request_timeout"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate_limited"
    AUTH_UNAVAILABLE = "auth_unavailable"
    LIMITER_UNAVAILABLE = "limiter_unavailable"
    TARGET_TOO_LONG = "target_too_long"
    HEAD_TOO_LARGE = "head_too_large"
    UNKNOWN_CODING = "unknown_coding"
    UNKNOWN_METHOD = "unknown_method"
    UNSUPPORTED_VERSION = "unsupported_version"
    CLIENT_GONE = "client_gone"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    STOPPING = "stopping"
    PLUGIN_CRASHED = "plugin_crashed"
    INTERNAL = "internal"
    BREAKER_OPEN = "breaker_open"
    NO_ENDPOINT = "no_endpoint"
    OVERLOADED = "overloaded"
    QUEUE_FULL = "queue_full"
    QUEUE_TIMEOUT = "queue_timeout"
    DNS_ERROR = "dns_error"
    CONNECT_FAILED = "connect_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS_CERTIFICATE_ERROR = "tls_certificate_error"
    TLS_ALERT_RECEIVED = "tls_alert_received"
    TLS_PROTOCOL_ERROR = "tls_protocol_error"
    UPSTREAM_RESET = "upstream_reset"
    UPSTREAM_MALFORMED = "upstream_malformed"
    UPSTREAM_HEAD_TOO_LARGE = "upstream_head_too_large"
    UPSTREAM_BODY_TOO_LARGE = "upstream_body_too_large"
    UPSTREAM_INCOMPLETE = "upstream_incomplete"
    SERVICE_FAULT = "service_fault"
    RESPONSE_TIMEOUT = "response_timeout"
    BODY_TIMEOUT = "body_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    SUPERSEDED = "superseded"
    PART_REFUSED = "part_refused"
    PART_FAILED = "part_failed"
    PART_INVALID = "part_invalid"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one kind of failure means to everybody who asks."""

    status: int
    error_type: str
    flag: str
    side: Side
    title: str
    retry: Retry = "never"
    condition: Condition = ""


ANSWERS: dict[Kind, Answer] = {
    Kind.NO_ROUTE: Answer(404, "destination_not_found", "NR", "client", "No route for this request"),
    Kind.METHOD_NOT_ALLOWED: Answer(405, "http_request_error", "MNA", "client", "Method not allowed"),
    Kind.BAD_REQUEST: Answer(400, "http_request_error", "DPE", "client", "Malformed request"),
    Kind.AMBIGUOUS_PATH: Answer(400, "http_request_error", "DPE", "client", "The path can be read in two ways"),
    Kind.EXPECTATION_FAILED: Answer(417, "http_request_error", "DPE", "client", "Unknown expectation"),
    Kind.REQUEST_TIMEOUT: Answer(408, "http_request_error", "SI", "client", "The request took too long to arrive"),
    Kind.BODY_TOO_LARGE: Answer(413, "http_request_error", "BTL", "client", "Request body too large"),
    Kind.UNSUPPORTED_MEDIA_TYPE: Answer(415, "http_request_error", "DPE", "client", "Unsupported media type"),
    Kind.UNAUTHENTICATED: Answer(401, "http_request_denied", "UA", "client", "Authentication is required"),
    Kind.FORBIDDEN: Answer(403, "http_request_denied", "UA", "client", "Access is forbidden"),
    Kind.RATE_LIMITED: Answer(429, "http_request_denied", "RL", "client", "Too many requests"),
    # Whoever cannot be judged is not let in: no fallback may stand in for these two.
    Kind.AUTH_UNAVAILABLE: Answer(503, "proxy_internal_error", "UA", "gateway", "Access cannot be decided now"),
    Kind.LIMITER_UNAVAILABLE: Answer(503, "proxy_internal_error", "RL", "gateway", "Limits cannot be kept now"),
    Kind.TARGET_TOO_LONG: Answer(414, "http_request_error", "DPE", "client", "Request target too long"),
    Kind.HEAD_TOO_LARGE: Answer(431, "http_request_error", "DPE", "client", "Request header fields too large"),
    Kind.UNKNOWN_CODING: Answer(501, "http_request_error", "DPE", "client", "Unknown transfer coding"),
    Kind.UNKNOWN_METHOD: Answer(501, "http_request_error", "DPE", "client", "Unknown method"),
    Kind.UNSUPPORTED_VERSION: Answer(505, "http_request_error", "DPE", "client", "HTTP version not supported"),
    Kind.CLIENT_GONE: Answer(499, "http_request_error", "DC", "client", "The client went away"),
    Kind.TOO_MANY_CONNECTIONS: Answer(503, "connection_limit_reached", "OM", "gateway", "Too many connections"),
    Kind.STOPPING: Answer(503, "destination_unavailable", "OM", "gateway", "The gateway is stopping"),
    Kind.PLUGIN_CRASHED: Answer(500, "proxy_internal_error", "PE", "gateway", "Internal error"),
    Kind.INTERNAL: Answer(500, "proxy_internal_error", "PE", "gateway", "Internal error"),
    Kind.BREAKER_OPEN: Answer(503, "destination_unavailable", "UO", "upstream", "The service is being spared"),
    Kind.NO_ENDPOINT: Answer(
        503, "destination_unavailable", "UH", "upstream", "No endpoint is available", condition="connect"
    ),
    Kind.OVERLOADED: Answer(
        503, "connection_limit_reached", "UO", "upstream", "The upstream is overloaded", condition="full"
    ),
    Kind.QUEUE_FULL: Answer(
        503, "connection_limit_reached", "UO", "upstream", "The upstream is overloaded", "always", "full"
    ),
    Kind.QUEUE_TIMEOUT: Answer(
        503, "connection_limit_reached", "UO", "upstream", "The upstream is overloaded", "always", "full"
    ),
    Kind.DNS_ERROR: Answer(
        502, "dns_error", "DF", "upstream", "The upstream's name has no address", "always", "connect"
    ),
    Kind.CONNECT_FAILED: Answer(
        502, "connection_refused", "UF", "upstream", "The upstream refused", "always", "connect"
    ),
    Kind.CONNECT_TIMEOUT: Answer(
        504, "connection_timeout", "UF", "upstream", "Connecting took too long", "always", "connect"
    ),
    Kind.TLS_CERTIFICATE_ERROR: Answer(
        502, "tls_certificate_error", "UF", "upstream", "The upstream's certificate does not hold", "always", "connect"
    ),
    Kind.TLS_ALERT_RECEIVED: Answer(
        502, "tls_alert_received", "UF", "upstream", "The upstream refused the TLS handshake", "always", "connect"
    ),
    Kind.TLS_PROTOCOL_ERROR: Answer(
        502, "tls_protocol_error", "UF", "upstream", "No TLS with the upstream", "always", "connect"
    ),
    Kind.UPSTREAM_RESET: Answer(
        502, "connection_terminated", "UC", "upstream", "The upstream hung up", "idempotent", "reset"
    ),
    Kind.UPSTREAM_MALFORMED: Answer(
        502, "http_protocol_error", "UPE", "upstream", "The upstream's answer is malformed", "idempotent", "reset"
    ),
    Kind.UPSTREAM_HEAD_TOO_LARGE: Answer(
        502,
        "http_response_header_section_size",
        "UPE",
        "upstream",
        "The upstream's header fields are too large",
        condition="reset",
    ),
    Kind.UPSTREAM_BODY_TOO_LARGE: Answer(
        502, "http_response_body_size", "UPE", "upstream", "The upstream's answer is too large", condition="reset"
    ),
    Kind.UPSTREAM_INCOMPLETE: Answer(
        502, "http_response_incomplete", "UPE", "upstream", "The upstream's answer is incomplete", "idempotent", "reset"
    ),
    # In good form the service says that it failed: the fault's own rule may put another status in place of this one.
    Kind.SERVICE_FAULT: Answer(502, "http_protocol_error", "UPE", "upstream", "The service reports a fault"),
    Kind.RESPONSE_TIMEOUT: Answer(
        504, "http_response_timeout", "UT", "upstream", "The upstream took too long to answer", "idempotent", "timeout"
    ),
    Kind.BODY_TIMEOUT: Answer(
        504, "http_response_timeout", "UT", "upstream", "The upstream stopped sending", condition="timeout"
    ),
    Kind.TOTAL_TIMEOUT: Answer(
        504, "http_response_timeout", "UT", "upstream", "The time for this request is over", condition="timeout"
    ),
    # A trusted peer gave so much time and no more: that says nothing of the upstream.
    Kind.DEADLINE_EXCEEDED: Answer(504, "http_response_timeout", "DE", "gateway", "The caller's deadline has passed"),
    # A composition's answer has the status of a required part's own 4xx.
    Kind.PART_REFUSED: Answer(400, "http_request_error", "PR", "client", "A part of the answer was refused"),
    Kind.PART_FAILED: Answer(
        502, "destination_unavailable", "PF", "upstream", "A part of the answer failed", condition="reset"
    ),
    Kind.PART_INVALID: Answer(
        502, "http_protocol_error", "PF", "upstream", "A part of the answer is unusable", condition="reset"
    ),
    # Nobody is told: of two attempts at once the other one was faster.
    Kind.SUPERSEDED: Answer(499, "http_request_error", "-", "client", "Another attempt was faster"),
}


class Failure(NamedTuple):
    """Why the answer to a request would be a failure.

    `status` is what the client would be told. `error` is the word of the kind, "" where the upstream itself answered
    with that status. `condition` is what retry policies and breakers call it, `5xx` for the upstream's own answer.
    """

    status: int
    error: str
    condition: str


class GatewayError(Exception):
    """A failure of one request, with the table's row as `answer`.

    `detail` may be shown to the client: no address, no stack trace, no secret in it. `cause` is for the log alone, and
    for trusted peers. `retry_after` is in seconds, None where nothing better than the table's is known; `allow` are the
    methods of a 405; `elsewhere` says that another endpoint may do. `status` stands in place of the table's, `headers`
    are more of the answer's. `written` is where `gateway.problem` keeps what it made of it, for one that is told again.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        cause: str = "",
        *,
        retry_after: float | None = None,
        allow: Iterable[str] = (),
        elsewhere: bool = False,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind.word, detail, cause)
        self.kind = kind
        self.detail = detail
        self.cause = cause
        self.retry_after = retry_after
        self.allow = allow
        self.elsewhere = elsewhere
        self.headers = headers or {}
        self.written: Any = None
        self.answer = ANSWERS[kind] if status is None else replace(ANSWERS[kind], status=status)

    @property
    def failure(self) -> Failure | None:
        """What plugins may answer instead of, None where it is the client's fault or the gateway's own."""
        answer = self.answer
        if answer.side != "upstream":
            return None
        return Failure(answer.status, self.kind.word, answer.condition)


def not_allowed(method: str, allowed: Iterable[str]) -> GatewayError:
    """405 with the methods that are allowed."""
    return GatewayError(Kind.METHOD_NOT_ALLOWED, f"{method} is not allowed here", allow=allowed)


class ConfigError(Exception):
    """A configuration that cannot run; the text says where and what to do."""
