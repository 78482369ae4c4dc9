"""The metrics that are always there, set from live state at every scrape."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.upstreams.endpoint import AVAILABILITIES

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime


def watch_runtime(runtime: Runtime) -> None:
    """Register the gauges of a worker."""
    metrics = runtime.metrics
    build = metrics.gauge(
        "gateway_build_info", "Always 1; the labels say what runs.", ("version", "python"), merge="max"
    )
    build.labels(__version__, platform.python_version()).set(1)
    active = metrics.gauge("gateway_active_requests", "Requests under way.").labels()
    connections = metrics.gauge("gateway_connections", "Open connections.", ("side", "state"))
    version = metrics.gauge(
        "gateway_config_version", "The configuration in service, counted from 1.", merge="max"
    ).labels()
    blocks = metrics.gauge("gateway_allocated_blocks", "Memory blocks that the interpreter has handed out.").labels()
    children = {
        (side, state): connections.labels(side, state)
        for side in ("client", "upstream")
        for state in ("active", "idle")
    }

    def scrape() -> None:
        active.set(runtime.proxy.active)
        version.set(runtime.version)
        blocks.set(sys.getallocatedblocks())
        clients = [connection for listener in runtime.listeners for connection in listener.connections]
        busy = sum(connection.exchange is not None for connection in clients)
        children["client", "active"].set(busy)
        children["client", "idle"].set(len(clients) - busy)
        pools = [endpoint.pool for endpoint in runtime.generation.endpoints.values()] if runtime.generation else []
        children["upstream", "active"].set(sum(pool.active for pool in pools))
        children["upstream", "idle"].set(sum(len(pool.idle) for pool in pools))

    metrics.at_scrape.append(scrape)
    _watch_upstreams(runtime)
    _watch_certificates(runtime)


def _watch_upstreams(runtime: Runtime) -> None:
    metrics = runtime.metrics
    endpoints = metrics.gauge(
        "gateway_upstream_endpoints",
        "Endpoints by whether they may be given requests, and if not, why not. Each worker judges for itself: of "
        "those that are available the fewest that one finds, of the others the most.",
        ("upstream", "state"),
        merge="max",
    )
    limits = metrics.gauge("gateway_upstream_concurrency_limit", "The most requests at a time, now.", ("upstream",))

    def scrape_upstreams() -> None:
        now = runtime.env.clock.now()
        for name, upstream in runtime.proxy.table.upstreams.items():
            found = [endpoint.availability(now) for endpoint in upstream.endpoints]
            for state in AVAILABILITIES:
                child = endpoints.labels(name, state)
                child.set(found.count(state))
                child.merge = "min" if state == "available" else "max"
            if upstream.limiter is not None:
                limit = limits.labels(name)
                limit.set(int(upstream.limiter.limit.value))
                limit.merge = "max" if upstream.limiter.is_fixed else "sum"

    metrics.at_scrape.append(scrape_upstreams)


def _watch_certificates(runtime: Runtime) -> None:
    metrics = runtime.metrics
    expiries = metrics.gauge(
        "gateway_tls_certificate_expiry_seconds",
        "When a listener's certificate ends, in seconds since 1970.",
        ("listener", "name"),
        merge="min",
    )

    def scrape_certificates() -> None:
        shown = {}
        for listener in runtime.listeners:
            for name, until in listener.tls.certificates.expiries if listener.tls is not None else ():
                shown[listener.address, name] = until
        for gone in expiries.children.keys() - shown.keys():
            del expiries.children[gone]
        for (address, name), until in shown.items():
            expiries.labels(address, name).set(until)

    metrics.at_scrape.append(scrape_certificates)
