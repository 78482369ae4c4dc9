"""Requests that a page of another site may have made."""

from __future__ import annotations

import pytest

from gateway.auth.csrf import SAFE_METHODS, CsrfGuard
from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange
from gateway.testing import make_exchange

GUARD = CsrfGuard(["https://App.example.com"], secure=True)
TOKEN = "t" * 43
HERE = "https://gateway.test"


def asking(method: str = "POST", **fields: str) -> Exchange:
    return make_exchange(method, headers={name.replace("_", "-"): value for name, value in fields.items()})


def allows(exchange: Exchange, guard: CsrfGuard = GUARD) -> bool:
    return refusal(exchange, guard) is None


def refusal(exchange: Exchange, guard: CsrfGuard = GUARD) -> GatewayError | None:
    try:
        guard.check(exchange, TOKEN)
    except GatewayError as error:
        return error
    return None


def test_a_refusal_says_what_to_send_and_shows_no_token() -> None:
    error = refusal(asking(X_CSRF_Token="wrong"))

    assert error is not None
    assert (error.kind, error.answer.status) == (Kind.FORBIDDEN, 403)
    assert "X-CSRF-Token" in error.detail
    assert "Sec-Fetch-Site" in error.detail
    assert TOKEN not in repr(error)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_safe_methods_need_nothing(method: str) -> None:
    assert allows(asking(method, Sec_Fetch_Site="cross-site", Origin="https://evil.example"))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get", "X"])
def test_every_other_method_needs_proof(method: str) -> None:
    assert method not in SAFE_METHODS
    assert not allows(asking(method))


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({}, False),
        ({"X_CSRF_Token": TOKEN}, True),
        ({"X_CSRF_Token": TOKEN, "Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"}, True),
        ({"X_CSRF_Token": TOKEN[:-1]}, False),
        ({"X_CSRF_Token": TOKEN + "t"}, False),
        ({"X_CSRF_Token": ""}, False),
        ({"X_CSRF_Token": "\xe9" * 43}, False),
        ({"Sec_Fetch_Site": "same-origin"}, True),
        ({"Sec_Fetch_Site": "none"}, True),
        ({"Sec_Fetch_Site": "same-site"}, False),
        ({"Sec_Fetch_Site": "cross-site"}, False),
        ({"Sec_Fetch_Site": ""}, False),
        ({"Sec_Fetch_Site": "same-origin, same-origin"}, False),
        ({"Sec_Fetch_Site": "cross-site", "Origin": HERE}, False),
        ({"Sec_Fetch_Site": "same-site", "X_CSRF_Token": "wrong"}, False),
        ({"Origin": HERE}, True),
        ({"Origin": "http://gateway.test"}, True),
        ({"Origin": "https://GATEWAY.test"}, True),
        ({"Origin": "https://gateway.test:8443"}, False),
        ({"Origin": "https://gateway.test.evil.example"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Referer": f"{HERE}/page"}, False),
        ({"Origin": "https://app.example.com"}, True),
        ({"Origin": "https://app.example.com", "Sec_Fetch_Site": "cross-site"}, True),
        ({"Origin": "http://app.example.com"}, False),
    ],
)
def test_proofs(fields: dict[str, str], allowed: bool) -> None:
    assert allows(asking(**fields)) is allowed


def test_the_token_in_another_spelling_is_none() -> None:
    assert not allows(make_exchange("POST", headers={"X_CSRF_Token": TOKEN}))


def test_by_plain_http_an_https_page_is_another_site() -> None:
    plain = CsrfGuard([], secure=False)

    assert allows(asking(Origin="http://gateway.test"), plain)
    assert not allows(asking(Origin=HERE), plain)


@pytest.mark.parametrize(("trusted", "allowed"), [(True, True), (False, False)])
def test_only_a_trusted_proxy_says_how_the_browser_came(trusted: bool, allowed: bool) -> None:
    fields = {"X-Forwarded-Proto": "https", "Origin": HERE}
    exchange = make_exchange("POST", headers=fields, peer_trusted=trusted)

    assert allows(exchange, CsrfGuard([], secure=False)) is allowed


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({}, True),
        ({"Sec_Fetch_Site": "same-origin"}, True),
        ({"Sec_Fetch_Site": "none"}, True),
        ({"Sec_Fetch_Site": "same-site"}, False),
        ({"Sec_Fetch_Site": "cross-site"}, False),
        ({"Origin": HERE}, True),
        ({"Origin": "null"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "https://app.example.com", "Sec_Fetch_Site": "cross-site"}, True),
        ({"X_CSRF_Token": TOKEN, "Origin": "https://evil.example"}, False),
    ],
)
def test_a_login_must_not_come_from_elsewhere(fields: dict[str, str], allowed: bool) -> None:
    exchange = asking(**fields)
    if allowed:
        GUARD.check_login(exchange)
        return
    with pytest.raises(GatewayError) as caught:
        GUARD.check_login(exchange)
    assert caught.value.kind is Kind.FORBIDDEN
