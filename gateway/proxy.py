"""The life of a request, top to bottom: route, phases, attempts, answer, finish.

It runs as callbacks, from the client's bytes to the upstream's and back; nothing here awaits, and no task is made
unless a plugin's `admit` waits. What is taken is given back in one place each: an attempt in `LiveAttempt.end`, a
request in `_finish`.
"""

from __future__ import annotations

import logging
from functools import partial
from time import monotonic

from gateway import recovery
from gateway.arrivals import arrived
from gateway.attempt import LiveAttempt
from gateway.eager import run_eagerly
from gateway.errors import GatewayError, Kind, not_allowed
from gateway.exchange import Reply
from gateway.frontends import enter
from gateway.hedging import HedgedAttempt
from gateway.live import PROGRESS, LiveExchange
from gateway.mirror import mirror
from gateway.plugin import ADMITTED
from gateway.problem import problem_reply
from gateway.recovery import MOVED
from gateway.routing.actions import Deferred, Forward, Redirect, Respond
from gateway.routing.predicates import ROUTABLE
from gateway.table import RouteTable
from gateway.upstreams.upstream import Upstream
from gateway.wire.client_connection import ClientConnection
from gateway.wire.deadlines import NEVER
from gateway.wire.head import RequestHead, ResponseHead, unread_head
from gateway.wire.reply_head import reply_head

log = logging.getLogger("gateway.proxy")
READ_AHEAD = 64 * 1024  # of a body, while no upstream connection is there yet
REFUSED_METHODS = frozenset(["CONNECT", "TRACE"])
NO_ROUTE = GatewayError(Kind.NO_ROUTE)  # scanners ask for what is not there: made once, never raised


class Proxy:
    """Serves requests by the current route table.

    Mutable state: `table`, replaced whole by a reload; `stopping`; `active`, the exchanges under way.
    """

    def __init__(self, table: RouteTable) -> None:
        self.table = table
        self.stopping = False
        self.active = 0

    # a request comes

    def begin(self, client: ClientConnection, head: RequestHead, body: bytes, ended: bool) -> None:
        """A request has come, with as much of the body as came with it."""
        path, _, query = head.target.partition("?")
        table = self.table
        exchange = client.exchange = LiveExchange(client, head, path, query, table, ended)
        self.active += 1
        if body or not ended:
            exchange.pending = [body] if body else []
            exchange.bytes_in = len(body)
        try:
            if client.unusual and arrived(self, client, exchange):
                return
            router = table.router
            if table.frontends is not None:
                router = enter(exchange, table.frontends)
                path = exchange.raw_path
            if head.method in REFUSED_METHODS or path == "*":
                raise not_allowed(head.method, ROUTABLE)
            route = router.find(head.block.host, path, exchange) or router.missed(head.block.host, path, exchange)
            if route is None:
                self.fail(exchange, NO_ROUTE)
                return
            exchange.route_id, exchange.route, exchange.matched = route.id, route.name, route
            exchange.chain = chain = route.chain
            action = route.action
            if isinstance(action, Forward):
                exchange.upstream = action.upstream or action.pick(exchange)
                if action.total is not None:
                    exchange.limit_total(exchange.started + action.total)
            if not chain.request_body or exchange.collect(chain.request_body):
                self.admit(exchange, 0)
        except GatewayError as error:
            self.fail(exchange, error)
        except Exception as error:
            self.crash(exchange, "routing", error)

    def refuse(self, client: ClientConnection, error: GatewayError) -> None:
        """What came is no request that can be served: plugins that see every request see its answer and its end."""
        head = client.parser.head or unread_head(client.settings.untrusted_policy)
        exchange = client.exchange = LiveExchange(client, head, head.target.partition("?")[0], "", self.table, True)
        self.active += 1
        frontends = self.table.frontends
        if frontends is not None and client.settings.frontend:
            exchange.join(frontends.named[client.settings.frontend])
        self.fail(exchange, error)

    # the plugins' phases before anything is sent

    def admit(self, exchange: LiveExchange, first: int) -> None:
        """Each plugin's `on_request`, then its `admit`, in list order, from the step `first` on."""
        chain = exchange.chain
        steps = chain.requests
        where = "forwarding"
        try:
            for step in steps[first:] if first else steps:
                first += 1
                exchange.ran, where = step.place + 1, step.plugin
                reply = step.call(exchange)
                if reply is None:
                    if step.admit is not None:
                        exchange.wait(None, NEVER)
                        task = run_eagerly(step.admit(exchange), partial(self._admitted, exchange, first))
                        if task is not None:
                            exchange.task = task
                        return
                elif reply is not ADMITTED:
                    self.answer(exchange, reply)
                    return
            exchange.ran, where = len(chain.plugins), "forwarding"
            self._act(exchange)
        except GatewayError as error:
            if not recovery.put_off(self, exchange, error, first):
                self.fail(exchange, error)
        except Exception as error:
            self.crash(exchange, where, error)

    def _admitted(self, exchange: LiveExchange, first: int, reply: Reply | None, error: BaseException | None) -> None:
        exchange.task = None
        if exchange.over:
            return
        if error is not None:
            if not recovery.put_off(self, exchange, error, first):
                self.crash(exchange, exchange.chain.requests[first - 1].plugin, error)
        elif reply is None or reply is ADMITTED:
            self.admit(exchange, first)
        else:
            self.answer(exchange, reply)

    # to the upstream, or to an answer of our own

    def _act(self, exchange: LiveExchange) -> None:
        assert exchange.matched is not None
        action = exchange.matched.action
        forward = action if isinstance(action, Forward) else None
        if exchange.refusal is not None:
            self.fail(exchange, exchange.refusal)
        elif forward is not None or exchange.fallback == MOVED:
            upstream = exchange.table.upstreams[exchange.upstream]
            exchange.prepare(forward, upstream)
            if forward is not None and forward.mirror is not None:
                mirror(exchange, forward.mirror)
            self.attempt(exchange, upstream)
        elif isinstance(action, (Respond, Redirect)):
            self.answer(exchange, action.reply(exchange))
        elif isinstance(action, Deferred):
            action.begin(self, exchange)

    def attempt(self, exchange: LiveExchange, upstream: Upstream, fresh: bool = False) -> None:
        """One try at one endpoint. `fresh` asks for a new connection."""
        now = monotonic()
        if now >= exchange.total_at:
            raise GatewayError(exchange.late)
        endpoint = upstream.pick(exchange, now, exchange.tried)
        if endpoint is None:
            raise GatewayError(Kind.NO_ENDPOINT, cause=f"{upstream.name} has no endpoint that is available")
        if upstream.limiter is not None:
            exchange.take_place(upstream)
        kind = LiveAttempt if upstream.hedge is None else HedgedAttempt
        attempt = kind(self, exchange, upstream, endpoint, now)
        try:
            reply = attempt.start(fresh)
        except GatewayError as error:
            if recovery.passed_over(self, exchange, attempt, error):
                return
            raise
        if reply is not None:
            attempt.end(None, monotonic())
            self.answer(exchange, reply)

    def request_body(self, exchange: LiveExchange, body: bytes, ended: bool) -> None:
        """More of the client's body."""
        exchange.bytes_in += len(body)
        exchange.request_ended = ended
        if exchange.mirror is not None:
            exchange.mirror.feed(body, ended)
        attempt = exchange.attempt
        connection = attempt.connection if attempt is not None else None
        if attempt is None or connection is None:
            exchange.pending.append(body)
            if exchange.collecting:
                try:
                    collected = exchange.collect(exchange.chain.request_body)
                except GatewayError as error:
                    self.fail(exchange, error)
                else:
                    if collected:
                        self.admit(exchange, 0)
            elif not ended and exchange.bytes_in > READ_AHEAD:
                exchange.run_over()
            return
        connection.send_body(body, ended)
        if exchange.responding:
            return
        if exchange.replay is not None:
            exchange.keep(body, attempt.upstream.replay_limit)
        if ended:
            exchange.wait(Kind.RESPONSE_TIMEOUT, attempt.upstream.try_timeout)
        elif not exchange.upstream_congested and exchange.bytes_in % PROGRESS < len(body):
            exchange.wait(Kind.REQUEST_TIMEOUT, exchange.client.settings.body_timeout)

    # back from the upstream

    def response(
        self, exchange: LiveExchange, attempt: LiveAttempt, head: ResponseHead, body: bytes, ended: bool
    ) -> None:
        """The upstream's head, with as much of the body as is here."""
        attempt.status = status = head.status
        if status >= 429 and recovery.replaced(self, exchange, attempt, head):
            return
        if exchange.chain.collectors and exchange.collects(head):
            self._collect_response(exchange, attempt, body, ended)
            return
        exchange.replay = None
        now = monotonic()
        if ended:
            attempt.end(None, now)
        if exchange.chain.responses and not self._run_responses(exchange, head):
            return
        if exchange.cookie is not None:
            head.add("Set-Cookie", exchange.cookie)
        if exchange.told:
            head.add_all(exchange.told)
        exchange.status = head.status
        exchange.responding = True
        exchange.bytes_out = len(body)
        client = exchange.client
        client.respond(head, body, ended)
        if exchange.tap is not None:
            exchange.feed_tap(body, ended)
        if ended:
            self._finish(exchange, "answered", "-", now)
            return
        attempt.waited = now - attempt.started
        exchange.wait_until(Kind.BODY_TIMEOUT, now + attempt.upstream.timeouts.body)
        if client.congested:
            exchange.pause_response()

    def response_body(self, exchange: LiveExchange, attempt: LiveAttempt, body: bytes, ended: bool) -> None:
        """More of the upstream's body."""
        if exchange.held is not None:
            self._collect_response(exchange, attempt, body, ended)
            return
        now = monotonic()
        if ended:
            attempt.end(None, now)
        exchange.bytes_out += len(body)
        client = exchange.client
        client.send_body(body, ended)
        if exchange.tap is not None:
            exchange.feed_tap(body, ended)
        if ended:
            self._finish(exchange, "answered", "-", now)
        elif not client.congested:
            exchange.wait_until(Kind.BODY_TIMEOUT, now + attempt.upstream.timeouts.body)

    def _collect_response(self, exchange: LiveExchange, attempt: LiveAttempt, body: bytes, ended: bool) -> None:
        """Plugins of this route read the whole answer first."""
        head = exchange.held
        assert head is not None
        collected = head.body = (head.body or b"") + body
        if len(collected) > exchange.held_limit:
            attempt.drop(Kind.UPSTREAM_BODY_TOO_LARGE)
            self.fail(exchange, GatewayError(Kind.UPSTREAM_BODY_TOO_LARGE))
        elif not ended:
            exchange.wait(Kind.BODY_TIMEOUT, attempt.upstream.timeouts.body)
        else:
            exchange.held = None
            attempt.end(None, monotonic())
            if self._run_responses(exchange, head):
                exchange.passed_whole(head)
                self._send_whole(exchange, head, collected, "answered", "-")

    def failed(self, exchange: LiveExchange, attempt: LiveAttempt, error: GatewayError, stale: bool) -> None:
        """The upstream gives no (more) answer."""
        log.info("%s: %s at %s: %s", exchange.route_id, error.kind.word, attempt.endpoint, error.cause)
        attempt.end(error.kind, monotonic())
        if not recovery.retried(self, exchange, attempt, error, stale):
            self.fail(exchange, error)

    # the end of patience

    def expired(self, exchange: LiveExchange, now: float) -> None:
        """The deadline that the exchange waited with is over."""
        kind = exchange.overdue(now)
        if kind is None or kind is Kind.CONNECT_TIMEOUT:
            exchange.wait(kind, NEVER)
        elif kind is Kind.EXPECTATION_FAILED:
            # The upstream says nothing about `Expect`: the client need not wait for ever (RFC 9110 §10.1.1).
            exchange.continued = True
            exchange.client.send_interim(100)
            exchange.wait(Kind.REQUEST_TIMEOUT, exchange.client.settings.body_timeout)
        elif kind is Kind.CLIENT_GONE:
            exchange.client.abort()
            self.client_gone(exchange)
        else:
            if kind is Kind.REQUEST_TIMEOUT:
                exchange.client.refuse_rest()
            if kind not in recovery.TRY_AGAIN or not recovery.timed_out(self, exchange, kind):
                self.fail(exchange, GatewayError(kind))

    # the answer

    def fail(self, exchange: LiveExchange, error: GatewayError) -> None:
        """Answer with the table's row for this failure; abort when an answer has begun."""
        self._stop_work(exchange, error.kind)
        exchange.held = None
        if exchange.responding:
            if exchange.status != 101:  # what has come through a tunnel was whole messages: they arrive
                exchange.client.abort()
            self._finish(exchange, error.kind.word, error.answer.flag, monotonic())
        elif not exchange.chain.failures or not recovery.fell_back(self, exchange, error.failure):
            reply = problem_reply(error, exchange, exchange.table.name)
            self.answer(exchange, reply, error.kind.word, error.answer.flag)

    def crash(self, exchange: LiveExchange, where: str, error: BaseException) -> None:
        """A plugin, or we, failed: closed, with nothing of the reason told."""
        if not isinstance(error, GatewayError):
            log.error("%s failed on %s %s", where, exchange.method, exchange.raw_path, exc_info=error)
            error = GatewayError(Kind.PLUGIN_CRASHED)
        self.fail(exchange, error)

    def answer(self, exchange: LiveExchange, reply: Reply, outcome: str = "local", flag: str = "-") -> None:
        """The gateway's own answer, or a plugin's."""
        try:
            head = reply_head(reply)
        except ValueError as invalid:
            self.crash(exchange, "a reply", invalid)
            return
        if exchange.chain.responses and not exchange.crashed and not self._run_responses(exchange, head, True):
            return
        self._send_whole(exchange, head, reply.body, outcome, flag)

    def _run_responses(self, exchange: LiveExchange, head: ResponseHead, local: bool = False) -> bool:
        """The plugins' `on_response`. False when one refused the answer or failed, and the request with it."""
        error = exchange.chain.run_responses(exchange, head, exchange.ran)
        if error is None:
            return True
        exchange.tap, exchange.crashed = None, local or error.kind is Kind.PLUGIN_CRASHED
        self.fail(exchange, error)
        return False

    def _send_whole(self, exchange: LiveExchange, head: ResponseHead, original: bytes, outcome: str, flag: str) -> None:
        """Send an answer whose body is all here, and which a plugin may have replaced. HEAD is told its length."""
        if exchange.told:
            head.add_all(exchange.told)
        body = head.body or b""
        bodyless = exchange.method == "HEAD" or head.status in (204, 304)
        if (body is not original or (head.length is None and not bodyless)) and head.status not in (204, 304):
            head.set_length(len(body))
            head.length = len(body)
        exchange.status = head.status
        exchange.responding = True
        exchange.bytes_out = 0 if bodyless else len(body)
        exchange.client.respond(head, body, True)
        self._finish(exchange, outcome, flag, monotonic())

    # the end

    def _stop_work(self, exchange: LiveExchange, kind: Kind) -> None:
        """Nothing goes on for this exchange behind our back."""
        attempt = exchange.attempt
        if attempt is not None:
            attempt.drop(kind)
            exchange.give_back()
        task = exchange.task
        if task is not None:
            exchange.task = None
            task.cancel()

    def _finish(self, exchange: LiveExchange, outcome: str, flag: str, now: float) -> None:
        """`on_finish` of the plugins that ran, then on to the client's next request. Exactly once for each request."""
        exchange.over, exchange.outcome = True, outcome
        exchange.flag = flag if not exchange.fallback else recovery.fallback_flag(exchange, flag)
        exchange.ended = now
        if exchange.chain.finishes:
            exchange.chain.run_finishes(exchange, exchange.ran)
        self.active -= 1
        exchange.client.finished(now)

    def client_gone(self, exchange: LiveExchange) -> None:
        """Nobody waits for the answer any more: stop the work for it."""
        if exchange.over:
            return
        self._stop_work(exchange, Kind.CLIENT_GONE)
        exchange.status = exchange.status or 499
        self._finish(exchange, Kind.CLIENT_GONE.word, "DC", monotonic())
