"""What a configuration asks of the machine, in numbers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.config.frontend_specs import FrontendSpec
from gateway.config.specs import ConfigSpec

# Of each worker: the loop's own, the admin listener's connections, name look-ups, key sets.
RESERVE = 64


@dataclass(frozen=True, slots=True)
class Needs:
    """The most at a time. `clients`, `upstreams` and `store` are connections of one worker, `files` its log files;
    `address` is the endpoint to which one worker may have most connections, `to_address` their number."""

    workers: int
    clients: int
    listeners: int
    upstreams: int
    store: int
    files: int
    address: str
    to_address: int

    @property
    def surely(self) -> int:
        """Open files of a worker whose clients are all there, when no request is under way."""
        return self.clients + self.listeners + self.store + self.files + RESERVE

    @property
    def at_most(self) -> int:
        """The same with every pool full."""
        return self.surely + self.upstreams


def needs_of(spec: ConfigSpec, frontends: Sequence[FrontendSpec], workers: int, files: int) -> Needs:
    """What `spec` needs with so many workers and log files."""
    pools: Counter[str] = Counter()
    upstreams = 0
    for upstream in spec.upstreams.values():
        for endpoint in upstream.endpoints:
            upstreams += upstream.pool.max_connections
            # A Unix socket takes no local port.
            if endpoint.port:
                pools[endpoint.address] += upstream.pool.max_connections
    ((address, to_address),) = pools.most_common(1) or [("", 0)]
    # The limit is each listener's.
    everywhere = spec.limits.connections
    limits = [everywhere] * len(spec.listeners)
    limits += [one.limits.connections or everywhere for one in frontends if one.bind is not None]
    remote = spec.state.redis or spec.state.memcached
    return Needs(
        workers=workers,
        clients=sum(limits),
        listeners=len(limits),
        upstreams=upstreams,
        store=remote.max_connections if remote is not None else 0,
        files=files,
        address=address,
        to_address=to_address,
    )
