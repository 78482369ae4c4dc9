"""A composition in the making: parts begin when what they need is there, and what came of them becomes one answer.

It runs as callbacks of the parts' subrequests; nothing here waits.
"""

from __future__ import annotations

import logging
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from gateway.chain import EMPTY
from gateway.compose.answer import composed, verdict
from gateway.compose.calls import Call, Items, Question, question
from gateway.compose.plan import Part, Plan
from gateway.compose.results import KeptFields, Result, broken, invalid, read, refused, unaskable
from gateway.compose.template import MISSING, Unresolved
from gateway.control import MergedFields
from gateway.errors import GatewayError
from gateway.routing.actions import Deferred
from gateway.subrequest import Subrequest, Subrequests, SubrequestStream, added_lines, host_block
from gateway.wire.deadlines import NEVER
from gateway.wire.headers import TRACING

if TYPE_CHECKING:
    from gateway.live import LiveExchange
    from gateway.proxy import Proxy
    from gateway.upstreams.upstream import Upstream

log = logging.getLogger("gateway.compose")
# The log's flag of an answer that lacks something.
PARTIAL = "PA"
HOST = frozenset([b"host"])


class Compose(Deferred):
    """Ask several services, and answer with what they say as one. Its state is that of the parts' caches, and the
    subrequests under way."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.names = tuple(dict.fromkeys(part.upstream for part in plan.parts))
        self.drops_body = True
        self.reads_body = any(part.body is not None and part.body.relays for part in plan.parts)
        self.paths = tuple(path for part in plan.parts if (path := part.target.captured()) is not None)
        self._subrequests = Subrequests()

    def begin(self, proxy: Proxy, exchange: LiveExchange) -> None:
        composition = Composition(proxy, self._subrequests, exchange, self.plan)
        try:
            composition.begin()
        except Exception as error:
            composition.crashed(error)

    def __str__(self) -> str:
        return f"compose {', '.join(f'{part.name} from {part.upstream}' for part in self.plan.parts)}"


class Composition:
    """One answer in the making, and what its client's leaving cancels.

    Mutable state: the results by part, how many parts each one still waits for and how many are not settled; what
    failed; whether all is over; the calls under way. `_added` are the lines that tell of the client in the `_flavour`
    that the last upstream wanted.
    """

    __slots__ = (
        "_added",
        "_failures",
        "_flavour",
        "_host",
        "_lines",
        "_open",
        "_results",
        "_started",
        "_waits",
        "calls",
        "exchange",
        "over",
        "plan",
        "proxy",
        "subrequests",
    )

    def __init__(self, proxy: Proxy, subrequests: Subrequests, exchange: LiveExchange, plan: Plan) -> None:
        self.proxy = proxy
        self.subrequests = subrequests
        self.exchange = exchange
        self.plan = plan
        self.calls: set[SubrequestStream] = set()
        self.over = False
        self._started = monotonic()
        self._results: list[Result | None] = [None] * len(plan.parts)
        self._waits = list(plan.waits)
        self._open = len(plan.parts)
        self._failures: list[tuple[Part, GatewayError]] = []
        self._host = host_block(exchange)
        self._lines = exchange.headers.lines_of(exchange.table.passed_on)
        self._added = b""
        self._flavour: bool | None = None

    # parts begin

    def begin(self) -> None:
        """Ask what can be asked at once. It may be over before this returns."""
        exchange = self.exchange
        exchange.task = self
        exchange.defer()
        if self.plan.timeout is not None:
            exchange.limit_total(self._started + self.plan.timeout)
        # The parts keep the time: what is missing when it is over may be optional.
        exchange.client.watch(NEVER)
        self.subrequests.keeper.owners.add(self)
        for part in self.plan.first:
            if self.over:
                return
            self._begin(part)

    def _begin(self, part: Part) -> None:
        """All that a part needs is settled."""
        if self.over:
            # Another one that waited for the same has failed, and all with it.
            return
        try:
            if part.when is not None and not part.when.holds(self):
                self.settled(part, Result("skipped"))
                return
            items = self._items(part) if part.foreach is not None else None
            asked = question(part, self, MISSING, part.target) if items is None else None
        except (Unresolved, ValueError) as error:
            needed = (self._results[number] for number in part.needs)
            if any(result is not None and result.state == "skipped" for result in needed):
                # What it needs was not asked for, so neither is this.
                self.settled(part, Result("skipped"))
                return
            came = self.unasked(part, MISSING, unaskable(part, error))
            if isinstance(came, Question):
                self.ask(Call(self, part, came, monotonic(), resort=True))
            elif came is not None:
                self.settled(part, came)
            return
        if asked is not None:
            self.ask(Call(self, part, asked, monotonic()))
        else:
            Items(self, part, items or ()).begin()

    def unasked(self, part: Part, item: Any, error: GatewayError) -> Question | Result | None:
        """There is nothing to ask a part's upstream: what another one is asked in its place, or what stands there; None
        when the whole answer has failed with it."""
        if part.on_error.target is not None:
            try:
                asked = question(part, self, item, part.on_error.target)
            except (Unresolved, ValueError):
                return self.stand_in(part, error)
            self._note(part, error)
            return asked
        return self.stand_in(part, error)

    def _items(self, part: Part) -> Any:
        """What a part is asked for. ValueError."""
        assert part.foreach is not None
        items = part.foreach.value(self)
        if items is None:
            return ()
        if not isinstance(items, list):
            raise ValueError(f"{part.foreach.text!r} is no list")
        return items[: part.most]

    def ask(self, call: Call) -> None:
        """Send a call, or give it what is remembered of an earlier one."""
        part, asked, upstream = call.part, call.question, call.part.asks
        name, begun, chain = part.upstream, call.begun, part.chain
        if call.resort:
            # What stands in has as long as the part itself had, and the part's breaker guards another upstream.
            name, upstream, begun, chain = part.on_error.upstream, None, monotonic(), EMPTY
        elif part.cache is not None:
            known = part.cache.get(self._cache_key(part, asked), monotonic())
            if known is not None:
                self.calls.discard(call)
                call.settle(read(part, 200, KeptFields(known.headers), known.body, 0.0))
                return
        exchange = self.exchange
        if upstream is None:
            upstream = exchange.table.upstreams[name]
        passed = self._passed(part) if part.forwarded or part.headers else self._lines
        subrequest = Subrequest(
            call,
            upstream,
            part.method,
            asked.target,
            self._host,
            [*passed, *asked.lines],
            self._added if upstream.forwarded is self._flavour else self._told(upstream),
            begun + part.timeout,
            asked.body,
            chain,
        )
        subrequest.route_id = part.label
        self.subrequests.send(subrequest)

    # and are over

    def take(self, call: Call) -> None:
        """A call is over: its answer is here, or why it is not."""
        part, head = call.part, call.head
        body = call.body if type(call.body) is bytes else bytes(call.body)
        try:
            if call.error is not None or head is None:
                if call.status >= 400:
                    raise refused(part, call.status, head, time())
                assert call.error is not None
                raise broken(part, call.error)
            result = read(part, call.status, head, body, time())
        except GatewayError as error:
            # Its traceback, and that of what it was raised from, would hold this frame and so the failures themselves.
            error.__context__ = None
            self._failed(call, error.with_traceback(None))
            return
        if part.cache is not None and not call.resort:
            part.cache.put(self._cache_key(part, call.question), call.status, MergedFields(head), body, monotonic())
        call.settle(result)

    def _failed(self, call: Call, error: GatewayError) -> None:
        """Another upstream is asked in the part's place, or its `on_error` stands there."""
        part, on_error, asked = call.part, call.part.on_error, call.question
        if on_error.kind == "from" and not call.resort:
            self._note(part, error)
            try:
                if on_error.target is not None:
                    asked = question(part, self, call.item, on_error.target)
            except (Unresolved, ValueError) as missing:
                error = invalid(part, f"cannot be asked for in its place: {missing}")
            else:
                self.ask(Call(self, part, asked, call.begun, call.items, call.indexes, resort=True))
                return
        result = self.stand_in(part, error)
        if result is not None:
            call.settle(result)

    def stand_in(self, part: Part, error: GatewayError) -> Result | None:
        """What stands in a part's place; None when the whole answer has failed with it."""
        on_error = part.on_error
        if part.required or on_error.kind == "fail":
            log.warning("%s: %s", part.label, error.cause)
            if not self.over:
                # The proxy cancels what is left.
                self.proxy.fail(self.exchange, error)
            return None
        self._note(part, error)
        return Result("stands_in", on_error.value) if on_error.kind in ("null", "value") else Result("absent")

    def _note(self, part: Part, error: GatewayError) -> None:
        """Something of this part is missing, or will be something else's."""
        log.warning("%s: %s", part.label, error.cause)
        if not any(known is part for known, _ in self._failures):
            self._failures.append((part, error))

    def settled(self, part: Part, result: Result) -> None:
        """A part is over: those that waited for it may begin, and after the last one comes the answer."""
        if self.over:
            return
        self._results[part.number] = result
        self._open -= 1
        if not self._open:
            self._finish()
            return
        for follower in self.plan.followers[part.number]:
            self._waits[follower.number] -= 1
            if not self._waits[follower.number]:
                self._begin(follower)

    def _finish(self) -> None:
        exchange, plan = self.exchange, self.plan
        results = [result for result in self._results if result is not None]
        failures = self._failures
        if failures:
            failures.sort(key=lambda failed: failed[0].number)
            error = verdict(plan, results, failures)
            if error is not None:
                self.proxy.fail(exchange, error)
                return
        reply = composed(plan, exchange, results, failures)
        exchange.task = None
        self._stop()
        self.proxy.answer(exchange, reply, "answered", PARTIAL if failures else "-")

    def _stop(self) -> None:
        self.over = True
        self.subrequests.keeper.owners.discard(self)
        self.exchange.upstream_seconds += monotonic() - self._started

    def crashed(self, error: Exception) -> None:
        """We failed."""
        if not self.exchange.over:
            self.proxy.crash(self.exchange, "the composition", error)

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        self._stop()
        for call in list(self.calls):
            call.cancel()

    # what parts are asked with

    def part(self, number: int) -> Any:
        """A part's value for those that refer to it, or MISSING."""
        result = self._results[number]
        return MISSING if result is None else result.value

    def _passed(self, part: Part) -> list[bytes]:
        """The header lines of the client's request that a part gets which has some of its own, or gets more than all
        parts get."""
        return self.exchange.headers.lines_of((self.exchange.table.passed_on | part.forwarded) - part.named)

    def _told(self, upstream: Upstream) -> bytes:
        """The lines that tell `upstream` of the client, and of us."""
        self._flavour = upstream.forwarded
        self._added = added_lines(self.exchange, upstream)
        return self._added

    def _cache_key(self, part: Part, asked: Question) -> bytes:
        """What an answer depends on: all that is sent, but for the trace's ids."""
        telling = ((self.exchange.table.passed_on - TRACING) | part.forwarded | HOST) - part.named
        lines = [*self.exchange.headers.lines_of(telling), *asked.lines]
        return b"\n".join([f"{part.method} {part.upstream} {asked.target}".encode(), *lines, asked.body or b""])

    def __repr__(self) -> str:
        return f"<Composition {self.plan.name} {self._open} parts open>"
