"""What an auth service answers, and whose login that is."""

from __future__ import annotations

import logging
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import orjson
import pytest

from gateway.auth.auth_service import MAX_BODY, AuthService, LoggedIn, media_type, read_answer
from gateway.auth.session_options import LoginOptions
from gateway.errors import GatewayError, Kind
from gateway.exchange import Reply
from gateway.plugin import UpstreamReply
from gateway.testing import FakeUpstream, make_exchange

JSON = {"content-type": "application/json"}
CREDENTIALS = b'{"user": "ada", "password": "lovelace"}'
GOOD = UpstreamReply(200, JSON, b'{"sub": "1"}')


def access_token(**claims: Any) -> str:
    return jwt.encode(claims, "k" * 64, "HS512")


async def log_in(
    answer: UpstreamReply | GatewayError, content_type: str | None = "application/json", body: bytes = CREDENTIALS
) -> tuple[LoggedIn | Reply, FakeUpstream]:
    upstream = FakeUpstream([answer])
    service = AuthService(LoginOptions("auth", forward_to="/v1/login"), upstream, logging.getLogger("gateway.test"))
    headers = {"Content-Type": content_type} if content_type is not None else {}
    exchange = make_exchange("POST", "/login", {**headers, "Cookie": "a=1", "Authorization": "Bearer x"}, body)
    exchange.request_id = "r1"
    return await service.log_in(exchange), upstream


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON ; charset=utf-8", "application/x-www-form-urlencoded"],
)
async def test_the_body_goes_to_the_service_as_it_came(content_type: str) -> None:
    found, upstream = await log_in(GOOD, content_type, b"\xff any bytes")

    assert found == LoggedIn({"sub": "1"}, {})
    sent = {
        "Content-Type": content_type,
        "Accept": "application/json",
        "X-Forwarded-For": "192.0.2.1",
        "X-Request-Id": "r1",
    }
    assert upstream.calls == [("POST", "/v1/login", sent, b"\xff any bytes")]


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "multipart/form-data; boundary=x", "application/jsonp"]
)
async def test_other_types_are_refused(content_type: str | None) -> None:
    with pytest.raises(GatewayError) as caught:
        await log_in(GOOD, content_type)

    assert (caught.value.kind, caught.value.answer.status) == (Kind.BAD_REQUEST, 415)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 499])
async def test_its_refusal_is_passed_on(status: int) -> None:
    headers = {
        "content-type": "application/problem+json",
        "retry-after": "30",
        "www-authenticate": "Basic",
        "set-cookie": "__Host-session=planted",
        "x-secret": "1",
    }
    found, _ = await log_in(UpstreamReply(status, headers, b"why", ("__Host-session=planted",)))

    assert isinstance(found, Reply)
    assert (found.status, found.body, found.cookies) == (status, b"why", ())
    assert found.headers == {
        "Content-Type": "application/problem+json",
        "Retry-After": "30",
        "Cache-Control": "no-store",
    }


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (UpstreamReply(500, JSON, b"Traceback"), "it answers 500"),
        (UpstreamReply(503, JSON, b'{"sub": "1"}'), "it answers 503"),
        (UpstreamReply(302, {"location": "/elsewhere"}, b'{"sub": "1"}'), "it answers 302"),
        (UpstreamReply(304, {}, b""), "it answers 304"),
        (UpstreamReply(204, {}, b""), "no JSON object"),
        (UpstreamReply(200, {"content-type": "text/html"}, b"<html>"), "no JSON object"),
        (UpstreamReply(200, JSON, b"[]"), "no JSON object"),
        (UpstreamReply(200, JSON, b'{"token": "s3cret"}'), "no `sub`"),
        (GatewayError(Kind.RESPONSE_TIMEOUT, cause="auth did not answer in 5.0 s"), "did not answer in 5.0 s"),
        (GatewayError(Kind.UPSTREAM_BODY_TOO_LARGE), "upstream_body_too_large"),
        (GatewayError(Kind.NO_ENDPOINT, cause="no endpoint"), "no endpoint"),
    ],
)
async def test_what_is_no_answer_lets_nobody_in(
    answer: UpstreamReply | GatewayError, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(GatewayError) as caught:
        await log_in(answer)

    error = caught.value
    assert (error.kind, error.answer.status) == (Kind.AUTH_UNAVAILABLE, 503)
    assert why in error.cause
    assert why not in error.detail
    assert why in caplog.text
    for secret in ("lovelace", "s3cret", "Traceback"):
        assert secret not in caplog.text + repr(error)


async def test_an_upstream_that_went_with_a_reload_is_no_answer() -> None:
    class Gone(FakeUpstream):
        async def request(self, *args: Any, **options: Any) -> UpstreamReply:
            raise LookupError("no upstream 'auth' in this configuration")

    service = AuthService(LoginOptions("auth"), Gone(), logging.getLogger("gateway.test"))

    with pytest.raises(GatewayError, match="auth_unavailable"):
        await service.log_in(make_exchange("POST", headers={"Content-Type": "application/json"}))


async def test_its_answer_is_bounded() -> None:
    limits: list[Any] = []

    class Noting(FakeUpstream):
        async def request(self, *args: Any, **options: Any) -> UpstreamReply:
            limits.append(options["max_body"])
            return GOOD

    service = AuthService(LoginOptions("auth"), Noting(), logging.getLogger("gateway.test"))
    await service.log_in(make_exchange("POST", headers={"Content-Type": "application/json"}))

    assert limits == [MAX_BODY]


@pytest.mark.parametrize(
    ("answer", "claims"),
    [
        ({"sub": "1"}, {"sub": "1"}),
        ({"sub": "1", "roles": ["a"], "token_type": "Bearer", "expires_in": 5}, {"sub": "1", "roles": ["a"]}),
        ({"sub": "1", "access_token": "opaque"}, {"sub": "1"}),
        ({"sub": "1", "access_token": "a.b.c"}, {"sub": "1"}),
        ({"sub": "1", "access_token": f"x.{urlsafe_b64encode(b'[1]').decode()}.y"}, {"sub": "1"}),
        ({"sub": "1", "access_token": 5, "refresh_token": None, "id_token": "a"}, {"sub": "1"}),
        ({"sub": "beside", "access_token": access_token(sub="inside")}, {"sub": "inside"}),
        (
            {
                "access_token": access_token(
                    sub="1", roles=["a"], iss="i", aud="a", exp=1, nbf=1, iat=1, jti="j", preferred_username="Zoë"
                )
            },
            {"sub": "1", "roles": ["a"], "preferred_username": "Zoë"},
        ),
    ],
)
def test_claims(answer: dict[str, Any], claims: dict[str, Any]) -> None:
    assert read_answer(orjson.dumps(answer)).claims == claims


def test_tokens_are_kept_apart() -> None:
    token = access_token(sub="1")
    found = read_answer(orjson.dumps({"access_token": token, "refresh_token": "rt", "id_token": "it"}))

    assert found.tokens == {"access_token": token, "refresh_token": "rt"}


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"sub": ""},
        {"sub": 1},
        {"sub": None},
        {"sub": ["1"]},
        {"user": "ada"},
        {"access_token": access_token(name="ada")},
        {"sub": "beside", "access_token": access_token(name="ada")},
    ],
)
def test_nobody_is_nobody(answer: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has no `sub`"):
        read_answer(orjson.dumps(answer))


@pytest.mark.parametrize("body", [b"", b"\xff", b"null", b'{"sub": "1"', b'{"a":' * 5000])
def test_rubbish_is_nobody(body: bytes) -> None:
    with pytest.raises(ValueError, match="no JSON object") as caught:
        read_answer(body)

    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "found"), [(None, ""), ("", ""), ("a/b", "a/b"), (" A/B ;c=d", "a/b"), (";", ""), ("a/b, c/d", "a/b, c/d")]
)
def test_media_types(text: str | None, found: str) -> None:
    assert media_type(text) == found
