"""The nouns of a request: Exchange, Attempt, Reply, ResponseHead. Leaf module: it knows no socket and no clock."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import unquote

import orjson

from gateway.errors import GatewayError, Kind
from gateway.ids import DIGITS

# What is taken over from a trusted peer as a request's id.
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# A path with its query: visible ASCII, and no fragment (RFC 9112 §3.2.1).
ORIGIN_FORM = re.compile(r"/[!-\"$-~]*")
NOTHING: Mapping[str, str] = MappingProxyType({})


def join_route_id(frontend: str, route: str) -> str:
    """`FRONTEND/ROUTE`, or the route's name alone outside of frontends."""
    return f"{frontend}/{route}" if frontend else route


def split_route_id(route_id: str) -> tuple[str, str]:
    """Frontend, or "", and name of a route. No name has a slash but those of plugins' own paths, `PLUGIN:/PATH`."""
    frontend, slash, route = route_id.partition("/")
    return (frontend, route) if frontend and slash and ":" not in frontend else ("", route_id)


class Headers(Protocol):
    """Header fields as a plugin sees them: text, names in any case, order and duplicates kept."""

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of `name`, or `default`."""

    def get_all(self, name: str) -> list[str]:
        """Every value of `name`, in order."""

    def raw(self, name: bytes) -> bytes | None:
        """The first value of `name` (lower case) as bytes, or None: at half the cost of `get`."""

    def raw_values(self, names: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], ...]:
        """Every value of each of these names (lower case) as bytes, in order."""

    def received(self, name: bytes) -> tuple[bytes, ...]:
        """Every value of `name` (lower case) as it came, whatever was changed since."""

    def add(self, name: str, value: str) -> None:
        """Append a field. ValueError for a name or value that HTTP does not allow."""

    def add_all(self, fields: tuple[tuple[str, str], ...]) -> None:
        """Append several fields: cheap for a tuple that is added again and again. ValueError as with `add`."""

    def add_line(self, line: bytes) -> None:
        """Append a field that is written out, with its CRLF. Nobody checks it: no part of it is anybody else's."""

    def set(self, name: str, value: str) -> None:
        """Put one field in place of all of that name."""

    def set_line(self, name: bytes, line: bytes) -> None:
        """Put a field that is written out, with its CRLF, in place of all of that name (lower case). Nobody checks
        it: no part of it is anybody else's."""

    def remove(self, name: str) -> None:
        """Take away all fields of that name."""

    def items(self) -> Iterator[tuple[str, str]]:
        """Name and value of each field, as received, in order."""


class ResponseHead(Protocol):
    """The head of the answer on its way to the client. `body` holds the whole body where a plugin declared
    `needs_body = "response"`, and for local replies; assign to replace it. To a HEAD assign None where the length of
    what a GET would bring is not known any more."""

    status: int
    body: bytes | None

    @property
    def headers(self) -> Headers:
        """The answer's header fields."""


class Reply:
    """An answer that the gateway gives itself. Immutable once it is given; header values are text.

    `cookies` are values of Set-Cookie, the one field that cannot stand in one line with others of its name (RFC 9110
    §5.3). `written` is where the wire keeps what it made of it, for a reply that is given more than once.
    """

    __slots__ = ("body", "cookies", "headers", "status", "written")

    def __init__(
        self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"", cookies: Iterable[str] = ()
    ) -> None:
        if not 200 <= status <= 599:
            raise ValueError(f"a reply's status is 200 to 599, not {status}")
        self.status = status
        self.headers = dict(headers or {})
        self.body = body
        self.cookies = tuple(cookies)
        self.written: Any = None

    @classmethod
    def text(cls, status: int, text: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Plain text in UTF-8."""
        return cls(status, {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}, text.encode())

    @classmethod
    def json(cls, status: int, value: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """Any JSON value."""
        return cls(status, {"Content-Type": "application/json", **(headers or {})}, orjson.dumps(value))

    @classmethod
    def redirect(cls, location: str, status: int = 307) -> Reply:
        """Send the client to `location`."""
        return cls(status, {"Location": location})

    @classmethod
    def empty(cls, status: int = 204, headers: Mapping[str, str] | None = None) -> Reply:
        """No body."""
        return cls(status, headers)

    def __repr__(self) -> str:
        return f"<Reply {self.status} {len(self.body)} bytes>"


class Attempt:
    """One try of one exchange at one endpoint.

    `number` counts from 1. `endpoint` is the endpoint's `host:port`. `status` is what the upstream answered, `error`
    the word of what went wrong (see `gateway.errors.Kind`); both are None until known. `seconds` is set at the end,
    `waited` is the part of it until the head of an answer whose body took longer, else 0.
    """

    __slots__ = ("endpoint", "error", "number", "seconds", "started", "status", "waited")

    def __init__(self, number: int, endpoint: str, started: float) -> None:
        self.number = number
        self.endpoint = endpoint
        self.started = started
        self.seconds = 0.0
        self.waited = 0.0
        self.status: int | None = None
        self.error: str | None = None

    def __repr__(self) -> str:
        return f"<Attempt {self.number} at {self.endpoint}: {self.error or self.status or 'running'}>"


class ClientCertificate(Protocol):
    """The certificate that a client has proved to hold, from an authority that the listener accepts. Each is read when
    first asked; ValueError where it cannot be."""

    @property
    def subject(self) -> str:
        """The distinguished name (RFC 4514)."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, 64 hexadecimal digits in lower case."""

    @property
    def common_names(self) -> tuple[str, ...]:
        """The common names of the subject."""

    @property
    def dns_names(self) -> tuple[str, ...]:
        """The alternative names that are hosts, in lower case."""

    @property
    def uris(self) -> tuple[str, ...]:
        """The alternative names that are URIs, such as spiffe://example.org/ns/a."""


class Tap(Protocol):
    """Sees the answer's body as it passes to the client. It may not change it, nor wait."""

    def feed(self, data: bytes) -> None:
        """The next slice."""

    def end(self) -> None:
        """That was all of it. Never called for a body that broke off."""


class Exchange:
    """One request and its answer, from the first byte of the request's head to the last of the response.

    Owns all state of the request; nothing of it outlives `on_finish`. `raw_path` and the captures are as the client
    sent them, but without the prefix of the request's frontend, which only `sent_path` has; `path` is decoded once.
    `route` is a name, `-` without one, `frontend` is "" outside of frontends, and `route_id` is both, `FRONTEND/ROUTE`,
    or the route alone. `client_certificate` is what the client's connection has proved, None without a certificate.
    `status` is what the client was told (0 before), `outcome` one word: `answered` by the upstream, `local` for the
    gateway's own or a plugin's reply, `fallback` for what answered in place of a failure, else the kind of the failure.
    `fallback` says what that was, "" if there was none; `flag` is then both, as in `UF,FB`. Times are monotonic
    seconds, sizes are body bytes. `target` is the path and query that go upstream, empty until settled. `told` are
    header fields that go to the client with whatever answer there will be, after all that plugins did to its head. A
    plugin may set `tap` in `on_response`: it sees the answer's body pass. `cookie` is set with the upstream's answer.
    """

    __slots__ = (
        "_captures",
        "_path",
        "_request_id",
        "_state",
        "attempt",
        "attempts",
        "body",
        "bytes_in",
        "bytes_out",
        "claims",
        "client_certificate",
        "client_ip",
        "cookie",
        "ended",
        "fallback",
        "flag",
        "frontend",
        "headers",
        "host",
        "method",
        "outcome",
        "peer_trusted",
        "principal",
        "query",
        "raw_path",
        "route",
        "route_id",
        "scheme",
        "span_id",
        "started",
        "status",
        "tap",
        "target",
        "told",
        "trace_id",
        "upstream",
        "upstream_names",
        "upstream_seconds",
        "version",
    )

    def __init__(self, method: str, raw_path: str, query: str, headers: Headers, client_ip: str) -> None:
        self.method = method
        self.raw_path = raw_path
        self.query = query
        self.headers = headers
        self.client_ip = client_ip
        self._captures: Mapping[str, str] | None = None
        self.frontend = ""
        self.route = self.route_id = "-"
        self.target = ""
        self.upstream = ""
        self.upstream_names: Container[str] = ()
        self.host = ""
        self.scheme = "http"
        self.version = "1.1"
        self.peer_trusted = False
        self.principal: str | None = None
        self.claims: Mapping[str, Any] | None = None
        self.client_certificate: ClientCertificate | None = None
        self.trace_id = ""
        self.span_id = ""
        self.started = 0.0
        self.ended = 0.0
        self.status = 0
        self.outcome = ""
        self.flag = "-"
        self.fallback = ""
        self.cookie: str | None = None
        self.tap: Tap | None = None
        self.told: tuple[tuple[str, str], ...] = ()
        self.body: bytes | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.attempts = 0
        self.attempt: Attempt | None = None
        self.upstream_seconds = 0.0
        self._path: str | None = None
        self._request_id: str | None = None
        self._state: dict[str, Any] | None = None

    @property
    def captures(self) -> Mapping[str, str]:
        """What the route's path captured, raw."""
        if self._captures is None:
            self._captures = self._captured()
        return self._captures

    @captures.setter
    def captures(self, value: Mapping[str, str]) -> None:
        self._captures = value

    def _captured(self) -> Mapping[str, str]:
        return NOTHING

    @property
    def sent_path(self) -> str:
        """The raw path with the prefix of its frontend, as the client sent it."""
        if not self.frontend:
            return self.raw_path
        target: str = getattr(self.headers, "target", self.raw_path)
        return target.partition("?")[0]

    @property
    def path(self) -> str:
        """The path, percent-decoded once (`%2F` included: use `raw_path` where a separator matters)."""
        if self._path is None:
            if "%" in self.raw_path:
                self._path = unquote(self.raw_path, errors="replace")
            else:
                self._path = self.raw_path
        return self._path

    @property
    def request_id(self) -> str:
        """The request's id: a trusted peer's, or one minted at first use (32 hex digits)."""
        if self._request_id is None:
            theirs = self.headers.get("x-request-id") if self.peer_trusted else None
            self._request_id = theirs if theirs is not None and REQUEST_ID.fullmatch(theirs) else DIGITS.take(32)
        return self._request_id

    @request_id.setter
    def request_id(self, value: str) -> None:
        """ValueError for what a header cannot hold: it goes to the service and to the client."""
        if not (value.isascii() and value.isprintable()):
            raise ValueError("a request id is printable ASCII")
        self._request_id = value

    def mint_ids(self) -> None:
        """A trace id (32 hex digits), a span id (16), and a request id (32) where no trusted peer may bring one."""
        digits = DIGITS
        self.trace_id = digits.take(32)
        self.span_id = digits.take(16)
        if not self.peer_trusted:
            self._request_id = digits.take(32)

    @property
    def state(self) -> dict[str, Any]:
        """A dict of this request, for plugins that talk to each other."""
        if self._state is None:
            self._state = {}
        return self._state

    def limit_body(self, limit: int) -> None:
        """This request's body may be at most so many bytes long, and no more than the listener's limit. GatewayError
        BODY_TOO_LARGE, now for a length that is declared, later for what comes in chunks."""
        declared = self.headers.get("content-length") or ""
        if declared.isdigit() and int(declared) > limit:
            raise GatewayError(Kind.BODY_TOO_LARGE, f"the body is limited to {limit} bytes")

    def set_upstream(self, name: str) -> None:
        """Send this request to another upstream. LookupError if the configuration has none of that name."""
        if name not in self.upstream_names:
            raise LookupError(f"no upstream {name!r} in this configuration")
        self.upstream = name

    def set_path(self, raw: str) -> None:
        """Forward another raw path (with `?query`, or the request's own is kept). ValueError unless it is visible
        ASCII that begins with `/` and has no fragment."""
        if not ORIGIN_FORM.fullmatch(raw):
            raise ValueError(f"not a raw path: {raw!r}; percent-encode what is not visible ASCII, begin with '/'")
        self.target = raw if "?" in raw or not self.query else f"{raw}?{self.query}"

    def __repr__(self) -> str:
        return f"<Exchange {self.method} {self.raw_path} route={self.route} status={self.status or '-'}>"
