"""The phases of a route's plugins, laid out once so that a request only walks tuples."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from gateway.plugin import Attempt, Exchange, Failure, GatewayError, Kind, Plugin, Reply, ResponseHead

log = logging.getLogger("gateway.proxy")
Admit = Callable[[Exchange], Coroutine[Any, Any, Reply | None]]


class Step:
    """One plugin's method. `place` is the plugin's in the list, `plugin` its name for the log. `admit` is what follows
    its `on_request`, None where it has none. Immutable."""

    __slots__ = ("admit", "call", "place", "plugin")

    def __init__(self, place: int, call: Callable[..., Any], plugin: str, admit: Admit | None = None) -> None:
        self.place = place
        self.call = call
        self.plugin = plugin
        self.admit = admit


class Chain:
    """The compiled plugin list of one route, or of requests without one. Immutable.

    `requests` holds `on_request` with its `admit` in list order; `responses`, `failures`, `attempt_ends` run backwards.
    `resends`: a plugin may send the request to another upstream after a failure.
    `request_body` is the most bytes to collect for plugins that declare `needs_body`, else 0; `collectors` are those
    that declare it for responses.
    """

    __slots__ = (
        "attempt_ends",
        "attempts",
        "collectors",
        "failures",
        "finishes",
        "plugins",
        "request_body",
        "requests",
        "resends",
        "responses",
    )

    def __init__(self, plugins: Sequence[Plugin], own_body: int = 0) -> None:
        """`own_body` is the most bytes of body to collect beside what the plugins declare."""
        self.plugins = tuple(plugins)
        self.requests: tuple[Step, ...] = tuple(
            Step(
                index,
                plugin.on_request if plugin.uses_phase("on_request") else _nothing,
                _named(plugin),
                plugin.admit if plugin.uses_phase("admit") else None,
            )
            for index, plugin in enumerate(plugins)
            if plugin.uses_phase("on_request") or plugin.uses_phase("admit")
        )
        self.attempts = self._steps("on_attempt")
        self.attempt_ends = self._steps("on_attempt_end")[::-1]
        self.failures = self._steps("on_failure")[::-1]
        self.resends = any(plugin.resends for plugin in plugins)
        self.responses = self._steps("on_response")[::-1]
        self.finishes = self._steps("on_finish")
        # The strictest plugin decides, since it is the one that cannot cope with more.
        strictest = min((plugin.max_body for plugin in plugins if "request" in (plugin.needs_body or ())), default=0)
        self.request_body = strictest or own_body
        self.collectors = tuple(plugin for plugin in plugins if "response" in (plugin.needs_body or ()))

    def _steps(self, phase: str) -> tuple[Step, ...]:
        return tuple(
            Step(index, getattr(plugin, phase), _named(plugin))
            for index, plugin in enumerate(self.plugins)
            if plugin.uses_phase(phase)
        )

    def response_body(self, exchange: Exchange, head: ResponseHead) -> int:
        """The most bytes to collect of this answer for plugins that read its body, 0 where none does. GatewayError for
        a plugin that fails to say so."""
        limits = []
        for plugin in self.collectors:
            try:
                if plugin.collects(exchange, head):
                    limits.append(plugin.max_body)
            except Exception:
                log.exception("%s failed in collects", _named(plugin))
                raise GatewayError(Kind.PLUGIN_CRASHED) from None
        return min(limits, default=0)

    def run_failures(self, exchange: Exchange, failure: Failure, ran: int) -> Reply | None:
        """`on_failure` of the first `ran` plugins, backwards, until one replies or chooses another upstream. One that
        fails is passed over."""
        upstream = exchange.upstream
        for step in self.failures:
            if step.place < ran:
                try:
                    reply: Reply | None = step.call(exchange, failure)
                except Exception:
                    log.exception("%s failed in on_failure", step.plugin)
                    exchange.upstream = upstream
                    continue
                if reply is not None or exchange.upstream != upstream:
                    return reply
        return None

    def run_responses(self, exchange: Exchange, head: ResponseHead, ran: int) -> GatewayError | None:
        """`on_response` of the first `ran` plugins, backwards, until one refuses the answer or fails: why, which is
        logged, or None."""
        for step in self.responses:
            if step.place < ran:
                try:
                    step.call(exchange, head)
                except GatewayError as error:
                    log.info("%s: %s by %s: %s", exchange.route, error.kind.word, step.plugin, error.cause)
                    return error
                except Exception:
                    log.exception("%s failed in on_response", step.plugin)
                    return GatewayError(Kind.PLUGIN_CRASHED)
        return None

    def run_attempt_ends(self, exchange: Exchange, attempt: Attempt, ran: int) -> None:
        """`on_attempt_end` of the first `ran` plugins, backwards; one that fails stops no other."""
        for step in self.attempt_ends:
            if step.place < ran:
                try:
                    step.call(exchange, attempt)
                except Exception:
                    log.exception("%s failed in on_attempt_end", step.plugin)

    def run_finishes(self, exchange: Exchange, ran: int) -> None:
        """`on_finish` of the first `ran` plugins; one that fails stops no other."""
        for step in self.finishes:
            if step.place < ran:
                try:
                    step.call(exchange)
                except Exception:
                    log.exception("%s failed in on_finish", step.plugin)

    def __repr__(self) -> str:
        return f"<Chain {' '.join(plugin.name for plugin in self.plugins) or '-'}>"


def _nothing(exchange: Exchange) -> None:
    """In place of an `on_request` that a plugin with an `admit` does not have."""


def _named(plugin: Plugin) -> str:
    return f"plugin {plugin.name or type(plugin).__name__}"


EMPTY = Chain(())
