"""What a route does with a request: forward it, redirect it, or answer it."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from bisect import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, Protocol
from urllib.parse import quote_plus, unquote_plus

from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange, Headers, Reply
from gateway.routing.pattern import Template
from gateway.routing.request_key import share_of

Importance = Literal["low", "normal", "high"]


class HeaderEdit:
    """Fields to remove, set and add, in this order."""

    __slots__ = ("added", "removed", "replaced")

    def __init__(
        self, added: Mapping[str, str] = {}, replaced: Mapping[str, str] = {}, removed: tuple[str, ...] = ()
    ) -> None:
        self.added = tuple(added.items())
        self.replaced = tuple(replaced.items())
        self.removed = removed

    def apply(self, headers: Headers) -> None:
        """Edit in place."""
        for name in self.removed:
            headers.remove(name)
        for name, value in self.replaced:
            headers.set(name, value)
        for name, value in self.added:
            headers.add(name, value)


class QueryEdit:
    """Parameters to remove, set and add, in this order. What is not touched stays byte for byte."""

    __slots__ = ("_gone", "_tail")

    def __init__(
        self, added: Mapping[str, str] = {}, replaced: Mapping[str, str] = {}, removed: tuple[str, ...] = ()
    ) -> None:
        self._gone = frozenset(removed) | frozenset(replaced)
        pairs = [*replaced.items(), *added.items()]
        self._tail = [f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs]

    def apply(self, query: str) -> str:
        """The edited query, without `?`."""
        parts = [part for part in query.split("&") if part] if query else []
        kept = [part for part in parts if unquote_plus(part.partition("=")[0]) not in self._gone]
        return "&".join(kept + self._tail)


class Rewrite:
    """Another path, query or header fields for the service. The query is kept unless the path names one."""

    __slots__ = ("headers", "path", "query")

    def __init__(
        self, path: Template | None = None, query: QueryEdit | None = None, headers: HeaderEdit | None = None
    ) -> None:
        self.path = path
        self.query = query
        self.headers = headers

    def target(self, raw_path: str, query: str, captures: Mapping[str, str]) -> str:
        """The path and query to ask the upstream for."""
        path = raw_path if self.path is None else self.path.expand(captures)
        path, mark, named = path.partition("?")
        if mark:
            query = named
        if self.query is not None:
            query = self.query.apply(query)
        return f"{path}?{query}" if query else path


@dataclass(frozen=True, slots=True)
class Mirror:
    """Copies of a share of the requests, bodies up to `body` bytes, for another upstream."""

    upstream: str
    share: float = 1.0
    body: int = 64 * 1024


class OpenCount(Protocol):
    """How many are open now, in all workers."""

    @property
    def value(self) -> float:
        """So many."""

    def inc(self, amount: float = 1) -> None:
        """So many more."""


@dataclass(frozen=True, slots=True)
class WebSockets:
    """The WebSockets of a route. One ends after `idle` seconds without a byte; there are `limit` at a time, None for
    any number. `open` is the same one in every configuration that has the route."""

    open: OpenCount
    idle: float = 3600.0
    limit: int | None = None

    def check(self) -> None:
        """GatewayError TOO_MANY_CONNECTIONS unless there is room for one more."""
        if self.limit is not None and self.open.value >= self.limit:
            raise GatewayError(Kind.TOO_MANY_CONNECTIONS, f"this route allows {self.limit} WebSockets at a time")

    def __str__(self) -> str:
        return "upgrade to websocket" + (f" (at most {self.limit})" if self.limit is not None else "")


class Forward:
    """To an upstream, or to one of several by weight. `total` is in seconds for all of a request, None for no limit;
    `websockets` allows a request to go on as one."""

    __slots__ = (
        "_key",
        "_reached",
        "_total",
        "importance",
        "mirror",
        "names",
        "rewrite",
        "total",
        "upstream",
        "websockets",
        "weights",
    )

    def __init__(
        self,
        targets: tuple[tuple[str, int], ...],
        rewrite: Rewrite | None = None,
        *,
        sticky: Callable[[Exchange], str | None] | None = None,
        mirror: Mirror | None = None,
        importance: Importance = "normal",
        total: float | None = None,
        websockets: WebSockets | None = None,
    ) -> None:
        """`targets` holds (upstream, weight); at least one weight is above 0. `sticky` gives what decides in place of
        chance, None where a request has nothing of it."""
        self.names = tuple(name for name, weight in targets if weight)
        self.weights = tuple(weight for _, weight in targets if weight)
        self._reached = tuple(accumulate(self.weights))
        self._total = self._reached[-1]
        self.upstream = self.names[0] if len(self.names) == 1 else None
        self.rewrite = rewrite
        self.mirror = mirror
        self.importance: Importance = importance
        self.total = total
        self.websockets = websockets
        self._key = sticky

    def pick(self, exchange: Exchange) -> str:
        """The upstream for a request: by what it agrees in with others, else by chance."""
        key = self._key(exchange) if self._key is not None else None
        return self.at(random.random() if key is None else share_of(key))

    def at(self, drawn: float) -> str:
        """The upstream whose part of [0, 1) `drawn` lies in."""
        return self.names[bisect(self._reached, drawn * self._total)]

    def __str__(self) -> str:
        several = ", ".join(f"{name} ({weight})" for name, weight in zip(self.names, self.weights, strict=True))
        upgrade = f", {self.websockets}" if self.websockets is not None else ""
        return f"to {self.upstream or several}{upgrade}"


class Redirect:
    """Send the client elsewhere."""

    __slots__ = ("status", "to")

    def __init__(self, to: Template, status: int) -> None:
        self.to = to
        self.status = status

    def location(self, exchange: Exchange) -> str:
        """Where to. The query is kept unless the template names one."""
        location = self.to.expand(exchange.captures)
        # A capture that begins with a slash must not turn a path into `//host`.
        # Browsers read a backslash as a slash.
        if location[:1] == "/" and location[1:2] in ("/", "\\") and not self.to.text.startswith("//"):
            location = "/" + location.lstrip("/\\")
        if exchange.query and "?" not in self.to.text:
            return f"{location}?{exchange.query}"
        return location

    def reply(self, exchange: Exchange) -> Reply:
        """The answer."""
        return Reply.redirect(self.location(exchange), self.status)

    def __str__(self) -> str:
        return f"redirect {self.status} to {self.to.text}"


class Respond:
    """A fixed answer."""

    __slots__ = ("_reply",)

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def reply(self, exchange: Exchange) -> Reply:
        """The answer."""
        return self._reply

    def __str__(self) -> str:
        return f"respond {self._reply.status}"


class PluginAnswer(Respond):
    """A plugin of the chain answers; the reply is for what it leaves to others."""

    __slots__ = ("_name",)

    def __init__(self, name: str, reply: Reply) -> None:
        super().__init__(reply)
        self._name = name

    def __str__(self) -> str:
        return f"answered by {self._name}"


class Deferred(ABC):
    """Work of its own, which answers later. `names` are the upstreams that it asks; `paths` are what captures are put
    into on the way there. `reads_body`: it begins when the request's body is all here, as `body` of the exchange;
    `drops_body`: nobody wants what comes of it later."""

    names: tuple[str, ...] = ()
    reads_body: bool = False
    drops_body: bool = False
    paths: tuple[Template, ...] = ()

    @abstractmethod
    def begin(self, proxy: Any, exchange: Any) -> None:
        """All plugins have let the request pass: begin. The proxy's `answer` or `fail` is the end of it, perhaps before
        this returns; `exchange.task` may be set to what is to be cancelled when the client leaves."""


Action = Forward | Redirect | Respond | Deferred
