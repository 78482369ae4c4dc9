"""One record for each request: ECS JSON, Apache combined or a template, to stdout, to files, or to several places.

    - access_log: {format: ecs, to: [stdout, "file:///var/log/gateway.log"], status: [5xx], slower_than: 1s, sample: 1%}

`status` and `slower_than` pick records, and either is enough. `sample` is the share that is kept of all the others:
everything without a filter, nothing with one. Where `sample` is given, failures are kept whatever it says. The
values of secret parameters are redacted in queries and in the Referer; Authorization and Cookie are never written.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from gateway.plugin import Duration, Env, Exchange, LogSink, Plugin, Share
from gateway.telemetry.access_formats import access_format
from gateway.telemetry.log_buffer import LogBuffer
from gateway.telemetry.log_sink import checked_place
from gateway.telemetry.traffic import FAILURES
from gateway.units import status_range

SECRETS = ("token", "code", "password", "secret", "access_token", "api_key")


class AccessLog(Plugin):
    """Writes access records. A failure is a status of 500 and above, or an answer that broke off."""

    @dataclass(frozen=True)
    class Options:
        format: str = "ecs"
        to: str | tuple[str, ...] = "stdout"
        status: tuple[int | str, ...] = ()
        slower_than: Duration | None = None
        sample: Share | None = None
        redact: tuple[str, ...] = SECRETS

        def __post_init__(self) -> None:
            access_format(self.format, "", ())
            for place in _places(self.to):
                checked_place(place)
            _statuses(self.status)

    def __init__(self, options: Options, env: Env) -> None:
        super().__init__(options, env)
        self._sinks: list[LogSink] = []
        self._buffer: LogBuffer[Exchange] | None = None
        picks = bool(options.status) or options.slower_than is not None
        share = options.sample if options.sample is not None else Share(0.0 if picks else 1.0)
        self._whole = share == 1.0
        self._share = float(share)
        self._statuses = _statuses(options.status)
        if options.sample is not None:
            self._statuses |= frozenset(range(500, 1000))
        self._breaks = options.sample is not None
        self._slow = float("inf") if options.slower_than is None else float(options.slower_than)

    async def start(self) -> None:
        """Open the places. OSError for a file that cannot be opened."""
        for place in dict.fromkeys(_places(self.options.to)):
            self._sinks.append(self.env.open_sink(place))
        encode = access_format(self.options.format, self.env.name, self.options.redact)
        later = asyncio.get_running_loop().call_later
        self._buffer = LogBuffer(encode, self._sinks, self.env.clock, self.env.metrics, later)

    async def stop(self) -> None:
        """Write everything that is left."""
        if self._buffer is not None:
            self._buffer.drain()
        sinks, self._sinks = self._sinks, []
        await asyncio.gather(*(sink.close() for sink in sinks))

    def on_finish(self, exchange: Exchange) -> None:
        if self._buffer is not None and (self._whole or self._wants(exchange)):
            self._buffer.append(exchange)

    def _wants(self, exchange: Exchange) -> bool:
        return (
            exchange.status in self._statuses
            or exchange.ended - exchange.started > self._slow
            or (self._breaks and exchange.outcome in FAILURES)
            or (self._share > 0 and random.random() < self._share)
        )


def _places(to: str | tuple[str, ...]) -> tuple[str, ...]:
    places = (to,) if isinstance(to, str) else to
    if not places:
        raise ValueError("an access log needs a place to go to, such as stdout")
    return places


def _statuses(chosen: tuple[int | str, ...]) -> frozenset[int]:
    """404, `5xx` and `400-499` as numbers. ValueError for anything else."""
    return frozenset(status for choice in chosen for status in status_range(choice, "404, 5xx or 400-499"))
