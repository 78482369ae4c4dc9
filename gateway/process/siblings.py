"""The workers of one gateway, as one of them sees them: the whole gateway's figures come from all of them."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any, Protocol

from gateway.admin.answering import answer
from gateway.process.channel import Refusal
from gateway.process.versions import RELOAD

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime


class Siblings(Protocol):
    """All workers of a gateway, this one included. What may be asked is in `gateway.admin.answering`."""

    async def gather(self, what: str, *arguments: Any) -> list[Any]:
        """What every worker answers, this one first; who does not answer within a second, or has nothing in service, is
        left out. Behind them come the remains of workers that have ended, for what leaves remains."""

    async def tell(self, what: str, *arguments: Any) -> list[Any]:
        """The same for a change. The last argument says what shall be, those before it of what: a worker that starts
        later is told the last word on each."""

    async def reload(
        self, expected: Container[int] | None = None, why: str = RELOAD, back_to: int | None = None
    ) -> bool:
        """A new configuration in all workers, or in none, see `Reloading.reload`. Then `Runtime.last` and `version`
        are those of this worker."""

    async def restart(self) -> None:
        """Replace all workers, one after the other, by those of the program that is installed now. Refusal when that
        does not take the configuration."""


class Alone:
    """One worker without others."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def gather(self, what: str, *arguments: Any) -> list[Any]:
        """This worker's answer."""
        found = answer(self._runtime, what, *arguments)
        return [] if found is None else [found]

    async def tell(self, what: str, *arguments: Any) -> list[Any]:
        """The same for a change."""
        return await self.gather(what, *arguments)

    async def reload(
        self, expected: Container[int] | None = None, why: str = RELOAD, back_to: int | None = None
    ) -> bool:
        """This worker's reload."""
        return await self._runtime.reload(expected, why, back_to)

    async def restart(self) -> None:
        """There is nobody who would start another."""
        raise Refusal("this worker has no supervisor")
