"""Breakers and pools as events of a Hystrix stream, for the stock Hystrix dashboard and for Turbine.

The dashboard drops an event that lacks one of its keys, and says so nowhere but in the browser's console; so each
record has all of them, those included that mean nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from gateway.breaker.circuit import Circuit, Snapshot
from gateway.upstreams.upstream import Upstream

PING = b"ping: \n\n"
# Hystrix has no bound on what a semaphore without a limit lets in; its records want a number.
NO_LIMIT = 2**31 - 1
NOT_COUNTED = (
    "rollingCountBadRequests",
    "rollingCountCollapsedRequests",
    "rollingCountEmit",
    "rollingCountExceptionsThrown",
    "rollingCountFallbackEmit",
    "rollingCountFallbackMissing",
    "rollingCountFallbackRejection",
    "rollingCountResponsesFromCache",
    "rollingCountThreadPoolRejected",
)


def events(
    circuits: Iterable[Circuit], upstreams: Iterable[Upstream], group: str, now: float, wall: float
) -> Iterator[bytes]:
    """One event a breaker and one an upstream. `now` is monotonic, `wall` since 1970, both in seconds."""
    milliseconds = int(wall * 1000)
    for circuit in circuits:
        yield _event(command(circuit, group, now, milliseconds))
    for upstream in upstreams:
        yield _event(thread_pool(upstream, milliseconds))


def command(circuit: Circuit, group: str, now: float, milliseconds: int) -> dict[str, Any]:
    """The HystrixCommand record of one breaker. Counts are of its window; requests that were short-circuited are no
    part of `requestCount`, as with Hystrix."""
    shown = circuit.snapshot(now)
    counts = shown["counts"]
    latency = {name: round(seconds * 1000) for name, seconds in shown["latency"].items()}
    mean = round(shown["latency_mean"] * 1000)
    return {
        "type": "HystrixCommand",
        "name": circuit.name,
        "group": group,
        "currentTime": milliseconds,
        "isCircuitBreakerOpen": shown["state"] in ("open", "forced_open"),
        "errorPercentage": round(shown["error_share"] * 100),
        "errorCount": shown["errors"],
        "requestCount": shown["calls"],
        **dict.fromkeys(NOT_COUNTED, 0),
        "rollingCountSuccess": counts["success"],
        "rollingCountFailure": counts["failure"],
        "rollingCountTimeout": counts["timeout"],
        "rollingCountSemaphoreRejected": counts["rejected"],
        "rollingCountShortCircuited": counts["short_circuited"],
        "rollingCountFallbackSuccess": counts["fallback_success"],
        "rollingCountFallbackFailure": counts["fallback_failure"],
        "currentConcurrentExecutionCount": shown["in_flight"],
        "rollingMaxConcurrentExecutionCount": shown["in_flight"],
        "latencyExecute_mean": mean,
        "latencyExecute": latency,
        "latencyTotal_mean": mean,
        "latencyTotal": latency,
        **_properties(circuit, shown),
        "reportingHosts": 1,
        "threadPool": group,
    }


def _properties(circuit: Circuit, shown: Snapshot) -> dict[str, Any]:
    policy = circuit.policy
    return {
        "propertyValue_circuitBreakerRequestVolumeThreshold": policy.requests,
        "propertyValue_circuitBreakerSleepWindowInMilliseconds": round(policy.sleep * 1000),
        "propertyValue_circuitBreakerErrorThresholdPercentage": round(policy.errors * 100),
        "propertyValue_circuitBreakerForceOpen": shown["state"] == "forced_open",
        "propertyValue_circuitBreakerForceClosed": shown["state"] == "forced_closed",
        "propertyValue_circuitBreakerEnabled": True,
        "propertyValue_executionIsolationStrategy": "SEMAPHORE",
        "propertyValue_executionIsolationThreadTimeoutInMilliseconds": 0,
        "propertyValue_executionTimeoutInMilliseconds": 0,
        "propertyValue_executionIsolationThreadInterruptOnTimeout": False,
        "propertyValue_executionIsolationThreadPoolKeyOverride": None,
        "propertyValue_executionIsolationSemaphoreMaxConcurrentRequests": NO_LIMIT,
        "propertyValue_fallbackIsolationSemaphoreMaxConcurrentRequests": NO_LIMIT,
        "propertyValue_requestCacheEnabled": False,
        "propertyValue_requestLogEnabled": False,
        "propertyValue_metricsRollingStatisticalWindowInMilliseconds": round(policy.window * 1000),
    }


def thread_pool(upstream: Upstream, milliseconds: int) -> dict[str, Any]:
    """The HystrixThreadPool record of an upstream's connections: a connection is a thread, the pool's queue the
    queue."""
    pools = [endpoint.pool for endpoint in upstream.endpoints]
    active = sum(pool.active for pool in pools)
    most = sum(pool.limits.max_connections for pool in pools)
    requests = sum(endpoint.requests for endpoint in upstream.endpoints)
    return {
        "type": "HystrixThreadPool",
        "name": upstream.name,
        "currentTime": milliseconds,
        "currentActiveCount": active,
        "currentCompletedTaskCount": requests - upstream.in_flight,
        "currentCorePoolSize": most,
        "currentLargestPoolSize": most,
        "currentMaximumPoolSize": most,
        "currentPoolSize": sum(len(pool.connections) for pool in pools),
        "currentQueueSize": sum(len(pool.queue) for pool in pools),
        "currentTaskCount": requests,
        "rollingCountThreadsExecuted": active,
        "rollingMaxActiveThreads": active,
        "rollingCountCommandRejections": 0,
        "propertyValue_queueSizeRejectionThreshold": sum(pool.limits.max_queue for pool in pools),
        "propertyValue_metricsRollingStatisticalWindowInMilliseconds": 10_000,
        "reportingHosts": 1,
    }


def _event(record: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(record) + b"\n\n"
