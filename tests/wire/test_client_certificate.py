"""What a client's certificate says, and what of it may stand in a header."""

from __future__ import annotations

import base64
import hashlib

import pytest

from gateway.wire.client_certificate import ClientCertificate
from tests.support.certificates import issue, vouched
from tests.support.handshakes import shown

URI = "spiffe://example.org/ns/shop/sa/ada"
ADA = vouched("ada", "Ada.test", "b.test", URI)


def test_what_it_says() -> None:
    ada = shown(ADA.der)
    assert (ada.common_names, ada.dns_names, ada.uris) == (("ada",), ("ada.test", "b.test"), (URI,))
    assert ada.subject == "CN=ada"
    assert ada.fingerprint == hashlib.sha256(ADA.der).hexdigest()
    assert repr(ada) == f"<ClientCertificate {ada.fingerprint[:16]}>"


def test_as_header_fields() -> None:
    wanted = (("subject", "S"), ("fingerprint", "F"), ("san", "N"), ("certificate", "Client-Cert"))
    ada = shown(ADA.der)
    fields = dict(ada.fields_for(wanted))
    assert fields["S"] == "CN=ada"
    assert fields["N"] == f"DNS:ada.test, DNS:b.test, URI:{URI}"
    assert base64.b64decode(fields["Client-Cert"].strip(":")) == ADA.der
    assert fields["Client-Cert"][:: len(fields["Client-Cert"]) - 1] == "::", "a byte sequence (RFC 8941 §3.3.5)"
    assert ada.fields_for(wanted) is ada.fields_for(wanted), "made once for a connection"
    assert ada.fields_for((("san", "N"),)) == (("N", fields["N"]),)


def test_without_alternative_names() -> None:
    plain = shown(issue("plain").der)
    assert (plain.dns_names, plain.uris) == ((), ())
    assert plain.fields_for((("san", "N"), ("subject", "S"))) == (("S", "CN=plain"),)


@pytest.mark.parametrize(
    ("name", "subject"),
    (
        ("a, b", r"CN=a\, b"),
        ("a\r\nX-Admin: 1", r"CN=a\0D\0AX-Admin: 1"),
        ("Zoë", r"CN=Zo\C3\AB"),
    ),
)
def test_a_subject_cannot_break_out_of_its_header(name: str, subject: str) -> None:
    assert shown(issue(name).der).subject == subject


def test_names_that_could_be_read_as_two_are_left_out() -> None:
    names = ["x.test", "spiffe://a, URI:spiffe://admin", "spiffe://a\r\nb"]
    assert shown(issue("eve", names).der).text("san") == "DNS:x.test"


def test_expiry() -> None:
    assert not shown(ADA.der).expired
    assert shown(ADA.der, 1.0).expired


def test_rubbish_is_an_error_and_nobody() -> None:
    rubbish = ClientCertificate(b"rubbish", 0.0)
    for what in ("subject", "common_names", "dns_names", "uris"):
        with pytest.raises(ValueError, match="."):
            getattr(rubbish, what)
