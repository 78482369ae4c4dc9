"""The other workers of a gateway, asked through the supervisor."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.admin.answering import answer, remains
from gateway.process.channel import Channel, Gone, Refusal
from gateway.process.reloading import VersionChanged
from gateway.process.siblings import Alone
from gateway.process.versions import RELOAD

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime

# Others have a second to answer; who has none of them is left out.
SECONDS = 2.0
# Between two hand-ins of what has been counted.
HAND_IN_SECONDS = 5.0


class Supervised(Alone):
    """`Siblings` of a worker that has a supervisor. Mutable state: the channel to it, once there is one, and whether
    the supervisor has let go of this worker."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.channel: Channel | None = None
        self.detached = False

    async def gather(self, what: str, *arguments: Any) -> list[Any]:
        """What every worker answers, this one first."""
        return await self._all("gather", what, arguments)

    async def tell(self, what: str, *arguments: Any) -> list[Any]:
        """The same for a change."""
        return await self._all("tell", what, arguments)

    async def _all(self, how: str, what: str, arguments: tuple[Any, ...]) -> list[Any]:
        own = answer(self._runtime, what, *arguments)
        found = [] if own is None else [own]
        if self.channel is None or self.detached:
            return found
        try:
            return [*found, *await self.channel.ask(how, what, arguments, own, timeout=SECONDS)]
        except Gone:
            return found

    async def reload(
        self, expected: Container[int] | None = None, why: str = RELOAD, back_to: int | None = None
    ) -> bool:
        """All workers of the gateway reload, or none."""
        version = self._runtime.version
        if expected is not None and version not in expected:
            raise VersionChanged
        change = self._runtime.reloading.change(why, back_to)
        accepted: bool | None = await self._asked("reload", change, version if expected is not None else None)
        if accepted is None:
            raise VersionChanged
        return accepted

    async def restart(self) -> None:
        """Replace all workers by those of the program that is installed now."""
        words = [sys.executable, *check_words(sys.orig_argv, sys.argv, self._runtime.path)]
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise Refusal(f"the configuration is refused:\n{said.decode(errors='replace').strip()}")
        await self._asked("restart")

    async def hand_in(self) -> None:
        """Let the supervisor have what has been counted, now and then, so that it is not lost with this worker."""
        while not self.detached:
            await asyncio.sleep(HAND_IN_SECONDS)
            await self.hand_in_once()

    async def hand_in_once(self) -> None:
        """Now."""
        if self.channel is not None and not self.detached:
            self.channel.tell("remains", await remains(self._runtime))

    async def _asked(self, what: str, *arguments: Any) -> Any:
        if self.channel is None or self.detached:
            raise Refusal("the gateway is restarting; ask again")
        try:
            return await self.channel.ask(what, *arguments)
        except Gone:
            raise Refusal("the supervisor has gone") from None


def check_words(original: list[str], arguments: list[str], config: Path) -> list[str]:
    """What checks a configuration as this process was started, behind the name of the interpreter. `original` is
    `sys.orig_argv`, `arguments` is `sys.argv`."""
    launcher = original[1 : len(original) - len(arguments) + 1]
    return [*launcher, "check", "-c", str(config)]
