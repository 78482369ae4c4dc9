"""What one worker answers to the worker that was asked, which merges the answers of all.

Answers are plain data without secrets. `remains` are those that still count when their worker has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.admin import breakers, endpoints, views
from gateway.admin.merged_rows import fold_routes, fold_summary, fold_upstreams
from gateway.telemetry import merging

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime

# Also before the start.
ALWAYS: dict[str, Callable[..., Any]] = {
    "metrics": lambda runtime: merging.packed(merging.collected(runtime.metrics)),
    "worker": views.worker,
}
STARTED: dict[str, Callable[..., Any]] = {
    "routes": views.routes,
    "upstreams": views.upstreams,
    "breakers": views.breakers,
    "summary": views.summary,
    "force_breaker": breakers.force,
    "put_endpoint": endpoints.put,
}


def answer(runtime: Runtime, what: str, *arguments: Any) -> Any:
    """One worker's answer; None while it has no configuration in service. LookupError for what nobody knows."""
    always = ALWAYS.get(what)
    if always is not None:
        return always(runtime, *arguments)
    view = STARTED.get(what)
    if view is None:
        raise LookupError(f"nobody knows what {what!r} is")
    if runtime.generation is None:
        return None
    return views.without_secrets(runtime, view(runtime, *arguments))


async def remains(runtime: Runtime) -> dict[str, Any]:
    """What still counts when this worker has ended, by what is asked for. In slices, since it is handed in often."""
    collected = merging.lasting(merging.collected(runtime.metrics))
    await asyncio.sleep(0)
    found: dict[str, Any] = {"metrics": merging.packed(collected)}
    for what, view in REMAINS.items():
        await asyncio.sleep(0)
        if runtime.generation is not None:
            found[what] = view(runtime)
    return found


def _summary_served(runtime: Runtime) -> dict[str, Any]:
    summary = views.summary(runtime)
    return {key: summary[key] for key in ("calls", "errors")}


REMAINS: dict[str, Callable[[Runtime], Any]] = {
    "routes": views.routes_served,
    "upstreams": views.upstreams_served,
    "summary": _summary_served,
}
FOLDS: dict[str, Callable[[Any, Any], Any]] = {
    "metrics": lambda departed, last: merging.packed(merging.fold(merging.unpacked(departed), merging.unpacked(last))),
    "routes": fold_routes,
    "upstreams": fold_upstreams,
    "summary": fold_summary,
}


def fold(departed: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """The remains of all workers that have ended, with those of one more; {} for none yet. What is in it stands, by
    its name, behind the living workers' answers."""
    return {
        what: FOLDS[what](departed[what], last[what]) if what in departed and what in last else known
        for what, known in {**departed, **last}.items()
    }
