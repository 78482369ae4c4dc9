"""What a plugin is made of: the base class, its phases, and the environment it runs in.

    from gateway.plugin import Exchange, Plugin, Reply

A phase that a class does not override costs nothing at run time; a misspelt one is an error at import.
"""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import orjson

from gateway.errors import Failure, GatewayError, Kind
from gateway.exchange import Attempt, Exchange, Headers, Reply, ResponseHead, Tap, split_route_id
from gateway.units import Duration, Secret, Share, Size

if TYPE_CHECKING:
    import aiohttp

    from gateway.state.board import Seat

__all__ = [
    "ADMITTED",
    "Attempt",
    "Duration",
    "Env",
    "Exchange",
    "Failure",
    "GatewayError",
    "Headers",
    "Kind",
    "Plugin",
    "Reply",
    "ResponseHead",
    "Scripting",
    "Secret",
    "Share",
    "Shared",
    "SharedUnavailable",
    "Size",
    "Tap",
    "UpstreamReply",
    "split_route_id",
]

# Which body of an exchange.
Body = Literal["request", "response"]
# What `on_request` returns when its plugin's `admit` has nothing left to ask: that one is passed over. Never sent.
ADMITTED = Reply(204)

# phase -> (asynchronous, number of parameters after self)
PHASES: dict[str, tuple[bool, int]] = {
    "start": (True, 0),
    "stop": (True, 0),
    "on_request": (False, 1),
    "admit": (True, 1),
    "on_attempt": (False, 2),
    "on_attempt_end": (False, 2),
    "on_failure": (False, 2),
    "on_response": (False, 2),
    "on_finish": (False, 1),
}


class Clock(Protocol):
    """Time as a plugin may know it."""

    def now(self) -> float:
        """Monotonic seconds."""

    def wall(self) -> float:
        """Seconds since 1970, UTC."""


class Counter(Protocol):
    """A number that only grows. `value` is what it stands at: add to it where a call is too dear."""

    value: float

    def inc(self, amount: float = 1) -> None:
        """Add `amount`, which is not negative."""


class Gauge(Protocol):
    """A number that goes both ways."""

    def inc(self, amount: float = 1) -> None:
        """Add `amount`."""

    def set(self, value: float) -> None:
        """Be `value`."""


class Histogram(Protocol):
    """A distribution in buckets."""

    def observe(self, value: float) -> None:
        """Count one value."""


_Child_co = TypeVar("_Child_co", covariant=True)


class Family(Protocol[_Child_co]):
    """One metric with its labels."""

    def labels(self, *values: str) -> _Child_co:
        """The child with these label values. Look it up once and keep it: values come from the configuration only."""


class Metrics(Protocol):
    """Makes metrics; asking again for the same name gives the same metric."""

    def counter(
        self, name: str, text: str, labels: tuple[str, ...] = (), optional: tuple[str, ...] = ()
    ) -> Family[Counter]:
        """A counter; its name ends in `_total`. A child may do without the `optional` labels, which come last."""

    def gauge(
        self, name: str, text: str, labels: tuple[str, ...] = (), merge: Literal["sum", "max", "min"] = "sum"
    ) -> Family[Gauge]:
        """A gauge. The gateway's is the sum of its workers', or the largest or smallest of them."""

    def histogram(
        self,
        name: str,
        text: str,
        labels: tuple[str, ...] = (),
        buckets: tuple[float, ...] = (),
        optional: tuple[str, ...] = (),
    ) -> Family[Histogram]:
        """A histogram; without `buckets` those for seconds of a request."""


class SharedUnavailable(Exception):
    """The shared state is not there, or did not answer in time."""


class Shared(Protocol):
    """State that instances of the gateway share. Embedded default: this process's memory. Every call may raise
    SharedUnavailable."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store, for `ttl` seconds."""

    async def add(self, key: str, amount: int = 1, ttl: float | None = None) -> int:
        """Add to a number (0 before) and return the sum; `ttl` counts from the first addition."""

    async def delete(self, key: str) -> None:
        """Forget."""


@runtime_checkable
class Scripting(Protocol):
    """Shared state that also runs scripts: Redis."""

    async def run(self, script: str, calls: Sequence[tuple[str, Sequence[str | int]]]) -> list[Any]:
        """Run a Lua script once for each call, a key and its arguments, all in one round trip. The results stand in the
        order of the calls. SharedUnavailable."""


@dataclass(frozen=True, slots=True)
class UpstreamReply:
    """A whole answer of an upstream to a call of a plugin's, or a handler's, own. Names of `headers` are in lower case,
    `cookies` are the values of Set-Cookie."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()

    def json(self) -> Any:
        """The body, read as JSON. ValueError for what is none."""
        return orjson.loads(self.body)


class UpstreamClient(Protocol):
    """Calls one of the configured upstreams: balanced and pooled like the requests of clients."""

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 5.0,  # noqa: ASYNC109
        max_body: int = 1 << 20,
    ) -> UpstreamReply:
        """One call. `path` is raw, with its query. GatewayError for everything that is not an answer."""


class LogSink(Protocol):
    """One place that log records go to, shared by all who write there."""

    place: str

    def write(self, data: bytes, records: int) -> None:
        """Take whole lines that hold so many records. Never waits: what cannot be taken is dropped and counted."""

    async def close(self) -> None:
        """This user writes no more; the last one's close waits until all is written."""


def _no_sinks(place: str) -> LogSink:
    raise RuntimeError(f"no log sink for {place}: this Env was made without open_sink")


@dataclass(frozen=True, slots=True)
class Env:
    """What the gateway gives a plugin instance. `name` is the gateway's own, as in `Via` and `service.name`; `folder`
    is the configuration's, which relative paths in options are relative to. `seat` is what the workers of a gateway
    share in memory, None where there is one worker; `instance` and the options are the same for one instance in all."""

    clock: Clock
    metrics: Metrics
    log: logging.Logger
    shared: Shared
    http_session: Callable[[], aiohttp.ClientSession]
    upstream_client: Callable[[str], UpstreamClient]
    name: str = "gateway"
    folder: Path = Path()
    open_sink: Callable[[str], LogSink] = _no_sinks
    seat: Seat | None = None
    instance: str = ""

    @property
    def http(self) -> aiohttp.ClientSession:
        """A session for control calls (key sets, introspection), never for a client's request."""
        return self.http_session()

    def upstream(self, name: str) -> UpstreamClient:
        """One of the configured upstreams. LookupError for a name that is not there."""
        return self.upstream_client(name)


class Plugin:
    """Base class of all plugins: override the phases you need.

    `Options` is a frozen dataclass; the configuration's values arrive as `self.options`. With `needs_body` (one side,
    or a tuple of both) the whole request or response body is collected first, up to `max_body` bytes (413, or 502 for a
    response, above it), and is there as `exchange.body` or `head.body`; `collects` may let a response stream. With
    `resends` a body that fits is kept until the answer begins, so that `on_failure` may send the request to another
    upstream. `own_body` is the most bytes of body to collect for `own_paths`, which is then there as `exchange.body`.
    With `spans_routes` one instance serves all routes that list the plugin with the same options. `applications` are
    those (`module:attribute`) that the instance may send requests to: each is an upstream of that name behind `app:`.
    `for_upstreams` says that it changes what upstreams answer and no other answer: compositions that list it get a
    warning.
    """

    Options: ClassVar[type | None] = None
    needs_body: Body | tuple[Body, ...] | None = None
    max_body: int = 1 << 20
    resends: bool = False
    spans_routes: bool = False
    own_body: int = 0
    applications: Iterable[str] = ()
    for_upstreams: bool = False

    name: str = ""
    options: Any
    env: Env

    def __init__(self, options: Any, env: Env) -> None:
        self.options = options
        self.env = env

    def identity_headers(self) -> Iterable[str]:
        """Headers this instance sets from an identity: every client's own copy is removed, on every route."""
        return ()

    def own_paths(self) -> Mapping[str, Iterable[str]]:
        """Paths that this instance answers itself, each with its methods. Each becomes a route of every listener and
        host, whose chain is the top-level list and this instance; only a route that asks for more takes it."""
        return {}

    def is_current(self, env: Env) -> bool:
        """A reload keeps an instance while its options are equal. False makes a new one: what the options name, such
        as a file or an upstream, is not what it was."""
        return True

    def unique_names(self, routes: Mapping[str, Iterable[str]]) -> Iterable[str]:
        """Names that no other instance of the plugin may have while this one serves `routes` (see `routes_served`):
        those of its metrics and of what the admin API shows."""
        return ()

    def routes_served(self, routes: Mapping[str, Iterable[str]]) -> None:
        """The ids of the routes whose chain this instance is in, each with the upstreams it goes to. Called whenever a
        configuration goes into service, before its first request."""

    def uses_phase(self, phase: str) -> bool:
        """Does this instance need the phase? Every one that its class overrides, unless it knows better."""
        return type(self).overrides(phase)

    def collects(self, exchange: Exchange, head: ResponseHead) -> bool:
        """Where `needs_body` is "response": is this answer's body collected for this instance? Asked once for each
        answer of an upstream, when its head is here; one plugin of the chain that says so is enough. A HEAD is then
        told no length, since nobody knows what the body would become."""
        return True

    async def start(self) -> None:
        """Before the first request."""

    async def stop(self) -> None:
        """After the last request."""

    def on_request(self, exchange: Exchange) -> Reply | None:
        """After routing, before anything is sent. A reply answers now; ADMITTED passes over this plugin's `admit`."""

    async def admit(self, exchange: Exchange) -> Reply | None:
        """The one phase of a request that may wait. A reply answers now."""

    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> Reply | None:
        """Before each try at one endpoint. A reply answers in its place."""

    def on_attempt_end(self, exchange: Exchange, attempt: Attempt) -> None:
        """Exactly once for every `on_attempt`."""

    def on_failure(self, exchange: Exchange, failure: Failure) -> Reply | None:
        """The answer would be a failure: an upstream's 5xx, or the gateway's own error for an upstream's fault. A reply
        answers in its place; `exchange.set_upstream` sends the request there instead (see `resends`). In reverse
        order, the first that does either decides; once per request."""

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        """Before the head goes to the client, in reverse order; the gateway's own replies pass here too. GatewayError
        in place of an upstream's answer is answered by the table, and that answer passes here as well."""

    def on_finish(self, exchange: Exchange) -> None:
        """Exactly once per request, last, whatever happened."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, member in vars(cls).items():
            if name in PHASES:
                _check_phase(cls, name, member)
            elif _is_method(member) and not name.startswith("_"):
                _check_spelling(cls, name)
        needed = cls.needs_body if isinstance(cls.needs_body, tuple) else (cls.needs_body or "request",)
        if not set(needed) <= {"request", "response"}:
            said = f"{cls.__name__}.needs_body is 'request' or 'response', not {cls.needs_body!r}"
            raise TypeError(f"{said}; for both write ('request', 'response')")

    @classmethod
    def overrides(cls, phase: str) -> bool:
        """Does this class do anything in `phase`?"""
        return getattr(cls, phase) is not getattr(Plugin, phase)


def _is_method(member: object) -> bool:
    """Is it a function of the class, of Python or compiled?"""
    if isinstance(member, (staticmethod, classmethod)) or not callable(member):
        return False
    return inspect.isroutine(member)


def _check_phase(cls: type, name: str, member: Any) -> None:
    asynchronous, parameters = PHASES[name]
    if not _is_method(member):
        raise TypeError(f"{cls.__name__}.{name} is a phase: define it as a method")
    if inspect.iscoroutinefunction(member) != asynchronous:
        wanted = "async def" if asynchronous else "def (only `admit` may await during a request)"
        raise TypeError(f"{cls.__name__}.{name} must be {wanted}")
    try:
        inspect.signature(member).bind(*range(parameters + 1))
    except TypeError:
        shape = {0: "self", 1: "self, exchange"}.get(parameters)
        last = {"on_response": "head", "on_failure": "failure"}.get(name, "attempt")
        shape = shape or f"self, exchange, {last}"
        raise TypeError(f"{cls.__name__}.{name} must take ({shape})") from None


def _check_spelling(cls: type, name: str) -> None:
    close = difflib.get_close_matches(name, PHASES, n=1, cutoff=0.8)
    if name.startswith("on_") or close:
        hint = f"; did you mean {close[0]!r}?" if close else f"; the phases are {', '.join(PHASES)}"
        raise TypeError(f"{cls.__name__}.{name} is not a phase{hint}")
