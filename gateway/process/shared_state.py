"""The shared state of a worker: made from the first configuration, and kept until the worker stops."""

from __future__ import annotations

from gateway.config.load import Loaded
from gateway.config.problems import Problem
from gateway.config.state_specs import StateSpec
from gateway.plugin import Clock, Metrics
from gateway.state.memory import MemoryShared
from gateway.state.store import INSTALL, MissingLibrary, Store, make_shared


class SharedState:
    """Owns the store that plugins share.

    Mutable state: `store`, a memory until a configuration is adopted, and the spec that it was made from.
    """

    def __init__(self, clock: Clock, metrics: Metrics, memory: Store | None = None) -> None:
        """`memory` is the gateway's where the worker has siblings, in place of one of its own."""
        self.store: Store = memory or MemoryShared(clock)
        self._memory = memory
        self._clock = clock
        self._metrics = metrics
        self._spec: StateSpec | None = None

    def adopt(self, loaded: Loaded) -> list[Problem]:
        """Make the store that the first configuration names; what is wrong with that, or with what a later one names
        instead. A configuration that has errors changes nothing."""
        spec = loaded.spec.state if loaded.spec is not None else None
        if spec is None or spec == self._spec:
            return []
        position = loaded.position(("state",))
        if self._spec is not None:
            return [Problem(position, "a reload cannot change where state is kept", "for that type: gateway restart")]
        if self._memory is not None and spec.redis is None and spec.memcached is None:
            self._spec = spec
            return []
        try:
            self.store = make_shared(spec, self._clock, self._metrics)
        except MissingLibrary as error:
            return [Problem(position, f"state: {error}", INSTALL)]
        self._spec = spec
        return []
