"""What a client's certificate says of who the client is. It was verified in the handshake; here it is only read."""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import time
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    import asyncio

# What no header field may hold; RFC 4514 §2.4 has a way to write any byte.
_UNSAFE = re.compile(r"[^\x20-\x7e]")


class ClientCertificate:
    """The certificate of one connection, read when first asked. `until` is the end of its validity, in seconds since
    1970. ValueError where what is asked for cannot be read."""

    def __init__(self, der: bytes, until: float) -> None:
        self._der = der
        self.until = until

    @property
    def expired(self) -> bool:
        """A connection may outlive its certificate, and so may a session that is resumed."""
        return self.until < time.time()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, 64 hexadecimal digits in lower case."""
        return hashlib.sha256(self._der).hexdigest()

    @cached_property
    def subject(self) -> str:
        """The distinguished name (RFC 4514), in visible ASCII."""
        text = self._read.subject.rfc4514_string()
        return _UNSAFE.sub(lambda found: "".join(f"\\{byte:02X}" for byte in found[0].encode()), text)

    @cached_property
    def common_names(self) -> tuple[str, ...]:
        """The common names of the subject."""
        return tuple(str(one.value) for one in self._read.subject.get_attributes_for_oid(NameOID.COMMON_NAME))

    @cached_property
    def dns_names(self) -> tuple[str, ...]:
        """The alternative names that are hosts, in lower case."""
        return tuple(name.lower() for name in self._alternatives.get_values_for_type(x509.DNSName))

    @cached_property
    def uris(self) -> tuple[str, ...]:
        """The alternative names that are URIs, such as spiffe://example.org/ns/a."""
        return tuple(self._alternatives.get_values_for_type(x509.UniformResourceIdentifier))

    def text(self, what: str) -> str:
        """`subject`, `fingerprint`, `san` or `certificate` as the value of a header field."""
        if what == "certificate":
            return f":{base64.b64encode(self._der).decode()}:"
        if what == "san":
            named = [("DNS", self.dns_names), ("URI", self.uris)]
            # RFC 3986 and host names know neither blank nor comma, but nobody has checked these.
            pairs = [f"{kind}:{name}" for kind, names in named for name in names if "," not in name]
            return ", ".join(pair for pair in pairs if not _UNSAFE.search(pair))
        return self.fingerprint if what == "fingerprint" else self.subject

    @cached_property
    def fields(self) -> dict[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        """Header fields as they were asked for, kept for the next request."""
        return {}

    def fields_for(self, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """Name and value of the header for each (property, header), but for what is empty."""
        known = self.fields.get(headers)
        if known is None:
            known = tuple((header, text) for what, header in headers if (text := self.text(what)))
            self.fields[headers] = known
        return known

    @cached_property
    def _read(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self._der)

    @cached_property
    def _alternatives(self) -> x509.SubjectAlternativeName:
        try:
            return self._read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return x509.SubjectAlternativeName([])

    def __repr__(self) -> str:
        return f"<ClientCertificate {self.fingerprint[:16]}>"


def client_certificate(transport: asyncio.Transport) -> ClientCertificate | None:
    """What the client on this connection has shown; None without a certificate, and without TLS."""
    connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    der = connection.getpeercert(binary_form=True) if connection is not None else None
    shown = transport.get_extra_info("peercert")
    if not der or not shown:
        return None
    return ClientCertificate(der, ssl.cert_time_to_seconds(shown["notAfter"]))
