"""Requests that the gateway makes on behalf of a client's: balanced, retried, guarded and counted as that one would be.

A subrequest is an exchange whose client is a stream in this process, which collects the answer. It carries what says
who asks and in which trace, and nothing else that its maker does not put in.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Protocol

from gateway import recovery
from gateway.chain import EMPTY, Chain
from gateway.errors import GatewayError, Kind
from gateway.live import LiveExchange
from gateway.proxy import Proxy
from gateway.table import RouteTable
from gateway.upstreams.upstream import Upstream
from gateway.wire.client_stream import ClientStream
from gateway.wire.deadlines import NEVER
from gateway.wire.head import RequestBlock, RequestHead, ResponseHead
from gateway.wire.request_text import forwarded_lines
from gateway.wire.shapes import request_policy

# Blocks that hold nothing but a Host, by its bytes; bounded, cleared when full.
HOSTS: dict[bytes, RequestBlock] = {}
HOSTS_KEPT = 1024
BODY_METHODS = frozenset(["PATCH", "POST", "PUT"])
POLICY = request_policy(True)


def added_lines(parent: LiveExchange, asked: Upstream) -> bytes:
    """What every subrequest to `asked` tells of its client, and of us."""
    # A trusted peer's own lines are taken out of the head that they are read from.
    head = parent.headers.copy() if parent.peer_trusted else parent.headers
    return forwarded_lines(parent.client, head, asked.forwarded) + parent.table.via


class Subrequest(LiveExchange):
    """One request of the gateway's own under way, for the exchange that it was made for."""

    __slots__ = ("asked",)

    def __init__(
        self,
        stream: SubrequestStream,
        asked: Upstream,
        method: str,
        target: str,
        host: RequestBlock,
        lines: list[bytes],
        added: bytes,
        until: float,
        body: bytes | None = None,
        chain: Chain = EMPTY,
    ) -> None:
        """`target` is the raw path with its query; `host` is a `host_block`, `lines` are whole header lines without any
        that frame a message; `added` are `added_lines`. All of it may take `until` a monotonic time, or as long as the
        client's request may."""
        parent = stream.owner.exchange
        head = RequestHead(host, method, target, "1.1")
        head._added = lines or None
        path, _, query = target.partition("?")
        LiveExchange.__init__(self, stream, head, path, query, parent.table, True)
        stream.exchange = self
        self.target = target
        self.asked = asked
        self.upstream = asked.name
        self._inherit(parent, until)
        self.chain = chain
        self.ran = len(chain.plugins)
        self.added = added
        self.prepared = True
        self.pending = []
        if body is not None:
            self.body = body
            self.pending.append(body)
            head.set_length(len(body))
        elif method in BODY_METHODS:
            # RFC 9110 §8.6: whoever expects a body wants to know that there is none.
            head.set_length(0)

    def _inherit(self, parent: LiveExchange, until: float) -> None:
        """What it has of its parent: who asks, and no more time than is left."""
        self.frontend = parent.frontend
        self.client_ip = parent.client_ip
        # What is kept of the answer, as a breaker's last good one is, may be this person's alone.
        self.principal, self.claims = parent.principal, parent.claims
        self.total_at = until
        if parent.total_at < until:
            self.total_at = parent.total_at
            self.late = parent.late


class Owner(Protocol):
    """Whoever makes subrequests for a client's exchange. `calls` are those under way."""

    @property
    def exchange(self) -> LiveExchange:
        """The client's."""

    @property
    def subrequests(self) -> Subrequests:
        """What sends them."""

    @property
    def calls(self) -> set[SubrequestStream]:
        """Those under way."""


class Timekeeper:
    """One timer for all subrequests. The ticker of clients is too coarse for what may be 50 ms.

    It is moved forward and never back: most requests find it set for an earlier time than theirs. Mutable state: the
    owners of subrequests under way, the timer and when it is due.
    """

    __slots__ = ("_due", "_timer", "owners")

    def __init__(self) -> None:
        self.owners: set[Owner] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = NEVER

    def watch(self, deadline: float) -> None:
        """Look at all of them when this deadline is over, at the latest."""
        if deadline < self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._due = deadline
            self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - monotonic()), self._look)

    def _look(self) -> None:
        self._timer, self._due = None, NEVER
        now = monotonic()
        for stream in [stream for owner in self.owners for stream in owner.calls if stream.deadline <= now]:
            stream.expired(now)
        earliest = min((stream.deadline for owner in self.owners for stream in owner.calls), default=NEVER)
        if earliest != NEVER:
            self.watch(earliest)


class SubrequestStream(ClientStream):
    """The client's side of a subrequest: collects the answer, and may be given up. It reads as fast as it is written
    to, and has a timekeeper to look at each deadline.

    Mutable state besides the stream's: what came of the answer, and `error` where there is none. `status` is
    the upstream's, also of an answer that was too large. Subclasses say what comes when it is over.
    """

    __slots__ = ("body", "error", "head", "limit", "owner", "status")

    def __init__(self, owner: Owner, limit: int) -> None:
        """`limit` is in bytes, for the answer's body."""
        client = owner.exchange.client
        ClientStream.__init__(self, client.settings)
        self.peer = client.peer
        self.trusted = client.trusted
        self.owner = owner
        self.limit = limit
        self.head: ResponseHead | None = None
        self.error: GatewayError | None = None
        self.body: bytes | bytearray = b""
        self.status = 0
        owner.calls.add(self)

    def cancel(self) -> None:
        """Nobody waits for it any more: it is given up, and `over` is not called."""
        self.owner.calls.discard(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            self.owner.subrequests.client_gone(exchange)

    def over(self) -> None:
        """The answer is here, or `error` says why it is not."""
        raise NotImplementedError

    def expired(self, now: float) -> None:
        """The deadline is over."""
        self.deadline = NEVER
        if self.exchange is not None:
            self.owner.subrequests.expired(self.exchange, now)

    def _too_large(self) -> None:
        if self.exchange is not None:
            self.owner.subrequests.fail(self.exchange, GatewayError(Kind.UPSTREAM_BODY_TOO_LARGE))

    # the exchange's client stream

    def watch(self, deadline: float) -> None:
        self.deadline = deadline
        self.owner.subrequests.keeper.watch(deadline)

    def respond(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        self.head = head
        self.status = head.status
        self.body = body
        # What answers a HEAD tells a length, and has none.
        if len(body) > self.limit or (not ended and head.length is not None and head.length > self.limit):
            self._refuse(ended)

    def send_body(self, body: bytes, ended: bool) -> None:
        if self.error is not None:
            return
        if type(self.body) is bytes:
            self.body = bytearray(self.body)
        self.body += body
        if len(self.body) > self.limit:
            self._refuse(ended)

    def _refuse(self, ended: bool) -> None:
        """More than the limit. The proxy is in the middle of what it does with these bytes: it is told after it, and
        the rest may come before."""
        self.body = b""
        self.error = GatewayError(Kind.UPSTREAM_BODY_TOO_LARGE)
        if not ended:
            asyncio.get_running_loop().call_soon(self._too_large)

    def finished(self, now: float) -> None:
        if self.exchange is not None:
            self.exchange = None
            self.owner.calls.discard(self)
            self.over()


class Subrequests(Proxy):
    """The life of subrequests: that of a request, but that it begins with an attempt, and that a failure is told to the
    stream and not written out.

    Mutable state: `active`, those under way, and who keeps their time.
    """

    __slots__ = ("keeper",)

    def __init__(self) -> None:
        super().__init__(RouteTable.empty())
        self.keeper = Timekeeper()

    def send(self, exchange: Subrequest) -> None:
        """Begin. What guards it is asked first; the stream may be told of its end before this returns."""
        self.active += 1
        try:
            if exchange.chain is EMPTY:
                self.attempt(exchange, exchange.asked)
            else:
                self.admit(exchange, 0)
        except GatewayError as error:
            self.fail(exchange, error)
        except Exception as error:
            self.crash(exchange, "a subrequest", error)

    def _act(self, exchange: LiveExchange) -> None:
        assert isinstance(exchange, Subrequest)
        self.attempt(exchange, exchange.asked)

    def fail(self, exchange: LiveExchange, error: GatewayError) -> None:
        """Something else in its place, or the stream is told."""
        self._stop_work(exchange, error.kind)
        rescued = not exchange.responding and exchange.chain.failures
        if rescued and recovery.fell_back(self, exchange, error.failure):
            return
        stream = exchange.client
        assert isinstance(stream, SubrequestStream)
        # Its traceback would hold the frames that hold the exchange.
        stream.error = error.with_traceback(None)
        self._finish(exchange, error.kind.word, error.answer.flag, monotonic())


def host_block(parent: LiveExchange) -> RequestBlock:
    """The client's Host and nothing else, as a head begins with."""
    host = parent.headers.raw(b"host") or b""
    block = HOSTS.get(host)
    if block is None:
        names, values = ((b"Host",), [host]) if host else ((), [])
        block = RequestBlock(POLICY.shape(names), values, "1.1")
        block.host_field = host
        block.host = host.decode("latin-1")
        if len(HOSTS) >= HOSTS_KEPT:
            HOSTS.clear()
        HOSTS[host] = block
    return block
