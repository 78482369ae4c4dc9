"""The client's side of an exchange, as the proxy sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.wire.deadlines import NEVER

if TYPE_CHECKING:
    from gateway.wire.client_settings import ClientSettings
    from gateway.wire.head import ResponseHead


class ClientStream:
    """A client's connection, which carries one stream at a time, or whoever waits for a subrequest's answer.

    `peer` is the address at the other end, `trusted` says that it is one of the trusted proxies, `unusual` that more is
    to be looked at than the request, and `forwarded` is what services are told of the peer, up to the Host. Mutable
    state: the exchange (None while nothing is under way), the deadline of whatever it waits for, monotonic, and
    `check_at`, before which nobody looks at that.
    """

    __slots__ = ("check_at", "deadline", "exchange", "forwarded", "peer", "settings", "trusted", "unusual")

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings
        self.exchange: Any = None
        self.deadline = self.check_at = NEVER
        self.peer = ""
        self.forwarded = b""
        self.trusted = self.unusual = False

    @property
    def congested(self) -> int:
        """Not 0 while the peer reads too slowly."""
        return 0

    def watch(self, deadline: float) -> None:
        """Call the handler's `expired` once `deadline` is over."""
        raise NotImplementedError

    def respond(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        """The head, and as much of the body as is there."""
        raise NotImplementedError

    def send_body(self, body: bytes, ended: bool) -> None:
        """More of the body."""
        raise NotImplementedError

    def finished(self, now: float) -> None:
        """The response is sent and the exchange over."""
        raise NotImplementedError

    # What only a connection has a part in.

    def send_interim(self, status: int, block: bytes = b"") -> None:
        """Send a 1xx head."""

    def limit_chunked(self, limit: int) -> None:
        """A body that comes in chunks may be at most so many bytes long."""

    def refuse_rest(self) -> None:
        """What is still to come of the request is not wanted."""

    def pause_reading(self) -> None:
        """The other side takes no more of the body just now."""

    def resume_reading(self) -> None:
        """The other side takes more."""

    def abort(self) -> None:
        """What was sent is not all of it, and nobody may take it for whole."""
