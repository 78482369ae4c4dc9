"""Gives a JSON answer another shape: fields picked, renamed, removed, and chosen by the client.

    - transform: {pick: "{id: id, items: items[:3]}", rename: {items.sku: code}, remove: [items.internal_id]}
    - transform: {remove: [password, owner.email], fields: query}

`pick` is JMESPath. `rename` and `remove` take dotted paths, which go through lists, of what `pick` left; a new name
takes the old one's place. `fields: query` lets clients choose with `?fields=id,owner.name`, `fields: jsonapi` with
JSON:API's `?fields[TYPE]=name`; upstreams never see that parameter, whose name is `parameter` (default fields).
Numbers stay as they are spelt, keys in their order.

Only successful (2xx) JSON answers of upstreams are touched, up to `max_body` (default 1MiB). All else passes as it
comes: other types, errors, the gateway's own answers, compositions and fallbacks. JSON that is too long, broken, or
compressed though upstreams are asked not to, is 502, and a part of one (206) is 416: what is removed shall not get out.
The ETag becomes weak, digests go. List a breaker before this: then it keeps for `stale` what clients got.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.answers.representation import DIGESTS, is_coded, weaken
from gateway.plugin import Attempt, Env, Exchange, GatewayError, Kind, Plugin, ResponseHead, Size
from gateway.shaping.fields import FieldChoice
from gateway.shaping.shape import Step, compile_steps, reshape

# What follows the type need not be well formed: whoever reads JSON seldom looks at it.
JSON = re.compile(r"(?:(?:application|text)/json|[^/;]+/[^;\s,]+\+json)(?:[;,\s].*)?", re.IGNORECASE | re.DOTALL)
PARAMETER = re.compile(r"[A-Za-z0-9_.~-]+")
ONE_MIB = Size("1MiB")
# They tell of the bytes that the upstream sent.
OF_THE_BYTES = ("Accept-Ranges", *DIGESTS)


class Transform(Plugin):
    """Collects the JSON answers that there is something to do with. In the request's `state` it notes what the client
    chose, and the head of the upstream's answer, which tells that from the gateway's own."""

    needs_body = "response"
    for_upstreams = True

    @dataclass(frozen=True)
    class Options:
        pick: str | None = None
        rename: Mapping[str, str] = field(default_factory=dict)
        remove: tuple[str, ...] = ()
        fields: Literal["off", "query", "jsonapi"] = "off"
        parameter: str = "fields"
        max_body: Size = ONE_MIB

        def __post_init__(self) -> None:
            if not compile_steps(self.pick, self.rename, self.remove) and self.fields == "off":
                raise ValueError("it does nothing: give pick, rename, remove or fields")
            if not PARAMETER.fullmatch(self.parameter):
                raise ValueError(f"{self.parameter!r} is no name of a query parameter; write one such as fields")

    def __init__(self, options: Options, env: Env) -> None:
        super().__init__(options, env)
        self.max_body = int(options.max_body)
        self._steps = compile_steps(options.pick, options.rename, options.remove)
        chooses = options.fields != "off"
        self._choice = FieldChoice(options.parameter, options.fields == "jsonapi") if chooses else None
        self._chosen, self._received = f"transform {id(self)} chosen", f"transform {id(self)} received"

    def uses_phase(self, phase: str) -> bool:
        return super().uses_phase(phase) and (phase != "on_attempt" or self._choice is not None)

    def on_request(self, exchange: Exchange) -> None:
        headers = exchange.headers
        headers.set("Accept-Encoding", "identity")
        if "," in ",".join(headers.get_all("range")):
            # Several parts come as multipart/byteranges. RFC 9110 §14.2: a Range may be ignored.
            headers.remove("Range")
        if self._choice is not None and exchange.query:
            try:
                exchange.state[self._chosen] = self._choice.read(exchange.query)
            except ValueError as error:
                raise GatewayError(Kind.BAD_REQUEST, str(error)) from None

    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> None:
        if self._choice is not None:
            exchange.target = self._choice.strip(exchange.target)

    def collects(self, exchange: Exchange, head: ResponseHead) -> bool:
        exchange.state[self._received] = head
        return _is_whole(head) and _is_json(head) and not is_coded(head.headers) and bool(self._steps_for(exchange))

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        if exchange.state.pop(self._received, None) is not head:
            return
        steps = self._steps_for(exchange)
        if head.status == 304 and "W/" in (exchange.headers.get("if-none-match") or ""):
            weaken(head.headers)
        if not steps or not _is_json(head):
            return
        if head.status == 206:
            raise GatewayError(Kind.BAD_REQUEST, "this resource is given as a whole only", status=416)
        if not _is_whole(head):
            return
        if is_coded(head.headers):
            raise GatewayError(Kind.UPSTREAM_MALFORMED, cause="JSON came compressed, though nobody asked for that")
        weaken(head.headers)
        for name in OF_THE_BYTES:
            if head.headers.get(name) is not None:
                head.headers.remove(name)
        if head.body:
            try:
                head.body = reshape(head.body, steps)
            except ValueError as error:
                raise GatewayError(Kind.UPSTREAM_MALFORMED, cause=str(error)) from None

    def _steps_for(self, exchange: Exchange) -> tuple[Step, ...]:
        chosen = exchange.state.get(self._chosen)
        return self._steps if chosen is None else (*self._steps, chosen)


def _is_whole(head: ResponseHead) -> bool:
    return 200 <= head.status <= 299 and head.status not in (204, 205, 206)


def _is_json(head: ResponseHead) -> bool:
    types = head.headers.get_all("content-type")
    if not types:
        # RFC 9110 §15.3.7: where If-Range was sent, a part may come without its type.
        return head.status == 206
    return any(JSON.fullmatch(value) for value in types)
