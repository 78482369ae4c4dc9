"""What stores on the network have in common: no call takes longer than it may, and one that is down costs next to
nothing."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from gateway.plugin import Clock, Metrics, SharedUnavailable
from gateway.state.outage import Outage
from gateway.units import Duration

log = logging.getLogger("gateway.state")
# A try may go by several nodes to the one that answers. Calls wait for it no longer than for anything else.
TRY_SECONDS: Final = 1.0
# A longer time to live is none: the stores would take it for a mistake.
LONGEST_TTL: Final = 100 * 365 * 86400.0

T = TypeVar("T")


class RemoteShared(ABC):
    """A store that may be slow or gone. Within `timeout` seconds each call has its answer or SharedUnavailable.

    A store that gives no answer is left alone for a pause, in which all calls fail at once; then one call tries it
    first (see `Outage`). Calls beyond `connections` wait for their turn.
    Mutable state: the outage and the reason of the last one, the turns, and the try under way.
    """

    def __init__(
        self, kind: str, name: str, timeout: Duration, connections: int, clock: Clock, metrics: Metrics
    ) -> None:
        """`kind` is the store's label in metrics, `name` what messages call it."""
        self._name = name
        self._timeout = timeout
        self._connections = connections
        self._clock = clock
        self._outage = Outage()
        self._reason = ""
        self._turns = asyncio.Semaphore(connections)
        self._trying: asyncio.Task[None] | None = None
        text = "Calls to the shared state by result; skipped are those that found it taken as down."
        family = metrics.counter("gateway_shared_state_total", text, ("store", "result"))
        self._ok, self._errors, self._skipped = (family.labels(kind, result) for result in ("ok", "error", "skipped"))

    async def start(self) -> None:
        """Connect. A store that does not answer is logged, and tried again by the calls to come."""
        if self._outage.may_try(self._clock.now()):
            await self._try()

    async def close(self) -> None:
        """Close all connections, after the calls under way. Later calls have no turn any more."""
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.wait((self._trying,))
        for _ in range(self._connections):
            await self._turns.acquire()
        await self._disconnect()

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """What `call` brings. SharedUnavailable for every exception, and when it takes longer than the timeout."""
        waits_for = f"one of its {self._connections} connections"
        try:
            async with asyncio.timeout(self._timeout):
                if not self._outage.up:
                    waits_for = "a new connection"
                    await self._try_first()
                async with self._turns:
                    waits_for = ""
                    result = await call()
        except SharedUnavailable:
            raise
        except TimeoutError as error:
            reason = f"no answer within {self._timeout}" if not waits_for else f"no time left to wait for {waits_for}"
            raise self._unavailable(reason, error, lost=not waits_for) from error
        except Exception as error:
            raise self._unavailable(self._words(error), error, lost=self._is_lost(error)) from error
        self._ok.inc()
        return result

    async def _try_first(self) -> None:
        """The store is down: go on once it answers a try. Only one call at a time waits for that."""
        if not self._outage.may_try(self._clock.now()):
            self._skipped.inc()
            raise SharedUnavailable(f"{self._name} is taken as down: {self._reason or 'it was not reached yet'}")
        await self._try()
        if not self._outage.up:
            self._errors.inc()
            raise SharedUnavailable(f"{self._name}: {self._reason}")

    async def _try(self) -> None:
        # It goes on when who waits for it does not: to connect may take longer than a call.
        self._trying = asyncio.get_running_loop().create_task(self._reconnect())
        await asyncio.shield(self._trying)

    async def _reconnect(self) -> None:
        try:
            async with asyncio.timeout(TRY_SECONDS):
                # Connections of before may lead to a node that is stuck, or is not the one to ask any more.
                await self._disconnect()
                await self._connect()
                async with asyncio.timeout(self._timeout):
                    await self._ping()
        except Exception as error:
            late = isinstance(error, TimeoutError)
            self._note("it does not answer in time" if late else self._words(error))
            self._outage.tried(self._clock.now(), False)
        else:
            self._outage.tried(self._clock.now(), True)
            if self._reason:
                log.info("%s answers again", self._name)
            self._reason = ""

    def _unavailable(self, reason: str, error: Exception, lost: bool) -> SharedUnavailable:
        self._errors.inc()
        if lost:
            self._note(reason)
            self._outage.lost(self._clock.now())
        return SharedUnavailable(f"{self._name}: {reason}")

    def _note(self, reason: str) -> None:
        if not self._reason:
            log.warning("%s is taken as down until it answers: %s", self._name, reason)
        self._reason = reason

    @abstractmethod
    async def _connect(self) -> None:
        """Open a connection, and have an answer on it."""

    @abstractmethod
    async def _ping(self) -> None:
        """Have an answer."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Close all connections that no call is using. Never raises."""

    @abstractmethod
    def _is_lost(self, error: Exception) -> bool:
        """Does it tell that the store cannot be reached? What the store itself says does not."""

    @abstractmethod
    def _words(self, error: Exception) -> str:
        """What is wrong, without keys, values and passwords."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name} {'up' if self._outage.up else 'down'}>"


def checked_ttl(ttl: float | None) -> float | None:
    """A time to live in seconds, None for one without an end. ValueError unless it is more than 0."""
    if ttl is None:
        return None
    if not ttl > 0:
        raise ValueError(f"a time to live is more than 0 seconds, not {ttl}")
    return ttl if ttl < LONGEST_TTL else None
