"""What becomes of a failure: another attempt, an answer in its place, or the failure itself.

Each function says whether it has taken care of the request. It asks the upstream's retry policy first, then the
plugins' `on_failure`.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from gateway.attempt import LiveAttempt
from gateway.errors import Failure, GatewayError, Kind
from gateway.live import LiveExchange
from gateway.upstreams.retry import IDEMPOTENT, retry_after_seconds
from gateway.wire.deadlines import NEVER
from gateway.wire.head import ResponseHead

if TYPE_CHECKING:
    from gateway.proxy import Proxy
    from gateway.upstreams.upstream import Upstream

# A shorter pause is none: the loop's own turn takes about as long.
SHORTEST_PAUSE = 0.001
# A retry for which the budget has no room waits so often, and so many seconds at most each time.
WAITS = 2
LONGEST_WAIT = 0.025
ASKS_FOR_TIME = frozenset([429, 503])
# What an attempt may have waited for too long, and another one need not.
TRY_AGAIN = frozenset([Kind.RESPONSE_TIMEOUT, Kind.QUEUE_TIMEOUT])
# So many endpoints in a row may refuse a request, by their breakers or for want of room.
MOST_PASSED_OVER = 16
# What `exchange.fallback` says of a request that was sent to another upstream.
MOVED = "upstream"


def retried(proxy: Proxy, exchange: LiveExchange, attempt: LiveAttempt, error: GatewayError, stale: bool) -> bool:
    """An attempt brought no answer and has ended. `stale`: on a reused connection, before any byte of an answer."""
    if stale and exchange.replay is not None and exchange.method in IDEMPOTENT:
        # RFC 9112 §9.3.1: the connection had closed before it saw the request; once more on a new one, which is not
        # reused and so never stale.
        attempt.upstream.meters.retried("reset")
        once_more(proxy, exchange, attempt.upstream, fresh=True)
        return True
    policy = attempt.upstream.retries
    answer = error.answer
    if policy is None or not policy.covers(answer.condition, answer.retry, exchange.method, exchange.headers):
        return False
    pause = _pause(exchange, attempt, None)
    another = _another(exchange, attempt)
    if pause is None or (answer.condition == "full" and not another):
        return False
    exchange.give_back()
    # The pause is there to spare an endpoint; another one need not wait for it.
    _later(proxy, exchange, attempt, error, 0.0 if another else pause, WAITS)
    return True


def replaced(proxy: Proxy, exchange: LiveExchange, attempt: LiveAttempt, head: ResponseHead) -> bool:
    """The upstream's answer is an error, and its head is here: is there to be something else in its place?"""
    status = head.status
    policy = attempt.upstream.retries
    if policy is not None and status in policy.statuses and policy.repeats(exchange.method, exchange.headers):
        asked = head.get("retry-after") if status in ASKS_FOR_TIME else None
        pause = _pause(exchange, attempt, retry_after_seconds(asked, time.time()))
        able = pause is not None and attempt.upstream.choices(time.monotonic())
        if pause is not None and able and attempt.upstream.budget.take(attempt.upstream.in_flight):
            _leave(attempt)
            # The attempt has given back what it had: this is the next one's.
            exchange.permit = attempt.upstream.budget
            _later(proxy, exchange, attempt, str(status), pause, 0)
            return True
    if status < 500 or not exchange.chain.failures:
        return False
    return fell_back(proxy, exchange, Failure(status, "", "5xx"))


def _pause(exchange: LiveExchange, attempt: LiveAttempt, retry_after: float | None) -> float | None:
    """How long to wait before the next attempt; None where there is to be none."""
    upstream = attempt.upstream
    policy = upstream.retries
    if policy is None or exchange.responding or exchange.spent or exchange.retries + 1 >= policy.attempts:
        return None
    now = time.monotonic()
    # Pauses grow with each round over the endpoints, since each endpoint is asked once a round.
    rounds = exchange.retries // max(1, len(upstream.choices(now)))
    pause = policy.pause(rounds + 1, random.random(), retry_after)
    if pause is None or now + pause >= exchange.total_at:
        return None
    return pause


def _another(exchange: LiveExchange, attempt: LiveAttempt) -> bool:
    """Is there an endpoint that has not been tried for this request?"""
    return attempt.upstream.has_other((*exchange.tried, attempt.target), time.monotonic())


def _later(
    proxy: Proxy, exchange: LiveExchange, attempt: LiveAttempt, why: GatewayError | str, pause: float, waits: int
) -> None:
    """The next attempt, after `pause`."""
    if pause < SHORTEST_PAUSE:
        _begin(proxy, exchange, attempt, why, waits)
        return
    exchange.wait(None, NEVER)
    loop = asyncio.get_running_loop()
    exchange.task = loop.call_later(pause, _begin, proxy, exchange, attempt, why, waits)


def _begin(proxy: Proxy, exchange: LiveExchange, attempt: LiveAttempt, why: GatewayError | str, waits: int) -> None:
    """The next attempt begins, with a permit of the budget. Many fail at one moment when an endpoint hangs, and a
    retry takes no time, so that waiting a little for a permit helps."""
    exchange.task = None
    upstream = attempt.upstream
    if exchange.permit is None and upstream.budget.take(upstream.in_flight):
        exchange.permit = upstream.budget
    if exchange.permit is not None:
        exchange.retries += 1
        exchange.tried = (*exchange.tried, attempt.target)
        upstream.meters.retried(why if isinstance(why, str) else why.answer.condition)
        once_more(proxy, exchange, upstream)
    elif isinstance(why, GatewayError):
        if waits:
            _later(proxy, exchange, attempt, why, random.uniform(SHORTEST_PAUSE, LONGEST_WAIT), waits - 1)
        else:
            proxy.fail(exchange, why)


def once_more(proxy: Proxy, exchange: LiveExchange, upstream: Upstream, fresh: bool = False) -> None:
    """Another attempt, with all of the body that there is. `fresh` asks for a new connection."""
    exchange.task = None
    exchange.rewind()
    try:
        proxy.attempt(exchange, upstream, fresh)
    except GatewayError as error:
        proxy.fail(exchange, error)
    except Exception as crash:
        proxy.crash(exchange, "another attempt", crash)


def _leave(attempt: LiveAttempt) -> None:
    """Its answer goes nowhere."""
    if attempt.connection is not None:
        attempt.connection.abort()
    attempt.end(None, time.monotonic())


def passed_over(proxy: Proxy, exchange: LiveExchange, attempt: LiveAttempt, error: GatewayError) -> bool:
    """An attempt was not made after all. Where it is this endpoint's breaker that forbade it, or its pool that has no
    room, the next endpoint may do."""
    policy = attempt.upstream.retries
    crowded = error.kind is Kind.QUEUE_FULL and policy is not None and "connect" in policy.conditions
    if not (crowded or error.elsewhere) or len(exchange.tried) >= MOST_PASSED_OVER or not _another(exchange, attempt):
        return False
    exchange.tried = (*exchange.tried, attempt.target)
    # Where that was a retry, the next one is the same retry: it keeps the permit.
    permit, exchange.permit = exchange.permit, None
    attempt.end(error.kind, time.monotonic())
    exchange.permit = permit
    proxy.attempt(exchange, attempt.upstream)
    return True


def timed_out(proxy: Proxy, exchange: LiveExchange, kind: Kind) -> bool:
    """The head of an answer has not come in time, or there was no connection."""
    attempt = exchange.attempt
    if attempt is None or attempt.over:
        return False
    attempt.drop(kind)
    return retried(proxy, exchange, attempt, GatewayError(kind), False)


def put_off(proxy: Proxy, exchange: LiveExchange, error: BaseException, following: int) -> bool:
    """A breaker refuses a request. The plugins behind it have their turn first: they may decide who may ask, and a
    fallback is for those alone."""
    if not isinstance(error, GatewayError) or error.kind is not Kind.BREAKER_OPEN or exchange.prepared:
        return False
    # Its traceback would hold the frames that hold the exchange.
    exchange.refusal = exchange.refusal or error.with_traceback(None)
    proxy.admit(exchange, following)
    return True


def fell_back(proxy: Proxy, exchange: LiveExchange, failure: Failure | None) -> bool:
    """Plugins may answer in place of a failure, or send the request elsewhere; they are asked once."""
    if failure is None or exchange.rescued or exchange.crashed:
        return False
    if not exchange.prepared and failure.error != Kind.BREAKER_OPEN.word:
        # A plugin that failed to decide, as when it could not ask who may pass, is not passed by.
        return False
    exchange.rescued = True
    chosen = exchange.upstream
    reply = exchange.chain.run_failures(exchange, failure, exchange.ran)
    moved = exchange.upstream != chosen
    if reply is None and moved and (exchange.spent or exchange.total_at <= time.monotonic()):
        # Part of the body is gone, so it cannot be sent there; or nobody would wait for what comes back.
        exchange.upstream, exchange.fallback, moved = chosen, "", False
    if reply is None and not moved:
        return False
    exchange.fallback = MOVED if reply is None else exchange.fallback or "reply"
    exchange.flag = GatewayError(Kind(failure.error)).answer.flag if failure.error else "-"
    attempt = exchange.attempt
    if attempt is not None and not attempt.over:
        _leave(attempt)
    if reply is not None:
        proxy.answer(exchange, reply)
        return True
    if not exchange.added:
        # Nothing of this request has gone upstream yet.
        exchange.refusal = None
        proxy.admit(exchange, len(exchange.chain.requests))
        return True
    upstream = exchange.table.upstreams[exchange.upstream]
    exchange.tried, exchange.retries, exchange.cookie = (), 0, None
    if exchange.host and exchange.headers.raw(b"host") is None:
        # The first upstream had a Host of its own; this one may want the client's.
        exchange.headers.set("Host", exchange.host)
    if upstream.timeouts.total is not None:
        exchange.limit_total(time.monotonic() + upstream.timeouts.total)
    once_more(proxy, exchange, upstream)
    return True


def fallback_flag(exchange: LiveExchange, flag: str) -> str:
    """What the log shows of an answer that stands in for a failure: the failure's flag too."""
    if exchange.outcome == "local" and exchange.fallback == MOVED:
        # A plugin answered before the other upstream was asked, as one does that decides who may.
        exchange.fallback = ""
    if flag != "-" or not exchange.fallback:
        return flag
    exchange.outcome = "fallback"
    return "FB" if exchange.flag == "-" else f"{exchange.flag},FB"
