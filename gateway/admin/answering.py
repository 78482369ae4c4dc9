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


def _fold_metrics(departed: dict[str, bytes], last: dict[str, bytes]) -> dict[str, bytes]:
    return merging.packed(merging.fold(merging.Packed(departed), merging.Packed(last)))


# How two are folded, and what there is before the first.
FOLDS: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {
    "metrics": (_fold_metrics, {}),
    "routes": (fold_routes, []),
    "upstreams": (fold_upstreams, []),
    "summary": (fold_summary, {"calls": None, "errors": None}),
}


def fold(departed: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """The remains of all workers that have ended, {} for none yet, with those of one more.

    `last` is the youngest of what it handed in and of its answers, by what was asked: no count that was shown is lost.
    What is in the result stands, by its name, behind the living workers' answers.
    """
    folded = dict(departed)
    for what, (merge, nothing) in FOLDS.items():
        if what in last:
            folded[what] = merge(departed.get(what, nothing), last[what])
    return folded
