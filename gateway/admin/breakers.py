"""What the admin API shows of breakers, and how one is forced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gateway.breaker.circuit import Circuit

if TYPE_CHECKING:
    from gateway.compile import Generation


@runtime_checkable
class Breaking(Protocol):
    """A plugin that has circuits."""

    def breakers(self) -> Mapping[str, Circuit]:
        """Its circuits by name."""


def circuits(generation: Generation) -> Iterator[Circuit]:
    """Every circuit of a configuration, in the order of the plugins."""
    for plugin in generation.plugins.values():
        if isinstance(plugin, Breaking):
            yield from plugin.breakers().values()


def breaker_row(circuit: Circuit, now: float) -> dict[str, Any]:
    """One circuit. Times are in seconds, latencies in milliseconds; counts are of the window."""
    shown = circuit.snapshot(now)
    latency = {name: round(seconds * 1000, 3) for name, seconds in shown["latency"].items()}
    return {
        "name": circuit.name,
        "state": shown["state"],
        "since_seconds": round(shown["age"], 3),
        "retry_after_seconds": round(shown["retry_after"], 3),
        "in_flight": shown["in_flight"],
        "calls": shown["calls"],
        "errors": shown["errors"],
        "error_rate": shown["error_share"],
        "counts": shown["counts"],
        "latency_avg_ms": round(shown["latency_mean"] * 1000, 3),
        "latency_ms": latency,
    }
