"""Several workers of one gateway in this process, joined as a supervisor joins them."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.admin.answering import answer, fold, remains
from gateway.process.runtime import Runtime
from tests.support.runtimes import Running, running


class Joined:
    """The workers that live, and what is left of those that have ended."""

    def __init__(self) -> None:
        self.living: list[Runtime] = []
        self.departed: dict[str, Any] = {}

    async def end(self, runtime: Runtime) -> None:
        """One is gone, as if it had been killed: what it handed in last stays."""
        self.living.remove(runtime)
        self.departed = fold(self.departed, travelled(await remains(runtime)))


class InProcess:
    """What one of them sees of all."""

    def __init__(self, joined: Joined, own: Runtime) -> None:
        self._joined = joined
        self._own = own

    async def gather(self, what: str, *arguments: Any) -> list[Any]:
        others = [runtime for runtime in self._joined.living if runtime is not self._own]
        answers = [answer(runtime, what, *arguments) for runtime in (self._own, *others)]
        known = [self._joined.departed[what]] if what in self._joined.departed else []
        return [travelled(one) for one in (*answers, *known) if one is not None]

    async def tell(self, what: str, *arguments: Any) -> list[Any]:
        return await self.gather(what, *arguments)


def travelled(data: Any) -> Any:
    """As it comes out on the other side of a pipe."""
    return pickle.loads(pickle.dumps(data))


@contextlib.asynccontextmanager
async def workers(folder: Path, text: str, count: int = 2) -> AsyncIterator[tuple[Joined, list[Running]]]:
    """So many workers on the same configuration, each with its ports and its admin listener."""
    joined = Joined()
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for slot in range(count):
            home = folder / str(slot)
            home.mkdir()
            worker = await stack.enter_async_context(
                running(home, text, siblings=lambda runtime: InProcess(joined, runtime))
            )
            worker.runtime.slot = slot
            joined.living.append(worker.runtime)
            found.append(worker)
        yield joined, found
