"""The count of decisions about access."""

from __future__ import annotations

from gateway.plugin import Counter, Metrics


class AuthMeter:
    """`gateway_auth_total` of one plugin.

    `allowed`: let in; `denied`: known, or wrongly known, and refused; `missing`: no credentials where some are needed;
    `error`: could not be decided, whatever was done then; `observed`: would have been refused, were it enforced.
    """

    __slots__ = ("allowed", "denied", "error", "missing", "observed")

    def __init__(self, metrics: Metrics, plugin: str) -> None:
        family = metrics.counter(
            "gateway_auth_total", "Decisions about access by plugin and result.", ("plugin", "result")
        )
        self.allowed: Counter = family.labels(plugin, "allowed")
        self.denied: Counter = family.labels(plugin, "denied")
        self.missing: Counter = family.labels(plugin, "missing")
        self.error: Counter = family.labels(plugin, "error")
        self.observed: Counter = family.labels(plugin, "observed")
