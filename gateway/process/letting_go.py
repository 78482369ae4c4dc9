"""The end of a generation, piece by piece.

To free 10,000 routes at once takes 100 ms, in which nothing else runs: one object's end is that of all that only it
holds. So the parts are held one by one, the whole is let go of, and then the parts are, in a thread that gives way
after each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

from gateway.compile import Generation
from gateway.config.load import Loaded
from gateway.config.nodes import Node
from gateway.process.plugin_life import when_gone

# Freed in 0.2 ms.
AT_A_TIME = 20


def let_go(
    tasks: dict[asyncio.Task[None], asyncio.Event], generation: Generation | None, loaded: Loaded, patience: float = 0.0
) -> None:
    """Free what nobody else uses of a configuration, once no request is served by its table any more; after `patience`
    seconds in any case. The caller must not hold on to either. The task is one of `tasks` while it runs, with what
    ends its wait."""
    gone = when_gone(generation.table) if generation is not None else asyncio.Event()
    if generation is None:
        gone.set()
    task = asyncio.get_running_loop().create_task(_let_go(generation, loaded, gone, patience))
    tasks[task] = gone
    task.add_done_callback(tasks.pop)


async def _let_go(generation: Generation | None, loaded: Loaded, gone: asyncio.Event, patience: float) -> None:
    pieces = await asyncio.to_thread(_pieces, generation, loaded)
    del generation, loaded
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await gone.wait()
    await asyncio.to_thread(_drop, pieces)


def _pieces(generation: Generation | None, loaded: Loaded) -> list[object]:
    pieces: list[object] = []
    for piece in chain(_of_files(loaded), _of_generation(generation) if generation is not None else ()):
        pieces.append(piece)
        if len(pieces) % AT_A_TIME == 0:
            time.sleep(0)
    return pieces


def _drop(pieces: list[object]) -> None:
    while pieces:
        pieces.pop()
        if len(pieces) % AT_A_TIME == 0:
            # Whoever waits for the interpreter has it now.
            time.sleep(0)


def _of_files(loaded: Loaded) -> Iterator[object]:
    """Lists and mappings of the tree, down to what one route or one upstream is; what holds many comes before those,
    and is let go of last."""
    yield from loaded.sources.values()
    level = [loaded.root] if loaded.root is not None else []
    for _ in range(4):
        below: list[Node] = []
        for node in level:
            yield node
            if isinstance(node.value, dict):
                below += node.value.values()
            elif isinstance(node.value, list):
                below += node.value
        level = below


def _of_generation(generation: Generation) -> Iterator[object]:
    spec, table = generation.spec, generation.table
    for many in (generation.plugins, generation.endpoints, generation.uses, generation.by_plugin):
        yield many
        yield from many.values()
    for some in (generation.settings, spec.routes):
        yield some
        yield from some
    for named in (spec.upstreams, table.upstreams):
        yield named
        yield from named.values()
    for frontend in generation.frontends:
        yield from frontend.routes
    others = table.frontends.named.values() if table.frontends is not None else ()
    for router in (table.router, *(frontend.router for frontend in others)):
        yield from router.routes
        yield from router.nodes()
