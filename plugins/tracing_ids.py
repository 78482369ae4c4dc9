"""Gives every request its ids: a request id, and a trace that goes on to the services behind.

    - tracing_ids: {propagate: [w3c, b3]}

What a trusted peer sends is continued, what anybody else sends is replaced. `propagate` names the formats that are
read, the first valid one winning, and written: `w3c` (traceparent, tracestate), `b3` (one header), `b3multi`
(X-B3-*); B3 is read in both forms. `echo` puts X-Request-Id into the response. `sampled` is what services are told
about traces that begin here; most record none that they are told not to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

from gateway.plugin import Env, Exchange, Headers, Plugin, ResponseHead
from gateway.telemetry.trace_fields import begin_trace, request_id_line

# W3C Trace Context §3.2: versions after 00 may go on behind another dash.
TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# §3.3.1: a key, or a tenant's key at a system; the value ends in no blank.
TRACESTATE = re.compile(
    r"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
B3 = re.compile(r"([0-9a-f]{32}|[0-9a-f]{16})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?")
W3C_NAMES = ("traceparent", "tracestate")
B3_NAMES = ("b3", "X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId", "X-B3-Sampled", "X-B3-Flags")
SAMPLED = {"1": "1", "true": "1", "0": "0", "false": "0"}


class Context(NamedTuple):
    """Where a request stands in its trace. `trace` is empty where a peer only decided about `sampled`, `parent` where
    the trace begins here. `sampled` is `1`, `0`, `d` (debug) or empty for undecided, `random` a flag of W3C."""

    trace: str
    parent: str = ""
    sampled: str = ""
    random: bool = False
    state: str = ""


class TracingIds(Plugin):
    """Sets `exchange.request_id, trace_id, span_id` and the headers that go upstream. The first in a chain decides."""

    @dataclass(frozen=True)
    class Options:
        propagate: tuple[Literal["w3c", "b3", "b3multi"], ...] = ("w3c",)
        echo: bool = True
        sampled: bool = True

    def __init__(self, options: Options, env: Env) -> None:
        super().__init__(options, env)
        self._formats = tuple(dict.fromkeys(options.propagate))
        self._readers = tuple(dict.fromkeys(_read_w3c if name == "w3c" else _read_b3 for name in self._formats))
        names = (W3C_NAMES if read is _read_w3c else B3_NAMES for read in self._readers)
        self._replaced = ("X-Request-Id", *chain.from_iterable(names))
        self._sampled = "1" if options.sampled else "0"
        self._only_w3c = self._formats == ("w3c",)

    def uses_phase(self, phase: str) -> bool:
        return self.options.echo if phase == "on_response" else super().uses_phase(phase)

    def on_request(self, exchange: Exchange) -> None:
        if exchange.trace_id:
            return
        trusted = exchange.peer_trusted
        if self._only_w3c and not trusted:
            begin_trace(exchange, self._sampled)
            return
        exchange.mint_ids()
        # A trusted peer's is read before its fields are taken away.
        line = request_id_line(exchange)
        context = Context(exchange.trace_id, "", self._sampled)
        if trusted:
            context = self._continued(exchange.headers, exchange.trace_id)
            exchange.trace_id = context.trace
        self._write(exchange.headers, context, exchange.span_id)
        exchange.headers.add_line(line)

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        head.headers.set_line(b"x-request-id", request_id_line(exchange))

    def _continued(self, headers: Headers, trace: str) -> Context:
        """What a trusted peer's trace goes on with, or `trace`, which begins here. Takes the peer's headers away."""
        found = next(filter(None, (read(headers) for read in self._readers)), None)
        for name in self._replaced:
            if headers.get(name) is not None:
                headers.remove(name)
        found = found or Context("", "", self._sampled)
        return found if found.trace else found._replace(trace=trace)

    def _write(self, headers: Headers, context: Context, span: str) -> None:
        trace, parent, sampled, random_flag, state = context
        for name in self._formats:
            if name == "w3c":
                flags = ((sampled or self._sampled) != "0") + 2 * random_flag
                headers.add("traceparent", f"00-{trace}-{span}-0{flags}")
                if state:
                    headers.add("tracestate", state)
            elif name == "b3":
                headers.add("b3", "-".join(filter(None, (trace, span, sampled, sampled and parent))))
            else:
                headers.add("X-B3-TraceId", trace)
                headers.add("X-B3-SpanId", span)
                if parent:
                    headers.add("X-B3-ParentSpanId", parent)
                if sampled:
                    headers.add(*(("X-B3-Flags", "1") if sampled == "d" else ("X-B3-Sampled", sampled)))


def _read_w3c(headers: Headers) -> Context | None:
    match = TRACEPARENT.fullmatch(headers.get("traceparent") or "")
    if match is None or len(headers.get_all("traceparent")) != 1:
        return None
    version, trace, parent, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or not _some(trace, parent):
        return None
    bits = int(flags, 16)
    state = _state(headers.get_all("tracestate")) if headers.get("tracestate") is not None else ""
    return Context(trace, parent, str(bits & 1), bool(bits & 2), state)


def _state(values: list[str]) -> str:
    """All members in order, or nothing when one is wrong, twice there, or there are too many."""
    members = [member for part in ",".join(values).split(",") if (member := part.strip(" \t"))]
    keys = {match[1] for member in members if (match := TRACESTATE.fullmatch(member))}
    return ",".join(members) if len(keys) == len(members) <= 32 else ""


def _read_b3(headers: Headers) -> Context | None:
    single = headers.get("b3")
    if single is not None:
        match = B3.fullmatch(single)
        if match is None:
            return Context("", "", single) if single in ("0", "1", "d") else None
        trace, parent, sampled = match[1], match[2], match[3] or ""
    else:
        sampled = SAMPLED.get((headers.get("x-b3-sampled") or "").lower(), "")
        sampled = "d" if headers.get("x-b3-flags") == "1" else sampled
        trace, parent = headers.get("x-b3-traceid") or "", headers.get("x-b3-spanid") or ""
        if not B3.fullmatch(f"{trace}-{parent}"):
            return Context("", "", sampled) if sampled else None
    return Context(trace.zfill(32), parent, sampled) if _some(trace, parent) else None


def _some(*ids: str) -> bool:
    return all(one.strip("0") for one in ids)
