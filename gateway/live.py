"""An exchange while it runs: the noun, with the stream on the client's side."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from gateway.chain import Chain
from gateway.errors import GatewayError, Kind
from gateway.exchange import NOTHING, Exchange
from gateway.routing.actions import Deferred, Forward
from gateway.routing.frontend import Frontend
from gateway.routing.route import Route
from gateway.table import RouteTable
from gateway.tunnelling import upgrade_lines
from gateway.upstreams.upstream import Upstream
from gateway.wire.client_stream import ClientStream
from gateway.wire.deadlines import NEVER
from gateway.wire.head import RequestHead, ResponseHead
from gateway.wire.headers import resolve_client
from gateway.wire.request_text import forwarded_lines
from gateway.wire.tunnel import Tunnel

if TYPE_CHECKING:
    from gateway.attempt import LiveAttempt
    from gateway.mirror import MirrorCopy
    from gateway.upstreams.endpoint import Endpoint
    from gateway.upstreams.retry import RetryBudget

log = logging.getLogger("gateway.proxy")
DEADLINE = b"x-request-deadline-ms"
TOTAL_TIMEOUT = Kind.TOTAL_TIMEOUT
PROGRESS = 1024  # bytes of a body: fewer do not put off its time limit, or one a second would hold a place for ever


class Cancellable(Protocol):
    """A task, or a timer."""

    def cancel(self) -> object:
        """Stop it."""


class LiveExchange(Exchange):
    """One request under way.

    `pending` holds body bytes that wait for a connection, `replay` what an attempt took of them, until the answer
    begins, and `spent` says that some were taken and not kept: then there is no other attempt. `held` is the head of
    an answer that is collected, up to `held_limit` bytes. `waiting` is what the client's deadline stands for,
    `total_at` the end of all time for this request, and `late` what has happened then. `ran` counts the plugins that
    had their turn; `prepared` says that all let it pass and that it is settled what goes upstream. `refusal` is a
    breaker's, until the plugins behind it have had theirs. `tried` are the endpoints that failed it, `retries` counts
    the attempts that policy added, `permit` is what the one under way takes of the upstream's budget, `rescued` says
    that plugins were asked for a fallback.
    """

    __slots__ = (
        "_sent_path",
        "added",
        "chain",
        "client",
        "collecting",
        "continued",
        "crashed",
        "held",
        "held_limit",
        "late",
        "matched",
        "mirror",
        "over",
        "pending",
        "permit",
        "prepared",
        "ran",
        "refusal",
        "replay",
        "request_ended",
        "rescued",
        "responding",
        "retries",
        "spent",
        "table",
        "task",
        "total_at",
        "tried",
        "upstream_congested",
        "waiting",
    )

    def __init__(
        self, client: ClientStream, head: RequestHead, path: str, query: str, table: RouteTable, ended: bool
    ) -> None:
        """`ended`: the whole request is here."""
        # Written out, and not by Exchange.__init__: this runs for every request, and half of it would be set twice.
        self.table = table
        self._take(client, head, table.chain)
        self.raw_path = path
        self.query = query
        self.upstream_names = table.upstreams
        self.started = monotonic()
        self.route = self.route_id = self.flag = "-"
        self.frontend = self.upstream = self.target = self.trace_id = self.span_id = self.outcome = self.fallback = ""
        self._sent_path = ""
        self.matched: Route | None = None
        self.attempt: LiveAttempt | None = None
        self.added = b""
        self.pending: list[bytes] | deque[bytes]
        self.replay: bytes | bytearray | None = None
        self.held: ResponseHead | None = None
        self.task: Cancellable | None = None
        self.waiting: Kind | None = None
        self.permit: RetryBudget | None = None
        self.mirror: MirrorCopy | None = None
        self.refusal: GatewayError | None = None
        self.principal = self.claims = self.client_certificate = self.body = self.tap = self.cookie = None
        self._path = self._request_id = self._state = self._captures = None
        self.tried: tuple[Endpoint, ...] = ()
        self.told = ()
        self.status = self.bytes_in = self.bytes_out = self.attempts = self.retries = 0
        self.upstream_seconds = 0.0
        self.total_at = NEVER
        self.late = TOTAL_TIMEOUT
        self.collecting = self.continued = self.crashed = self.responding = self.over = False
        self.upstream_congested = self.spent = self.rescued = self.prepared = False
        self.request_ended = ended

    def _take(self, client: ClientStream, head: RequestHead, chain: Chain) -> None:
        """What it has of these. The compiler is told their types, which it cannot be in a constructor."""
        self.client = client
        self.client_ip = client.peer
        self.peer_trusted = client.trusted
        self.scheme = client.settings.scheme
        self.headers: RequestHead = head
        self.method = head.method
        block = head.block
        self.host = block.host
        self.version = head.version
        self.chain = chain
        # Until the route's plugins have their turn, the top-level ones, which come first in every chain, see the end.
        self.ran = len(chain.plugins)

    def _captured(self) -> Mapping[str, str]:
        route = self.matched
        return route.pattern.capture(self.raw_path) if route is not None and route.captures else NOTHING

    @property
    def sent_path(self) -> str:
        """The raw path with the prefix of its frontend, as the client sent it."""
        return self._sent_path or self.raw_path

    def join(self, frontend: Frontend) -> None:
        """Be a request of this frontend, also if nothing comes of it."""
        self._sent_path = self.raw_path
        self.frontend, self.route_id = frontend.name, frontend.unrouted
        self.chain = frontend.chain
        self.ran = len(frontend.chain.plugins)

    def collect(self, limit: int) -> bool:
        """Plugins read the whole body first: is it all here? GatewayError when it is longer than `limit` bytes."""
        client = self.client
        if self.bytes_in > limit:
            client.refuse_rest()
            raise GatewayError(Kind.BODY_TOO_LARGE, f"the body is limited to {limit} bytes")
        if self.request_ended:
            self.collecting = False
            self.body = b"".join(self.pending) if self.bytes_in else b""
            return True
        if not self.collecting:
            self.collecting = True
            if self.headers.block.expects_continue:
                self.continued = True
                client.send_interim(100)
        elif self.bytes_in % PROGRESS >= len(self.pending[-1]):
            return False
        self.wait(Kind.REQUEST_TIMEOUT, client.settings.body_timeout)
        return False

    def limit_body(self, limit: int) -> None:
        """This request's body may be at most so many bytes long, and no more than the listener's limit. GatewayError
        BODY_TOO_LARGE, now for a length that is declared, later for what comes in chunks."""
        if (self.headers.block.content_length or self.bytes_in) > limit:
            self.client.refuse_rest()
            raise GatewayError(Kind.BODY_TOO_LARGE, f"the body is limited to {limit} bytes")
        if self.headers.chunked:
            self.client.limit_chunked(limit)

    def run_over(self) -> None:
        """More of the body has come than is kept until somebody takes it."""
        if self.matched is not None and isinstance(self.matched.action, Deferred) and self.matched.action.drops_body:
            # It is read all the same, since that shows whether the client is still there.
            self.spent, self.pending = True, deque(maxlen=0)
        else:
            self.client.pause_reading()

    def prepare(self, action: Forward | None, upstream: Upstream) -> None:
        """Settle what goes upstream, whichever endpoint it will be, and until when. Without an action it is what a
        plugin sent elsewhere."""
        self.prepared = True
        head = self.headers
        rewrite = action.rewrite if action is not None else None
        if rewrite is not None and rewrite.headers is not None:
            rewrite.headers.apply(head)
        if not self.target:
            self.target = head.target if rewrite is None else rewrite.target(self.raw_path, self.query, self.captures)
        if self.body is not None:
            self.pending = [self.body]
            head.chunked = False
            head.set_length(len(self.body))
            head.drop(b"expect")
        total = upstream.timeouts.total
        if total is not None:
            # Another upstream has all of its own time, whatever the first ones took.
            self.limit_total((self.started if action is not None else monotonic()) + total)
        self.added = forwarded_lines(self.client, head, upstream.forwarded) + self.table.via
        if action is not None and action.websockets is not None:
            self.added += upgrade_lines(action.websockets, head)

    def defer(self) -> None:
        """All plugins have let it pass, and what goes upstream is not this request, but may still be."""
        self.target = self.target or self.headers.target
        self.prepared = True

    def limit_total(self, at: float) -> None:
        """All time for this request ends then, unless it does sooner."""
        if at < self.total_at:
            self.total_at = at
            self.late = Kind.TOTAL_TIMEOUT

    def believe(self) -> None:
        """The peer is trusted: so is what it says of the client, and its own deadline holds too."""
        client = self.client
        seen_for = self.headers.get_all("x-forwarded-for")
        self.client_ip = resolve_client(client.peer, seen_for, client.settings.trusted_proxies)
        given = self.headers.raw(DEADLINE)
        if given is not None:
            self.headers.drop(DEADLINE)
            if given.isdigit():
                self.total_at = self.started + int(given.lstrip(b"0")[:12] or 0) / 1000
                self.late = Kind.DEADLINE_EXCEEDED

    def take_place(self, upstream: Upstream) -> None:
        """One place of the upstream's limit. GatewayError OVERLOADED when it is used up."""
        route = self.matched
        importance = route.action.importance if route is not None and isinstance(route.action, Forward) else "normal"
        if self.retries:
            # It was let in once, and what it got is thrown away already.
            importance = "high"
        limiter = upstream.limiter
        if limiter is not None and not limiter.take(importance):
            upstream.meters.shed()
            raise GatewayError(Kind.OVERLOADED, cause=f"{upstream.name} has {limiter.in_flight} requests already")

    def collects(self, head: ResponseHead) -> bool:
        """Do plugins read the whole body of this answer first? GatewayError when one fails to say so."""
        limit = self.chain.response_body(self, head)
        if not limit:
            return False
        self.held, self.held_limit = head, limit
        if self.method == "HEAD":
            # The upstream's length is that of a body that they may change.
            head.drop(b"content-length")
        return True

    def passed_whole(self, head: ResponseHead) -> None:
        """The upstream's answer goes to the client in one piece. A plugin that left no body says that nobody knows its
        length, as for a HEAD."""
        if head.body is None:
            head.drop(b"content-length")
        if self.cookie is not None:
            head.add("Set-Cookie", self.cookie)
        if self.tap is not None:
            self.feed_tap(head.body or b"", True)

    def feed_tap(self, body: bytes, ended: bool) -> None:
        """A plugin watches the answer's body. One that stumbles watches no more."""
        tap = self.tap
        assert tap is not None
        try:
            if body:
                tap.feed(body)
            if ended:
                tap.end()
        except Exception:
            log.exception("a tap failed on %s", self.route_id)
            self.tap = None

    def keep(self, body: bytes, limit: int) -> None:
        """More of the body goes upstream: keep it for another attempt while it fits."""
        if self.replay is not None and len(self.replay) + len(body) <= limit:
            self.replay += body
        else:
            self.replay, self.spent = None, True

    def rewind(self) -> None:
        """What an attempt took of the body waits for the next one, to which nothing was sent yet."""
        self.upstream_congested = False
        if self.replay is not None:
            self.pending = [bytes(self.replay), *self.pending] if self.bytes_in or self.body else []
            self.replay = None

    def give_back(self) -> None:
        """Its retry is over."""
        permit, self.permit = self.permit, None
        if permit is not None:
            permit.give_back()

    def pause_response(self) -> None:
        """The client reads slowly: so do we, and for as long as it might be idle."""
        attempt = self.attempt
        if attempt is not None and attempt.connection is not None:
            attempt.connection.pause_reading()
        self.wait(Kind.CLIENT_GONE, self.client.settings.idle_timeout)

    def resume_response(self) -> None:
        """The client reads again."""
        attempt = self.attempt
        if attempt is not None and attempt.connection is not None:
            attempt.connection.resume_reading()
            self.wait(Kind.BODY_TIMEOUT, attempt.upstream.timeouts.body)

    def stopping(self) -> None:
        """The gateway stops, and waits for this to end."""
        if isinstance(self.tap, Tunnel):
            self.tap.leave()

    def wait(self, kind: Kind | None, seconds: float) -> None:
        """From now on the client's deadline stands for `kind`, in `seconds` or when the total is over."""
        self.wait_until(kind, monotonic() + seconds)

    def wait_until(self, kind: Kind | None, deadline: float) -> None:
        """The same, at a monotonic time."""
        self.waiting = kind
        client = self.client
        if deadline > self.total_at:
            deadline = self.total_at
        client.deadline = deadline
        if deadline < client.check_at:
            client.watch(deadline)

    def overdue(self, now: float) -> Kind | None:
        """What the deadline that has just passed means; None when it means nothing (any more)."""
        if self.status == 101:
            # A WebSocket has a time limit of its own. A client that takes nothing is no client.
            return self.waiting if self.waiting is Kind.CLIENT_GONE else None
        if self.total_at <= now:
            return self.late
        attempt = self.attempt
        if self.waiting is Kind.QUEUE_TIMEOUT and not (attempt is not None and attempt.queued):
            # It has left the queue: the pool itself limits the time to connect.
            return None
        return self.waiting
