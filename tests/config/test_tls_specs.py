"""What a configuration may say of TLS, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.frontend_specs import FrontendSpec
from gateway.config.specs import ListenerSpec
from gateway.config.tls_specs import HttpsRedirectSpec, ListenerTlsSpec, UpstreamTlsSpec
from gateway.config.upstream_specs import UpstreamSpec

CERTIFICATES = {"certificates": [{"cert": "a.crt"}]}
LISTENER = {"bind": "127.0.0.1:1"}


def test_defaults() -> None:
    tls = ListenerTlsSpec.model_validate(CERTIFICATES)
    assert (tls.client_ca, tls.client_auth, tls.min_version, tls.client_headers.names()) == (
        None,
        "required",
        "1.2",
        {},
    )
    assert (tls.certificates[0].key, tls.certificates[0].names) == (None, ())
    upstream = UpstreamTlsSpec.model_validate({})
    assert (upstream.verify, upstream.min_version, upstream.server_name) == (True, "1.2", None)
    assert hash(tls) == hash(ListenerTlsSpec.model_validate(CERTIFICATES)), "it is a key of what was read"


@pytest.mark.parametrize(
    ("given", "port", "status"),
    (("https", 443, 308), ({}, 443, 308), ({"https": 8443, "status": 301}, 8443, 301)),
)
def test_redirect(given: object, port: int, status: int) -> None:
    spec = HttpsRedirectSpec.model_validate(given)
    assert (spec.https, spec.status) == (port, status)


@pytest.mark.parametrize(
    ("spec", "given", "message"),
    (
        (ListenerTlsSpec, {"certificates": []}, "at least 1"),
        (ListenerTlsSpec, CERTIFICATES | {"min_version": "1.1"}, "'1.2' or '1.3'"),
        (ListenerTlsSpec, CERTIFICATES | {"client_auth": "optional"}, "add client_ca"),
        (ListenerTlsSpec, CERTIFICATES | {"client_headers": {"subject": "X-A"}}, "add client_ca"),
        (
            ListenerTlsSpec,
            CERTIFICATES | {"client_ca": "a", "client_headers": {"subject": "Connection"}},
            "is set by the gateway itself",
        ),
        (ListenerTlsSpec, {"certificates": [{"cert": "a", "names": ["a:80"]}]}, "without its port"),
        (UpstreamTlsSpec, {"key": "a"}, "add cert"),
        (UpstreamTlsSpec, {"ca": "a", "verify": False}, "leave one of them out"),
        (UpstreamTlsSpec, {"server_name": "*.a.test"}, "one name"),
        (HttpsRedirectSpec, "http", "should be https or a mapping"),
        (HttpsRedirectSpec, {"https": 0}, "greater than or equal to 1"),
        (HttpsRedirectSpec, {"status": 303}, "301, 302, 307 or 308"),
        (ListenerSpec, LISTENER | {"tls": CERTIFICATES, "redirect": "https"}, "by plain HTTP"),
        (ListenerSpec, LISTENER | {"tls": CERTIFICATES, "half_close": "allow"}, "leave half_close out"),
        (FrontendSpec, {"frontend": "a", "tls": CERTIFICATES}, "add bind"),
        (UpstreamSpec, {"endpoints": ["http://a"], "tls": {}}, "write https://"),
    ),
)
def test_what_makes_no_sense(spec: Any, given: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        spec.model_validate(given)
    assert message in str(caught.value)


def test_endpoints_of_both_kinds() -> None:
    spec = UpstreamSpec.model_validate({"endpoints": ["http://a", "https://b", {"url": "HTTPS://c:8443"}], "tls": {}})
    assert [(one.secure, one.address) for one in spec.endpoints] == [
        (False, "a:80"),
        (True, "b:443"),
        (True, "c:8443"),
    ]
