"""The table of failures is whole, and says what the RFCs know."""

from __future__ import annotations

import pytest

from gateway.errors import ANSWERS, Failure, GatewayError, Kind, not_allowed

# RFC 9209 §2.3, the registered proxy error types.
REGISTERED = {
    "dns_timeout",
    "dns_error",
    "destination_not_found",
    "destination_unavailable",
    "destination_ip_prohibited",
    "destination_ip_unroutable",
    "connection_refused",
    "connection_terminated",
    "connection_timeout",
    "connection_read_timeout",
    "connection_write_timeout",
    "connection_limit_reached",
    "tls_protocol_error",
    "tls_certificate_error",
    "tls_alert_received",
    "http_request_error",
    "http_request_denied",
    "http_response_incomplete",
    "http_response_header_section_size",
    "http_response_header_size",
    "http_response_body_size",
    "http_response_trailer_section_size",
    "http_response_trailer_size",
    "http_response_transfer_coding",
    "http_response_content_coding",
    "http_response_timeout",
    "http_upgrade_failed",
    "http_protocol_error",
    "proxy_internal_response",
    "proxy_internal_error",
    "proxy_configuration_error",
    "proxy_loop_detected",
}


def test_every_kind_has_its_answer() -> None:
    assert set(ANSWERS) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_error_types_are_registered(kind: Kind) -> None:
    assert ANSWERS[kind].error_type in REGISTERED


@pytest.mark.parametrize("kind", Kind)
def test_the_status_fits_the_side(kind: Kind) -> None:
    answer = ANSWERS[kind]

    if answer.side == "upstream":
        # An upstream's fault is never 500, and always one of these.
        assert answer.status in (502, 503, 504)
    elif answer.side == "gateway":
        assert answer.status in (500, 503) or kind is Kind.DEADLINE_EXCEEDED
    else:
        assert 400 <= answer.status < 500 or answer.status in (501, 505)


@pytest.mark.parametrize("kind", Kind)
def test_only_an_upstreams_fault_is_tried_again(kind: Kind) -> None:
    answer = ANSWERS[kind]

    assert answer.retry == "never" or answer.side == "upstream"


def test_flags_and_words_are_short_and_plain() -> None:
    told = [answer for kind, answer in ANSWERS.items() if kind is not Kind.SUPERSEDED]
    assert all(answer.flag.isupper() and 2 <= len(answer.flag) <= 3 for answer in told)
    assert all(kind.word == kind.name.lower() for kind in Kind)


def test_an_error_knows_its_answer_and_keeps_its_cause_apart() -> None:
    error = GatewayError(Kind.CONNECT_FAILED, "try later", "10.0.0.1:80 refused")

    assert error.answer.status == 502
    assert (error.detail, error.cause) == ("try later", "10.0.0.1:80 refused")
    assert (error.retry_after, error.allow) == (None, ())


def test_a_method_that_is_not_allowed() -> None:
    error = not_allowed("PUT", ["GET", "HEAD"])

    assert (error.kind, error.detail) == (Kind.METHOD_NOT_ALLOWED, "PUT is not allowed here")
    assert error.allow == ["GET", "HEAD"]
    assert error.answer.status == 405


@pytest.mark.parametrize("kind", Kind)
def test_plugins_may_answer_in_place_of_an_upstreams_fault_alone(kind: Kind) -> None:
    answer = ANSWERS[kind]
    expected = Failure(answer.status, kind.word, answer.condition) if answer.side == "upstream" else None

    assert GatewayError(kind).failure == expected


@pytest.mark.parametrize("kind", Kind)
def test_retry_policies_have_a_word_for_what_is_safe_to_try_again(kind: Kind) -> None:
    answer = ANSWERS[kind]

    assert answer.retry == "never" or answer.condition in ("connect", "reset", "timeout", "full")


def test_another_status_and_more_headers() -> None:
    error = GatewayError(Kind.AUTH_UNAVAILABLE, status=401, headers={"WWW-Authenticate": "Bearer"})

    assert (error.answer.status, error.answer.flag, error.answer.side) == (401, "UA", "gateway")
    assert error.headers == {"WWW-Authenticate": "Bearer"}
    assert ANSWERS[Kind.AUTH_UNAVAILABLE].status == 503, "the table is as it was"
    assert GatewayError(Kind.AUTH_UNAVAILABLE).answer is ANSWERS[Kind.AUTH_UNAVAILABLE]
    assert GatewayError(Kind.AUTH_UNAVAILABLE).headers == {}


def test_another_status_is_what_plugins_are_told_of_a_failure() -> None:
    assert GatewayError(Kind.CONNECT_FAILED, status=503).failure == Failure(503, "connect_failed", "connect")


@pytest.mark.parametrize(
    "kind", [Kind.AUTH_UNAVAILABLE, Kind.LIMITER_UNAVAILABLE, Kind.UNAUTHENTICATED, Kind.FORBIDDEN]
)
def test_no_fallback_stands_in_for_who_decides(kind: Kind) -> None:
    assert GatewayError(kind, status=502).failure is None
