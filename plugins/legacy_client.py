"""Offers a service that speaks JSON to clients that speak XML or forms.

    - legacy_client: {xml: {root: order, namespace: "urn:orders", lists: [item], types: {quantity: integer}}}
    - legacy_client: {form: {lists: [tag]}}

With `xml` the request's XML goes on as JSON (what is in its root element, whatever that is called), and a JSON answer
comes back as XML in the element `root`, the gateway's own errors too; `lists`, `types`, `namespaces`, `item` and
`content_type` are those of `legacy_service`, and gateway/legacy/xml.py says how XML becomes JSON. With `form` the
request's fields go on as a JSON object, and the answer passes as it is.

A body that is no XML or no form is 400, another content type 415. An answer that is no JSON though it says so, or that
XML cannot say, is 502. `max_body` is 1MiB, for requests and answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.answers.representation import weaken
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
from gateway.legacy.options import FormatOptions, FormOptions, XmlOptions
from gateway.plugin import Env, Exchange, GatewayError, Kind, Plugin, ResponseHead, Size
from gateway.shaping.exact import parse, write

ONE_MIB = Size("1MiB")


class LegacyClient(Plugin):
    """Turns requests into JSON and, for XML, JSON answers back."""

    @dataclass(frozen=True)
    class Options:
        xml: XmlOptions | None = None
        form: FormOptions | None = None
        max_body: Size = ONE_MIB

        def __post_init__(self) -> None:
            if (self.xml is None) == (self.form is None):
                raise ValueError("clients speak xml or form; write one of them, such as xml: {root: order}")
            if self.xml is not None and self.xml.root is None:
                raise ValueError("answers are written as XML in one element; name it, as in xml: {root: order}")
            if not self.max_body:
                raise ValueError("max_body is how long a body may be; write 1MiB")

    spans_routes = True

    def __init__(self, options: Options, env: Env) -> None:
        super().__init__(options, env)
        self.max_body = int(options.max_body)
        self.needs_body = ("request",) if options.xml is None else ("request", "response")
        self._codec = codec_of(FormatOptions(xml=options.xml, form=options.form), self.max_body)
        self._wanted = self._codec.encode({})[1].partition(";")[0]

    def uses_phase(self, phase: str) -> bool:
        return super().uses_phase(phase) and (phase != "on_response" or self.options.xml is not None)

    def on_request(self, exchange: Exchange) -> None:
        if self.options.xml is not None:
            ask_for(exchange.headers, JSON)
        body = request_body(exchange, self._codec.reads, self._wanted)
        if body is None:
            return
        try:
            value = self._codec.decode(body, exchange.headers.get("content-type") or "")
        except ValueError as error:
            raise bad_request(error) from None
        replace_request(exchange, write(value), JSON)

    def collects(self, exchange: Exchange, head: ResponseHead) -> bool:
        return is_json(head.headers.get("content-type") or "")

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        if head.status == 304:
            weaken(head.headers)
        if not is_json(head.headers.get("content-type") or ""):
            return
        if not head.body and exchange.method != "HEAD":
            return
        try:
            encoded = self._codec.encode(parse(answer_body(head)) if head.body else None)
        except ValueError as error:
            self.env.log.info("%s: the service's answer cannot be told as XML: %s", exchange.route, error)
            replace_by_problem(exchange, head, GatewayError(Kind.UPSTREAM_MALFORMED), self.env.name)
            encoded = self._codec.encode(parse(head.body or b""))
        replace_body(exchange, head, *encoded)
