"""The store that a configuration names."""

from __future__ import annotations

from typing import Protocol

from gateway.config.state_specs import MemorySpec, StateSpec
from gateway.plugin import Clock, Metrics, Shared
from gateway.state.memory import MemoryShared

INSTALL = "run: pip install 'aiogate[memcached]'"


class Store(Shared, Protocol):
    """Shared state with a life."""

    async def start(self) -> None:
        """Connect. A store that is not there is logged and nothing more: calls try it again."""

    async def close(self) -> None:
        """After the last call: let go of connections."""


class MissingLibrary(Exception):
    """A store that needs a package which is not installed."""


def make_shared(spec: StateSpec, clock: Clock, metrics: Metrics) -> Store:
    """The store of `spec`; nothing is connected yet. MissingLibrary when it cannot be used here."""
    # The clients of stores are imported by who uses them.
    if spec.redis is not None:
        from gateway.state.redis import RedisShared

        return RedisShared(spec.redis, clock, metrics)
    if spec.memcached is not None:
        try:
            from gateway.state.memcached import MemcachedShared
        except ModuleNotFoundError as error:
            raise MissingLibrary(f"memcached needs the package {error.name}") from error
        return MemcachedShared(spec.memcached, clock, metrics)
    memory = spec.memory or MemorySpec()
    return MemoryShared(clock, memory.entries)
