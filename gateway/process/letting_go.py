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

from gateway.compile import Generation
from gateway.config.load import Loaded
from gateway.config.nodes import Node

# Freed in 0.2 ms.
AT_A_TIME = 20


async def let_go(generation: Generation, loaded: Loaded | None, gone: asyncio.Event, patience: float) -> None:
    """Free what nobody else uses, once `gone` says that no request is served by its table any more; after `patience`
    seconds in any case. The caller must not hold on to either."""
    pieces = await asyncio.to_thread(_pieces, generation, loaded)
    del generation, loaded
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await gone.wait()
    await asyncio.to_thread(_drop, pieces)


def _pieces(generation: Generation, loaded: Loaded | None) -> list[object]:
    pieces: list[object] = []
    for piece in _parts(generation, loaded):
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


def _parts(generation: Generation, loaded: Loaded | None) -> Iterator[object]:
    """Each of them small, and what holds many of them before those: it is let go of last."""
    spec, table = generation.spec, generation.table
    for many in (generation.plugins, generation.endpoints, generation.uses, generation.by_plugin):
        yield many
        yield from many.values()
    yield from (generation.settings, spec.routes, spec.upstreams, table.upstreams)
    yield from (*generation.settings, *spec.routes, *spec.upstreams.values(), *table.upstreams.values())
    for frontend in generation.frontends:
        yield from frontend.routes
    routers = [table.router]
    if table.frontends is not None:
        routers += [frontend.router for frontend in table.frontends.named.values()]
    for router in routers:
        yield from router.routes
        yield from router.nodes()
    if loaded is not None:
        yield from loaded.sources.values()
        yield from _nodes(loaded.root)


def _nodes(root: Node | None) -> Iterator[Node]:
    """Lists and mappings of the tree down to what one route or one upstream is."""
    level = [root] if root is not None else []
    for _ in range(4):
        below: list[Node] = []
        for node in level:
            yield node
            if isinstance(node.value, dict):
                below += node.value.values()
            elif isinstance(node.value, list):
                below += node.value
        level = below
