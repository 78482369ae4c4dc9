"""The life of a connection that is passed through: its upstream by server name, an endpoint, and what is counted."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from time import monotonic

from gateway.errors import GatewayError, Kind
from gateway.upstreams.endpoint import Endpoint
from gateway.upstreams.upstream import Upstream
from gateway.wire.proxy_protocol import Addresses, write_header
from gateway.wire.relay import Relay

log = logging.getLogger("gateway.passthrough")
# The most endpoints that one connection is tried at.
TRIES = 3


class Passthrough:
    """Which server names go where, through one listener. Immutable."""

    __slots__ = ("_destinations",)

    def __init__(self, destinations: Mapping[str, Destination]) -> None:
        """By names as the configuration has them, exact or `*.` with a domain."""
        self._destinations = dict(destinations)

    def find(self, server_name: str) -> Destination | None:
        """Where this name goes: the exact one before the longest `*.`, which stands for one label or more."""
        found = self._destinations.get(server_name)
        rest = server_name
        while found is None and "." in rest:
            rest = rest.partition(".")[2]
            found = self._destinations.get(f"*.{rest}")
        return found


class Destination:
    """One upstream of connections that are passed through. `idle` is in seconds."""

    __slots__ = ("_upstream", "idle")

    def __init__(self, upstream: Upstream, idle: float) -> None:
        self._upstream = upstream
        self.idle = idle

    async def dial(self, client: Addresses) -> tuple[socket.socket, Callable[[str, Relay], None]]:
        """A connection to an endpoint, to another one where that cannot be had, and what to call with the client's
        address when all is over. GatewayError when there is none."""
        upstream = self._upstream
        tried: tuple[Endpoint, ...] = ()
        error = GatewayError(Kind.NO_ENDPOINT, cause=f"{upstream.name} has no endpoint that is available")
        while len(tried) < TRIES:
            endpoint = upstream.pick(None, monotonic(), tried)
            if endpoint is None or endpoint in tried:
                break
            passage = _Passage(upstream, endpoint)
            try:
                return await passage.dial(client), passage.end
            except GatewayError as failure:
                # With its traceback, which holds this frame, it would keep itself alive.
                error = failure.with_traceback(None)
            tried += (endpoint,)
        upstream.meters.passed_through("failed")
        try:
            raise error
        finally:
            del error


class _Passage:
    """What one connection takes of an endpoint, a place in its pool included."""

    __slots__ = ("_endpoint", "_started", "_upstream")

    def __init__(self, upstream: Upstream, endpoint: Endpoint) -> None:
        self._upstream = upstream
        self._endpoint = endpoint
        self._started = monotonic()

    async def dial(self, client: Addresses) -> socket.socket:
        """A connected socket, with the PROXY header sent where the upstream wants one. GatewayError."""
        endpoint, upstream = self._endpoint, self._upstream
        pool = endpoint.pool
        if not pool.hold(self):
            raise GatewayError(Kind.QUEUE_FULL, cause=f"{endpoint.address} has as many connections as it may have")
        endpoint.in_flight += 1
        endpoint.requests += 1
        version = pool.limits.proxy_protocol
        sock: socket.socket | None = None
        try:
            sock = await pool.dial(write_header(version, client) if version else b"")
        except (OSError, ValueError) as reason:
            log.info("%s of %s: %s", endpoint.address, upstream.name, str(reason) or "no connection in time")
            upstream.failed(endpoint, monotonic(), "connect")
            kind = Kind.CONNECT_TIMEOUT if isinstance(reason, TimeoutError) else Kind.CONNECT_FAILED
            raise GatewayError(kind, cause=f"no connection to {endpoint.address}") from None
        finally:
            if sock is None:
                self._give_back()
        endpoint.failures = endpoint.refusals = 0
        return sock

    def close(self) -> None:
        """Its place belongs to it until its client or its endpoint closes: a pool that closes lets it be."""

    def end(self, client: str, relay: Relay) -> None:
        """All is over: count it, and tell of it in one line."""
        self._give_back()
        name, inward, outward = self._upstream.name, relay.client.received, relay.upstream.received
        self._upstream.meters.passed_through("closed" if not relay.reason else "broken", inward, outward)
        log.info(
            "%s passed through to %s of %s: %d bytes in, %d out, %.3f s%s",
            client,
            self._endpoint.address,
            name,
            inward,
            outward,
            monotonic() - self._started,
            f", {relay.reason}" if relay.reason else "",
        )

    def _give_back(self) -> None:
        self._endpoint.in_flight -= 1
        self._endpoint.pool.forget(self)
