"""Careful defaults, each of which can be switched off, and which overwrite nothing."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.plugins.security_headers import SecurityHeaders

from gateway.errors import GatewayError, Kind
from gateway.exchange import Reply
from gateway.testing import make_exchange, make_plugin, run

DEFAULTS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000"}


def sent(theirs: dict[str, str] | None = None, scheme: str = "http", **options: Any) -> dict[str, str]:
    exchange = make_exchange(scheme=scheme)
    return dict(run(make_plugin(SecurityHeaders, **options), exchange, Reply(200, theirs)).headers.items())


def test_defaults() -> None:
    assert sent() == DEFAULTS


def test_hsts_is_for_tls_or_when_forced() -> None:
    assert sent(scheme="https") == HSTS | DEFAULTS
    assert sent(force_hsts=True) == HSTS | DEFAULTS
    assert sent(scheme="https", hsts="off") == DEFAULTS


def test_each_has_its_switch() -> None:
    assert sent(content_type_options="off", frame_options="off", referrer_policy="off") == {}


def test_policies_come_by_option() -> None:
    headers = sent(content_security_policy="default-src 'self'", permissions_policy="camera=()")

    assert headers == DEFAULTS | {"Content-Security-Policy": "default-src 'self'", "Permissions-Policy": "camera=()"}


def test_what_the_service_says_stays() -> None:
    assert sent({"x-frame-options": "DENY"})["x-frame-options"] == "DENY"
    assert "X-Frame-Options" not in sent({"x-frame-options": "DENY"})


def test_unless_it_is_overridden() -> None:
    assert sent({"x-frame-options": "DENY"}, override=True) == DEFAULTS


def test_the_gateways_own_answers_have_them_too() -> None:
    head = run(make_plugin(SecurityHeaders), make_exchange(), GatewayError(Kind.NO_ENDPOINT))

    assert head.headers.get("x-content-type-options") == "nosniff"


@pytest.mark.parametrize("value", ("", "a\nb", " a", "é"))
def test_values_that_cannot_be(value: str) -> None:
    with pytest.raises(ValueError, match="is no value for X-Frame-Options"):
        make_plugin(SecurityHeaders, frame_options=value)
