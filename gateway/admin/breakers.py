"""What one worker says of its breakers, and how they are forced there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gateway.breaker.circuit import Circuit, Force

if TYPE_CHECKING:
    from gateway.compile import Generation
    from gateway.process.runtime import Runtime


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
    """One circuit. Times are in seconds, latencies in milliseconds; counts are of the window, `latency_calls` says of
    how many calls the latencies are, `policy` what opens it."""
    policy = circuit.policy
    shown = circuit.snapshot(now)
    latency = {name: round(seconds * 1000, 3) for name, seconds in shown["latency"].items()}
    return {
        "name": circuit.name,
        "state": shown["state"],
        "since_seconds": round(shown["age"], 3),
        "retry_after_seconds": round(shown["retry_after"], 3),
        "in_flight": circuit.in_flight,
        "calls": shown["calls"],
        "errors": shown["errors"],
        "error_rate": shown["error_share"],
        "counts": shown["counts"],
        "latency_avg_ms": round(shown["latency_mean"] * 1000, 3),
        "latency_ms": latency,
        "latency_calls": len(circuit.window.latencies),
        "policy": {
            "window_seconds": policy.window,
            "requests": policy.requests,
            "error_rate": policy.errors,
            "sleep_seconds": policy.sleep,
        },
    }


def force(runtime: Runtime, name: str, state: Force) -> list[str] | dict[str, Any]:
    """Hold a breaker open or closed, or leave it to itself again: its row; the names that there are where it is none
    of them. ValueError for another state."""
    assert runtime.generation is not None
    now = runtime.env.clock.now()
    known = list(circuits(runtime.generation))
    found = [circuit for circuit in known if circuit.name == name]
    for circuit in found:
        circuit.force(state, now)
    return breaker_row(found[0], now) if found else list(dict.fromkeys(circuit.name for circuit in known))
