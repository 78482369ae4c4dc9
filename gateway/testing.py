"""What a plugin's tests need: an exchange, an environment and a clock that stand still, and a walk through the phases.

    plugin = make_plugin(Maintenance, message="soon")
    head = run(plugin, make_exchange("GET", "/api/items"))
    assert head.status == 503

No sockets, no sleeping. Heads are the wire's own, so what is dropped, refused or spelt otherwise there is so here.
For handlers of an application see `gateway.testing_app`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

from gateway.chain import Chain
from gateway.errors import Failure, GatewayError, Kind
from gateway.exchange import Attempt, Exchange, Reply, join_route_id
from gateway.plugin import ADMITTED, Env, Plugin, Shared, UpstreamClient, UpstreamReply
from gateway.problem import problem_reply
from gateway.state.board import Seat
from gateway.state.memory import MemoryShared
from gateway.telemetry.metrics import Metrics
from gateway.units import Duration, Secret, Share, Size
from gateway.wire.head import RequestBlock, RequestHead, ResponseBlock, ResponseHead
from gateway.wire.reply_head import reply_head
from gateway.wire.shapes import RESPONSES, request_policy

Fields = Mapping[str, str] | Iterable[tuple[str, str]]
Upstream = Reply | GatewayError | Callable[[Exchange], Reply | GatewayError]
P = TypeVar("P", bound=Plugin)
ANSWERED = Reply(200)
# What came, and whether a plugin gave it in place of the upstream.
Answer = tuple[Reply | GatewayError, bool]
GATEWAY = "gateway"


class FakeClock:
    """A clock that moves when it is told to. Mutable state: the two times, in seconds."""

    def __init__(self, now: float = 1000.0, wall: float = 1_800_000_000.0) -> None:
        self._now = now
        self._wall = wall

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now

    def wall(self) -> float:
        """Seconds since 1970, UTC."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        self._now += seconds
        self._wall += seconds


class FakeSinks:
    """Log sinks that keep what is written. `written` maps a place to the lines, `closed` holds places given back."""

    def __init__(self) -> None:
        self.written: dict[str, bytes] = {}
        self.closed: list[str] = []

    def open(self, place: str) -> FakeSink:
        """A sink for `place`, which may be any text."""
        self.written.setdefault(place, b"")
        return FakeSink(place, self)


class FakeSink:
    """One user's view of a place of FakeSinks."""

    def __init__(self, place: str, sinks: FakeSinks) -> None:
        self.place = place
        self._sinks = sinks

    def write(self, data: bytes, records: int) -> None:
        """Keep these lines."""
        self._sinks.written[self.place] += data

    async def close(self) -> None:
        """Note that this user is done."""
        self._sinks.closed.append(self.place)


@dataclass
class FakeUpstream:
    """An upstream for a plugin's own calls: it gives `answers` one by one, the last one for ever. `calls` grows."""

    answers: Sequence[UpstreamReply | GatewayError] = (UpstreamReply(200, {}, b""),)
    calls: list[tuple[str, str, Mapping[str, str], bytes]] = field(default_factory=list)

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 5.0,  # noqa: ASYNC109
        max_body: int = 1 << 20,
    ) -> UpstreamReply:
        """The next answer. A GatewayError is raised."""
        self.calls.append((method, path, dict(headers or {}), body))
        answer = self.answers[min(len(self.calls), len(self.answers)) - 1]
        if isinstance(answer, GatewayError):
            raise answer
        return answer


def make_env(
    clock: FakeClock | None = None,
    metrics: Metrics | None = None,
    shared: Shared | None = None,
    upstreams: Mapping[str, UpstreamClient] | None = None,
    http: Any = None,
    sinks: FakeSinks | None = None,
    name: str = GATEWAY,
    seat: Seat | None = None,
    instance: str = "plugin",
) -> Env:
    """An environment without a network. `upstreams` and `http` are what the plugin gets for `env.upstream(name)` and
    `env.http`; without them it gets a LookupError. Plugins of one `instance` at several seats of a board are one plugin
    in several workers."""
    clock = clock or FakeClock()
    known = dict(upstreams or {})

    def session() -> Any:
        if http is None:
            raise LookupError("this plugin uses env.http: give make_env(http=...) what it shall get")
        return http

    def upstream(wanted: str) -> UpstreamClient:
        if wanted not in known:
            raise LookupError(f"no upstream {wanted!r}: give make_env(upstreams={{{wanted!r}: FakeUpstream(...)}})")
        return known[wanted]

    return Env(
        clock=clock,
        metrics=metrics or Metrics(),
        log=logging.getLogger("gateway.test"),
        shared=shared if shared is not None else MemoryShared(clock),
        http_session=session,
        upstream_client=upstream,
        name=name,
        open_sink=(sinks or FakeSinks()).open,
        seat=seat,
        instance=instance,
    )


def make_plugin(cls: type[P], env: Env | None = None, **options: Any) -> P:
    """An instance with its options checked as at load time. Options are as in the file (`timeout="5s"`), or already
    of their type. ValueError that tells everything that is wrong with them."""
    from gateway.config.options import build_options
    from gateway.config.plugin_use import PluginUse

    name = cls.name or cls.__name__
    built, problems = build_options(
        cls.Options, PluginUse(name, {key: _plain(value) for key, value in options.items()})
    )
    if problems:
        raise ValueError("; ".join(f"{problem.message} ({problem.hint})" for problem in problems))
    plugin = cls(built, env or make_env())
    plugin.name = name
    return plugin


def _plain(value: Any) -> Any:
    """An option as it would stand in a file."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Duration | Size | Share):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value


def make_head(status: int = 200, headers: Fields | None = None, body: bytes | None = None) -> ResponseHead:
    """An upstream's head. `body` is there only where a plugin collects it."""
    pairs = _pairs(headers)
    shape = RESPONSES.shape(name for name, _ in pairs)
    return ResponseHead(ResponseBlock(shape, [value for _, value in pairs], status), body)


def make_exchange(
    method: str = "GET", path: str = "/", headers: Fields | None = None, body: bytes | None = None, **fields: Any
) -> Exchange:
    """A request as the plugins see it after routing. `path` is raw and may have a query; `fields` are attributes of
    the exchange (`route="item"`, `captures={"id": "42"}`). Unless `peer_trusted=True`, headers that only a trusted
    proxy may send are gone, as they would be."""
    pairs = _pairs(headers)
    if not any(name.lower() == b"host" for name, _ in pairs):
        pairs.insert(0, (b"Host", b"gateway.test"))
    policy = request_policy(bool(fields.get("peer_trusted")))
    block = RequestBlock(policy.shape(name for name, _ in pairs), [value for _, value in pairs], "1.1")
    raw_path, _, query = path.partition("?")
    exchange = Exchange(method, raw_path, query, RequestHead(block, method, path, "1.1"), "192.0.2.1")
    exchange.host = block.telling(b"host")[0].decode("latin-1")
    exchange.route = "test"
    exchange.upstream = "service"
    exchange.upstream_names = ("service",)
    exchange.body = body
    for name, value in fields.items():
        if not hasattr(Exchange, name):
            raise TypeError(f"an exchange has no {name!r}")
        setattr(exchange, name, value)
    exchange.route_id = join_route_id(exchange.frontend, exchange.route)
    return exchange


def _pairs(headers: Fields | None) -> list[tuple[bytes, bytes]]:
    items = headers.items() if isinstance(headers, Mapping) else headers or ()
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in items]


def run(
    plugins: Plugin | Sequence[Plugin],
    exchange: Exchange,
    upstream: Upstream = ANSWERED,
    seconds: float = 0.0,
) -> ResponseHead:
    """Walk an exchange through the phases, in the order of the contract; returns the head that the client gets.

    `upstream` is what the one attempt brings, or a function that is asked for it; `seconds` is how long that takes.
    `head.body` is the whole body. What a plugin raises is raised here, and the gateway would answer 500; but for
    GatewayError, which is answered by the table. RuntimeError
    where `admit` waits for something real: use `await run_async(...)` then.
    """
    walk = _walk(Chain([plugins] if isinstance(plugins, Plugin) else plugins), exchange, upstream, seconds)
    try:
        walk.send(None)
    except StopIteration as done:
        return cast(ResponseHead, done.value)
    walk.close()
    raise RuntimeError("admit waits for something real: use `await run_async(...)`, or give it a fake")


async def run_async(
    plugins: Plugin | Sequence[Plugin],
    exchange: Exchange,
    upstream: Upstream = ANSWERED,
    seconds: float = 0.0,
) -> ResponseHead:
    """`run` for plugins whose `admit` needs an event loop."""
    return await _walk(Chain([plugins] if isinstance(plugins, Plugin) else plugins), exchange, upstream, seconds)


async def _walk(chain: Chain, exchange: Exchange, upstream: Upstream, seconds: float) -> ResponseHead:
    clock = chain.plugins[0].env.clock if chain.plugins else FakeClock()
    exchange.started = exchange.started or clock.now()
    answer, ran = await _requests(chain, exchange)
    local = answer is not None
    attempt = partial(_attempt, chain, exchange, upstream, seconds, clock)
    if answer is None:
        answer, local = attempt()
    failure = None
    while True:
        found = _failure(answer, local)
        if found is not None and failure is None:
            failure = found
            answer, local = _instead(chain, exchange, failure, ran, attempt) or (answer, local)
        head, body, refusal = _response(chain, exchange, answer, local, ran)
        if refusal is None:
            break
        # The upstream's answer is refused, which is a failure like another; a fallback is asked for once.
        answer = refusal
    kind = answer.kind if isinstance(answer, GatewayError) else None
    if exchange.told:
        head.add_all(exchange.told)
    if exchange.tap is not None and not local and kind is None:
        exchange.tap.feed(body)
        exchange.tap.end()
    exchange.status = head.status
    exchange.bytes_out = len(body)
    exchange.outcome = kind.word if kind is not None else "local" if local else "answered"
    exchange.flag = GatewayError(kind).answer.flag if kind is not None else "-"
    if failure is not None and exchange.fallback and kind is None:
        failed = GatewayError(Kind(failure.error)).answer.flag + "," if failure.error else ""
        exchange.outcome, exchange.flag = "fallback", f"{failed}FB"
    exchange.ended = max(clock.now(), exchange.started + seconds)
    for step in chain.finishes:
        if step.place < ran:
            step.call(exchange)
    return head


async def _requests(chain: Chain, exchange: Exchange) -> tuple[Reply | GatewayError | None, int]:
    """What a plugin answers before anything is sent, and how many plugins had their turn. Those behind a breaker have
    theirs also when it refuses."""
    refusal: GatewayError | None = None
    for step in chain.requests:
        try:
            answer = step.call(exchange)
            if answer is None and step.admit is not None:
                answer = await step.admit(exchange)
        except GatewayError as error:
            if error.kind is not Kind.BREAKER_OPEN:
                return error, step.place + 1
            refusal = refusal or error
            continue
        if answer is not None and answer is not ADMITTED:
            return answer, step.place + 1
    return refusal, len(chain.plugins)


def _failure(answer: Reply | GatewayError, local: bool) -> Failure | None:
    if isinstance(answer, GatewayError):
        return answer.failure
    return Failure(answer.status, "", "5xx") if answer.status >= 500 and not local else None


def _attempt(chain: Chain, exchange: Exchange, upstream: Upstream, seconds: float, clock: Any) -> Answer:
    """What the one attempt brings, and whether a plugin answered in its place."""
    plain = f"{exchange.raw_path}?{exchange.query}" if exchange.query else exchange.raw_path
    exchange.target = exchange.target or plain
    exchange.attempts += 1
    attempt = exchange.attempt = Attempt(exchange.attempts, "127.0.0.1:9001", clock.now())
    ran = 0
    answer: Reply | GatewayError | None = None
    for step in chain.attempts:
        ran = step.place + 1
        try:
            answer = step.call(exchange, attempt)
        except GatewayError as error:
            answer = error
        if answer is not None:
            break
    else:
        ran = len(chain.plugins)
    local = answer is not None
    if isinstance(answer, GatewayError):
        attempt.error = answer.kind.word
    elif answer is None:
        if isinstance(clock, FakeClock):
            clock.advance(seconds)
        attempt.seconds = seconds
        answer = upstream(exchange) if callable(upstream) else upstream
        if isinstance(answer, GatewayError):
            attempt.error = answer.kind.word
        else:
            attempt.status = answer.status
    exchange.upstream_seconds += attempt.seconds
    for step in chain.attempt_ends:
        if step.place < ran:
            step.call(exchange, attempt)
    return answer, local


def _instead(
    chain: Chain, exchange: Exchange, failure: Failure, ran: int, attempt: Callable[[], Answer]
) -> Answer | None:
    """What the plugins answer in place of a failure, if anything, themselves or by another upstream."""
    chosen = exchange.upstream
    reply = chain.run_failures(exchange, failure, ran)
    if reply is not None:
        exchange.fallback = exchange.fallback or "reply"
        return reply, True
    if exchange.upstream == chosen:
        return None
    answer = attempt()
    exchange.fallback = exchange.fallback or "upstream"
    return answer


def _response(
    chain: Chain, exchange: Exchange, answer: Reply | GatewayError, local: bool, ran: int
) -> tuple[ResponseHead, bytes, GatewayError | None]:
    """The head of the answer after `on_response`, and all of its body, which the head has too; or why a plugin refuses
    the upstream's answer."""
    reply = problem_reply(answer, exchange, GATEWAY) if isinstance(answer, GatewayError) else answer
    local = local or reply is not answer
    head = reply_head(reply) if local else make_head(reply.status, reply.headers)
    try:
        if not local:
            limit = chain.response_body(exchange, head)
            if 0 < limit < len(reply.body):
                raise GatewayError(Kind.UPSTREAM_BODY_TOO_LARGE)
            head.body = reply.body if limit else None
        for step in chain.responses:
            if step.place < ran:
                step.call(exchange, head)
    except GatewayError as refusal:
        if local:
            raise
        return head, b"", refusal
    if head.body is None:
        head.body = reply.body
    return head, head.body, None
