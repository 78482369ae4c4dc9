"""The embedded shared state of a gateway: the memory is the supervisor's, so that all workers have the same."""

from __future__ import annotations

from typing import Any

from gateway.plugin import SharedUnavailable
from gateway.process.channel import Channel, Gone, Refusal

# A supervisor that begins anew takes a second or two; one that takes so long is stuck.
SECONDS = 20.0


class GatewayMemory:
    """`gateway.state.memory.MemoryShared` of the supervisor, as a worker has it. Mutable state: the channel, once there
    is one."""

    def __init__(self) -> None:
        self.channel: Channel | None = None

    async def start(self) -> None:
        """The channel is there already."""

    async def close(self) -> None:
        """The memory stays."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        found: bytes | None = await self._ask("get", key)
        return found

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store, for `ttl` seconds. ValueError for a time that is not positive."""
        await self._ask("set", key, value, ttl)

    async def add(self, key: str, amount: int = 1, ttl: float | None = None) -> int:
        """Add to a number (0 before) and return the sum; `ttl` counts from the first addition. ValueError where
        something else than a number is stored."""
        total: int = await self._ask("add", key, amount, ttl)
        return total

    async def delete(self, key: str) -> None:
        """Forget."""
        await self._ask("delete", key)

    async def _ask(self, what: str, *arguments: Any) -> Any:
        if self.channel is None:
            raise SharedUnavailable("the worker has not started")
        try:
            return await self.channel.ask(f"memory_{what}", *arguments, timeout=SECONDS)
        except Gone:
            raise SharedUnavailable("the supervisor does not answer") from None
        except Refusal as refusal:
            raise ValueError(str(refusal).partition(": ")[2]) from None

    def __repr__(self) -> str:
        return f"<GatewayMemory by {self.channel!r}>"
