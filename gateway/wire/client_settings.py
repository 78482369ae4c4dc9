"""What a client's connection is told by the configuration, and whom it tells of requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gateway.errors import GatewayError
from gateway.wire.client_certificate import ClientCertificate
from gateway.wire.head import RequestHead
from gateway.wire.headers import UNIX, Trusted, is_trusted
from gateway.wire.request_parser import RequestParser
from gateway.wire.shapes import HeaderPolicy

if TYPE_CHECKING:
    from gateway.wire.client_connection import ClientConnection
    from gateway.wire.preface import Passthrough


class Connection(Protocol):
    """What came through a listener: a client's connection, one of which it is not known yet what it is, or one that is
    passed through. `exchange` is None while nothing is under way."""

    exchange: Any

    def adopt(self, settings: ClientSettings) -> None:
        """A reload."""

    def close_when_idle(self) -> None:
        """The gateway stops: close now if nothing is under way, else after it."""

    def break_off(self) -> None:
        """The time to stop is over."""


class Handler(Protocol):
    """The life of a request, as a client's connection sees it. `exchange` is what `begin` put on the client;
    it has `pause_response` and `resume_response`, for when the client reads slowly and when it reads again, and
    `stopping`, for when the listener stops."""

    stopping: bool

    def begin(self, client: ClientConnection, head: RequestHead, body: bytes, ended: bool) -> None:
        """A request has come, with as much of the body as came with it."""

    def refuse(self, client: ClientConnection, error: GatewayError) -> None:
        """What came is no request that can be served."""

    def request_body(self, exchange: Any, body: bytes, ended: bool) -> None:
        """More of the body."""

    def fail(self, exchange: Any, error: GatewayError) -> None:
        """The rest of the body cannot be had."""

    def client_gone(self, exchange: Any) -> None:
        """Nobody waits for the answer any more."""

    def expired(self, exchange: Any, now: float) -> None:
        """The client's deadline, which the handler set, is over."""


@dataclass(frozen=True, slots=True)
class HttpsRedirect:
    """Where clients of a listener find the same by HTTPS, and the status that tells them."""

    port: int = 443
    status: int = 308


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What the configuration settles for connections of one listener. Times in seconds, sizes in bytes. `frontend` is
    the one that all of its requests belong to, "" where each is asked. `client_headers` are (property, header) of
    clients' certificates; with `redirect` nothing is served."""

    trusted_policy: HeaderPolicy
    untrusted_policy: HeaderPolicy
    trusted_proxies: Trusted = ()
    request_head: int = 32 * 1024
    header_count: int = 128
    request_body: int = 10 << 20
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    idle_timeout: float = 75.0
    half_close: bool = False
    connections: int = 20_000
    scheme: str = "http"
    frontend: str = ""
    client_headers: tuple[tuple[str, str], ...] = ()
    redirect: HttpsRedirect | None = None
    # What is read before the first request: from these peers a PROXY header, and from all of them, where some
    # connections are passed through, the server name.
    proxy_protocol: Trusted = ()
    passthrough: Passthrough | None = None
    # How long, and how many bytes, a refused client may go on sending before its connection is closed for good:
    # closing at once would answer its bytes with a reset, which takes the refusal out of its hands (RFC 9112 §9.6).
    linger_seconds: float = 2.0
    linger_bytes: int = 1 << 20
    # A connection that is closed while a request is on its way to it answers that with a reset.
    last_request: float = 0.5
    # Pipelined bytes that are read ahead of their turn, and requests that are served before others have theirs.
    pipeline_held: int = 64 * 1024
    served_per_turn: int = 32

    @property
    def closing_timeout(self) -> float:
        """How long a connection that is closed may take for it. Over TLS both sides have to say so; who still takes
        what was sent gets more time."""
        return self.idle_timeout if self.scheme == "http" else self.linger_seconds

    def regard(self, peer: str, certificate: ClientCertificate | None) -> tuple[bool, bool]:
        """Is this peer one of the trusted proxies, and do its requests need a look before they are routed?"""
        trusted = is_trusted(peer, self.trusted_proxies)
        return trusted, trusted or certificate is not None or self.redirect is not None

    @property
    def has_preface(self) -> bool:
        """Is anything read of a connection before it is known what it is?"""
        return bool(self.proxy_protocol) or self.passthrough is not None

    def parser(self, trusted: bool) -> RequestParser:
        """What reads the requests of one connection."""
        return RequestParser(*self.parsing(trusted))

    def parsing(self, trusted: bool) -> tuple[HeaderPolicy, int, int, int]:
        """Rule and limits for what reads the requests of one connection."""
        policy = self.trusted_policy if trusted else self.untrusted_policy
        return policy, self.request_head, self.header_count, self.request_body

    def forwarded_lines(self, peer: str) -> bytes:
        """The `X-Forwarded-*` lines of every request of a peer that is not trusted, up to the host's name. A peer that
        has no address stands in none, as with Envoy and HAProxy."""
        client = b"X-Forwarded-For: %b\r\n" % peer.encode() if peer != UNIX else b""
        return b"%bX-Forwarded-Proto: %b\r\nX-Forwarded-Host: " % (client, self.scheme.encode())
