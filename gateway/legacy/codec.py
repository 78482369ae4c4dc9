"""What every format offers: bodies to JSON-able values and back, settled once at load time."""

from __future__ import annotations

from typing import Any, Protocol


class Codec(Protocol):
    """One format with its options. Immutable, and safe to share.

    `accept` is the Accept of a request to a service that speaks it, `request_headers` are more fields of such a
    request, `method` the only one that it can be sent with (SOAP: POST), None for any.
    """

    @property
    def accept(self) -> str:
        """The Accept of a request to a service that speaks this format."""

    @property
    def request_headers(self) -> tuple[tuple[str, str], ...]:
        """Further fields of a request to such a service, besides Content-Type: SOAPAction."""

    @property
    def method(self) -> str | None:
        """The only method that such a request can have; None for any."""

    def reads(self, content_type: str) -> bool:
        """Is a body of this content type one of this format?"""

    def decode(self, body: bytes, content_type: str) -> Any:
        """The value of a body: dicts, lists, text, numbers, booleans and None, for `gateway.shaping.exact.write`.
        ServiceFault for a fault, ValueError with a short text for what is not of this format, or too large."""

    def encode(self, value: Any) -> tuple[bytes, str]:
        """The body of a value, and its content type. ValueError with a short text for what the format cannot say, and
        for more bytes than are allowed."""


class ServiceFault(ValueError):
    """A service answered, in good form, that it failed.

    `status` is what a client is told, `code` and `reason` are the service's own words, `detail` is what else it said,
    None unless the options allow to show it.
    """

    def __init__(self, status: int, code: str, reason: str, detail: Any = None) -> None:
        super().__init__(f"the service reports {code}: {reason}")
        self.status = status
        self.code = code
        self.reason = reason
        self.detail = detail
