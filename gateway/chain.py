"""The phases of a route's plugins, laid out once so that a request only walks tuples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gateway.plugin import Plugin


class Step(NamedTuple):
    """One plugin's method. `index` is the plugin's place in the list."""

    index: int
    call: Callable[..., Any]
    waits: bool = False


class Chain:
    """The compiled plugin list of one route, or of requests without one. Immutable.

    `requests` holds `on_request` and `admit` in list order, `responses` and `attempt_ends` run backwards.
    `request_body` and `response_body` are the most bytes to collect for plugins that declare `needs_body`, else 0.
    """

    __slots__ = (
        "attempt_ends",
        "attempts",
        "finishes",
        "plugins",
        "request_body",
        "requests",
        "response_body",
        "responses",
    )

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self.requests: tuple[Step, ...] = tuple(
            Step(index, getattr(plugin, phase), phase == "admit")
            for index, plugin in enumerate(plugins)
            for phase in ("on_request", "admit")
            if plugin.overrides(phase)
        )
        self.attempts = self._steps("on_attempt")
        self.attempt_ends = self._steps("on_attempt_end")[::-1]
        self.responses = self._steps("on_response")[::-1]
        self.finishes = self._steps("on_finish")
        self.request_body = self._needed("request")
        self.response_body = self._needed("response")

    def _steps(self, phase: str) -> tuple[Step, ...]:
        return tuple(
            Step(index, getattr(plugin, phase)) for index, plugin in enumerate(self.plugins) if plugin.overrides(phase)
        )

    def _needed(self, what: str) -> int:
        # The strictest plugin decides, since it is the one that cannot cope with more.
        return min((plugin.max_body for plugin in self.plugins if plugin.needs_body == what), default=0)

    def __repr__(self) -> str:
        return f"<Chain {' '.join(plugin.name for plugin in self.plugins) or '-'}>"


EMPTY = Chain(())
