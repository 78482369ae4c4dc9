"""Offers a service that speaks XML, SOAP or forms as JSON.

    - legacy_service: {soap: {operation: GetPrice, namespace: "urn:stock", action: "urn:stock#GetPrice"}}
    - legacy_service: {xml: {root: order, lists: [item], types: {price: number}}}
    - legacy_service: {form: {}}

The request's JSON goes on as one of these, and the answer comes back as JSON. `xml` and `soap` take `namespace` (of
names without a prefix), `namespaces: {m: "urn:more"}`, `lists`, `types: {price: number, stock: integer, "@new":
boolean}` and `item`; `xml` also `root` and `content_type`; `soap` also `version: 1.2`, `header` (elements as JSON),
`faults: {NotFound: 404}` and `fault_detail: true`; `form` takes `lists`. How XML becomes JSON says
gateway/legacy/xml.py, what becomes of faults gateway/legacy/soap.py.

A body that is no JSON is 400, another content type 415. A SOAP operation is a POST, and one without a body has no
parameters. An answer of another content type passes as it is; one that is not what it says is 502. A fault is a
problem document with its `code` and its reason as `detail`: 422 where it blames the caller, else 502, unless `faults`
names it. `max_body` is 1MiB, for requests and answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.answers.representation import weaken
from gateway.legacy.codec import ServiceFault
from gateway.legacy.formats import codec_of
from gateway.legacy.media import is_json
from gateway.legacy.messages import (
    JSON,
    answer_body,
    ask_for,
    bad_request,
    replace_body,
    replace_by_problem,
    replace_request,
    request_body,
)
from gateway.legacy.options import FormatOptions
from gateway.plugin import Env, Exchange, GatewayError, Kind, Plugin, ResponseHead, Size
from gateway.shaping.exact import parse, write

ONE_MIB = Size("1MiB")


class LegacyService(Plugin):
    """Turns requests into the service's format, and its answers into JSON."""

    @dataclass(frozen=True)
    class Options(FormatOptions):
        max_body: Size = ONE_MIB

        def __post_init__(self) -> None:
            super().__post_init__()
            if not self.max_body:
                raise ValueError("max_body is how long a body may be; write 1MiB")

    needs_body = ("request", "response")
    for_upstreams = True
    spans_routes = True

    def __init__(self, options: Options, env: Env) -> None:
        super().__init__(options, env)
        self.max_body = int(options.max_body)
        self._codec = codec_of(options, self.max_body)

    def on_request(self, exchange: Exchange) -> None:
        codec = self._codec
        if codec.method not in (None, exchange.method):
            raise GatewayError(Kind.METHOD_NOT_ALLOWED, f"{exchange.method} is not allowed here", allow=[codec.method])
        ask_for(exchange.headers, codec.accept)
        body = request_body(exchange, is_json, JSON)
        if body is None and codec.method is None:
            return
        try:
            encoded = codec.encode(None if body is None else parse(body))
        except ValueError as error:
            raise bad_request(error) from None
        replace_request(exchange, *encoded)
        for name, value in codec.request_headers:
            exchange.headers.set(name, value)

    def collects(self, exchange: Exchange, head: ResponseHead) -> bool:
        return self._is_legacy(head)

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        if head.status == 304:
            weaken(head.headers)
        if not self._is_legacy(head):
            return
        if not head.body:
            if exchange.method == "HEAD":
                replace_body(exchange, head, b"", JSON)
            return
        try:
            value = self._codec.decode(answer_body(head), head.headers.get("content-type") or "")
        except ServiceFault as fault:
            self.env.log.info("%s: %s", exchange.route, fault)
            told = GatewayError(Kind.SERVICE_FAULT, fault.reason, status=fault.status)
            more = {"code": fault.code} if fault.detail is None else {"code": fault.code, "fault": fault.detail}
            replace_by_problem(exchange, head, told, self.env.name, more)
        except ValueError as error:
            self.env.log.info("%s: the service's answer cannot be read: %s", exchange.route, error)
            replace_by_problem(exchange, head, GatewayError(Kind.UPSTREAM_MALFORMED), self.env.name)
        else:
            replace_body(exchange, head, write(value), JSON)

    def _is_legacy(self, head: ResponseHead) -> bool:
        return self._codec.reads(head.headers.get("content-type") or "")
