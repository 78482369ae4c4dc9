"""Calls of upstreams on behalf of a client's exchange, to be awaited: for handlers that answer it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic

from gateway.control import MergedFields
from gateway.exchange import ORIGIN_FORM
from gateway.live import LiveExchange
from gateway.plugin import UpstreamReply
from gateway.subrequest import Subrequest, Subrequests, SubrequestStream, added_lines, host_block
from gateway.wire.fields import TOKEN, field_line


class SubrequestClient:
    """Calls one upstream by its name. Each call is balanced and retried as the upstream says, and carries who asks, the
    ids of the trace, and the client's deadline; of its header fields it has only those that it is given.

    Mutable state: the calls under way.
    """

    __slots__ = ("_name", "calls", "exchange", "subrequests")

    def __init__(self, subrequests: Subrequests, exchange: LiveExchange, name: str) -> None:
        self.subrequests = subrequests
        self.exchange = exchange
        self.calls: set[SubrequestStream] = set()
        self._name = name

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 5.0,  # noqa: ASYNC109 - the contract names it so
        max_body: int = 1 << 20,
    ) -> UpstreamReply:
        """One call. `path` is raw, with its query; `timeout` in seconds covers all of it, `max_body` in bytes the
        answer's body. LookupError for an unknown upstream, ValueError for what HTTP does not allow, GatewayError for
        everything that is not an answer."""
        exchange = self.exchange
        upstream = exchange.table.upstreams.get(self._name)
        if upstream is None:
            raise LookupError(f"no upstream {self._name!r} in this configuration")
        if not ORIGIN_FORM.fullmatch(path) or not TOKEN.fullmatch(method.encode()):
            raise ValueError(f"not a request line: {method} {path}")
        given = headers or {}
        if any(name.lower() == "host" for name in given):
            raise ValueError("the Host is the client's, or what `host` at the upstream says")
        named = {name.lower().encode() for name in given}
        lines = exchange.headers.lines_of(exchange.table.passed_on - named)
        lines += [field_line(name, value) for name, value in given.items()]
        stream = _AwaitedStream(self, max_body)
        subrequest = Subrequest(
            stream,
            upstream,
            method,
            path,
            host_block(exchange),
            lines,
            added_lines(exchange, upstream),
            monotonic() + timeout,
            body or None,
        )
        subrequest.route_id = exchange.route_id
        self.subrequests.keeper.owners.add(self)
        try:
            self.subrequests.send(subrequest)
            return await stream.reply
        finally:
            stream.cancel()
            if not self.calls:
                self.subrequests.keeper.owners.discard(self)


class _AwaitedStream(SubrequestStream):
    """A subrequest that a coroutine waits for."""

    __slots__ = ("reply",)

    def __init__(self, owner: SubrequestClient, limit: int) -> None:
        SubrequestStream.__init__(self, owner, limit)
        self.reply: asyncio.Future[UpstreamReply] = asyncio.get_running_loop().create_future()

    def over(self) -> None:
        if self.reply.done():
            return
        head = self.head
        if self.error is not None or head is None:
            assert self.error is not None
            self.reply.set_exception(self.error)
        else:
            cookies = tuple(head.get_all("set-cookie"))
            self.reply.set_result(UpstreamReply(head.status, MergedFields(head), bytes(self.body), cookies))
