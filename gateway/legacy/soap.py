"""SOAP 1.1 and 1.2: a value in an envelope, what an answer's Body holds, and faults.

A request's value is what the operation's element holds; an answer's is what the first element of the Body holds, null
where there is none. Inside, the mapping is that of gateway.legacy.xml. An answer of either version is read.

A fault's code is its local name, with the subcodes of 1.2 behind points, as 1.1 itself writes them:
`Client.Authentication`, `Sender.NotFound`. Its reason is one line, since some services put their stack into it. The
status is the first that `faults` has for the name of an element in the detail, for the whole code, and for its parts
from the last to the first; else 422 (RFC 9110 §15.5.21) for `Client` and `Sender`, since the service understood the
message and rejects what it says, and 502 for all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.legacy.codec import ServiceFault
from gateway.legacy.namespaces import Namespaces
from gateway.legacy.options import ENVELOPES, SoapOptions
from gateway.legacy.xml import DECLARATION, XmlMapping, checked_size, is_xml

CALLERS_FAULT = frozenset(["Client", "Sender"])
_LONGEST_REASON = 500


class SoapCodec:
    """One operation of a service."""

    method: str | None = "POST"
    __slots__ = ("_after", "_before", "_content_type", "_mapping", "_options", "accept", "request_headers")

    def __init__(self, options: SoapOptions, max_body: int) -> None:
        self._options = options
        self._mapping = XmlMapping(options.names, max_body, options.lists, options.types, options.item)
        version = str(options.version)
        action = options.action or ""
        self.request_headers: tuple[tuple[str, str], ...] = ()
        if version == "1.1":
            # SOAP 1.1 §6.1.1: the field is required; "" says that the target is enough.
            self.request_headers = (("SOAPAction", f'"{action}"'),)
            self.accept, self._content_type = "text/xml", "text/xml; charset=utf-8"
        else:
            self.accept = "application/soap+xml"
            self._content_type = "application/soap+xml; charset=utf-8" + (f'; action="{action}"' if action else "")
        names = Namespaces(options.namespace, {"soap": ENVELOPES[version], **options.namespaces})
        # Here attributes of the envelope may stand: soap:mustUnderstand and the like.
        header = XmlMapping(names, max_body, item=options.item)
        blocks = "".join(header.write(name, value) for name, value in options.header.items())
        self._before = f"{DECLARATION}<soap:Envelope{names.declarations}>"
        self._before += f"<soap:Header>{blocks}</soap:Header><soap:Body>" if blocks else "<soap:Body>"
        self._after = "</soap:Body></soap:Envelope>"

    def reads(self, content_type: str) -> bool:
        """Is it XML? Answers with attachments are not read."""
        return is_xml(content_type)

    def encode(self, value: Any) -> tuple[bytes, str]:
        """The envelope of a request."""
        operation = self._mapping.write(self._options.operation, value)
        body = f"{self._before}{operation}{self._after}".encode()
        return checked_size(body, self._mapping.max_body), self._content_type

    def decode(self, body: bytes, content_type: str) -> Any:
        """What the first element of the Body holds. ServiceFault for a fault, ValueError for no envelope."""
        name, envelope = self._mapping.read(body, content_type)
        if name != "soap:Envelope" or not isinstance(envelope, dict) or "soap:Body" not in envelope:
            raise ValueError("not a SOAP envelope with a Body")
        first, value = next(_elements(envelope["soap:Body"]), ("", None))
        if first == "soap:Fault":
            raise self._fault(value)
        return value

    def _fault(self, value: Any) -> ServiceFault:
        fault = value if isinstance(value, dict) else {}
        if "faultcode" in fault:
            code = _local(_text(fault["faultcode"]))
            reason, detail = _text(fault.get("faultstring")), fault.get("detail")
        else:
            code = ".".join(_subcodes(fault.get("soap:Code")))
            reasons = fault.get("soap:Reason")
            reason, detail = (
                _text(reasons.get("soap:Text") if isinstance(reasons, dict) else None),
                fault.get("soap:Detail"),
            )
        lines = reason.strip().splitlines() or [""]
        status = self._status(code, [_local(name) for name, _ in _elements(detail)])
        return ServiceFault(status, code, lines[0][:_LONGEST_REASON], detail if self._options.fault_detail else None)

    def _status(self, code: str, details: list[str]) -> int:
        parts = code.split(".")
        for name in (*details, code, *reversed(parts)):
            if name in self._options.faults:
                return self._options.faults[name]
        return 422 if parts[0] in CALLERS_FAULT else 502


def _elements(value: Any) -> Iterator[tuple[str, Any]]:
    """The names of the elements in a value, each with its (first) value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name[0] not in "@#":
                yield name, inner[0] if isinstance(inner, list) else inner


def _subcodes(code: Any) -> Iterator[str]:
    """SOAP 1.2 part 1, §5.4.1: the code, and what each of its subcodes says more precisely."""
    while isinstance(code, dict):
        yield _local(_text(code.get("soap:Value")))
        code = code.get("soap:Subcode")


def _local(name: str) -> str:
    return name.strip().rpartition(":")[2]


def _text(value: Any) -> str:
    """The text of an element, of the first where there are several."""
    if isinstance(value, list):
        value = value[0]
    if isinstance(value, dict):
        value = value.get("#text")
    return value if isinstance(value, str) else ""
