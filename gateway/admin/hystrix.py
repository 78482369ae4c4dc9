"""Breakers and pools as events of a Hystrix stream, for the stock Hystrix dashboard and for Turbine.

The dashboard drops an event that lacks one of its keys, and says so nowhere but in the browser's console; so each
record has all of them, those included that mean nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

PING = b"ping: \n\n"
# Hystrix has no bound on what a semaphore without a limit lets in; its records want a number.
NO_LIMIT = 2**31 - 1
POOL = ("active", "idle", "queued", "max_connections", "max_queue")
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


Row = dict[str, Any]


def events(breakers: Iterable[Row], upstreams: Iterable[Row], group: str, wall: float) -> Iterator[bytes]:
    """One event a breaker and one an upstream, from the rows that the admin API shows of them. `wall` is in seconds
    since 1970."""
    milliseconds = int(wall * 1000)
    for breaker in breakers:
        yield _event(command(breaker, group, milliseconds))
    for upstream in upstreams:
        yield _event(thread_pool(upstream, milliseconds))


def command(breaker: Row, group: str, milliseconds: int) -> Row:
    """The HystrixCommand record of one breaker. Counts are of its window; requests that were short-circuited are no
    part of `requestCount`, as with Hystrix."""
    counts = breaker["counts"]
    latency = {name: round(value) for name, value in breaker["latency_ms"].items()}
    mean = round(breaker["latency_avg_ms"])
    return {
        "type": "HystrixCommand",
        "name": breaker["name"],
        "group": group,
        "currentTime": milliseconds,
        "isCircuitBreakerOpen": breaker["state"] in ("open", "forced_open"),
        "errorPercentage": round(breaker["error_rate"] * 100),
        "errorCount": breaker["errors"],
        "requestCount": breaker["calls"],
        **dict.fromkeys(NOT_COUNTED, 0),
        "rollingCountSuccess": counts["success"],
        "rollingCountFailure": counts["failure"],
        "rollingCountTimeout": counts["timeout"],
        "rollingCountSemaphoreRejected": counts["rejected"],
        "rollingCountShortCircuited": counts["short_circuited"],
        "rollingCountFallbackSuccess": counts["fallback_success"],
        "rollingCountFallbackFailure": counts["fallback_failure"],
        "currentConcurrentExecutionCount": breaker["in_flight"],
        "rollingMaxConcurrentExecutionCount": breaker["in_flight"],
        "latencyExecute_mean": mean,
        "latencyExecute": latency,
        "latencyTotal_mean": mean,
        "latencyTotal": latency,
        **_properties(breaker),
        "reportingHosts": 1,
        "threadPool": group,
    }


def _properties(breaker: Row) -> Row:
    policy = breaker["policy"]
    return {
        "propertyValue_circuitBreakerRequestVolumeThreshold": policy["requests"],
        "propertyValue_circuitBreakerSleepWindowInMilliseconds": round(policy["sleep_seconds"] * 1000),
        "propertyValue_circuitBreakerErrorThresholdPercentage": round(policy["error_rate"] * 100),
        "propertyValue_circuitBreakerForceOpen": breaker["state"] == "forced_open",
        "propertyValue_circuitBreakerForceClosed": breaker["state"] == "forced_closed",
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
        "propertyValue_metricsRollingStatisticalWindowInMilliseconds": round(policy["window_seconds"] * 1000),
    }


def thread_pool(upstream: Row, milliseconds: int) -> Row:
    """The HystrixThreadPool record of an upstream's connections: a connection is a thread, the pool's queue the
    queue."""
    endpoints = upstream["endpoints"]
    pool = {key: sum(one["pool"][key] for one in endpoints) for key in POOL}
    requests = sum(one["requests"] for one in endpoints)
    in_flight = sum(one["in_flight"] for one in endpoints)
    active, most = pool["active"], pool["max_connections"]
    return {
        "type": "HystrixThreadPool",
        "name": upstream["name"],
        "currentTime": milliseconds,
        "currentActiveCount": active,
        "currentCompletedTaskCount": requests - in_flight,
        "currentCorePoolSize": most,
        "currentLargestPoolSize": most,
        "currentMaximumPoolSize": most,
        "currentPoolSize": active + pool["idle"],
        "currentQueueSize": pool["queued"],
        "currentTaskCount": requests,
        "rollingCountThreadsExecuted": active,
        "rollingMaxActiveThreads": active,
        "rollingCountCommandRejections": 0,
        "propertyValue_queueSizeRejectionThreshold": pool["max_queue"],
        "propertyValue_metricsRollingStatisticalWindowInMilliseconds": 10_000,
        "reportingHosts": 1,
    }


def _event(record: Row) -> bytes:
    return b"data: " + orjson.dumps(record) + b"\n\n"
