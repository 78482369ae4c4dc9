"""What a service is asked in each dialect, and what its answers mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.delegation import LONGEST_KEPT, Unintelligible, max_age, no_decision, question, verdict
from gateway.auth.delegation_options import BodyOptions, CacheOptions, DelegationOptions, Dialect
from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange
from gateway.plugin import Duration, Size, UpstreamReply
from gateway.testing import make_exchange
from gateway.wire.reply_head import reply_head

DIALECTS: tuple[Dialect, ...] = ("traefik", "nginx", "envoy")
# What every dialect is told of `asking()`.
TOLD = {
    "Authorization": "Bearer t",
    "X-Request-Id": "id-1",
    "X-Forwarded-Method": "DELETE",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "shop.example:8080",
    "X-Forwarded-Uri": "/a%20b?x=1&y=%2F",
    "X-Forwarded-For": "192.0.2.1",
}


def options(**given: Any) -> DelegationOptions:
    return DelegationOptions("auth", **given)


def asking(*fields: tuple[str, str], **given: Any) -> Exchange:
    headers = [("Host", "shop.example:8080"), ("Authorization", "Bearer t"), *fields]
    exchange = make_exchange("DELETE", "/a%20b?x=1&y=%2F", headers, **given)
    exchange.request_id = "id-1"
    return exchange


def answer(status: int = 200, body: bytes = b"", cookies: tuple[str, ...] = (), **headers: str) -> UpstreamReply:
    return UpstreamReply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, cookies)


# the question


@pytest.mark.parametrize("path", ["/", "/verify", "/verify?realm=shop"])
def test_traefik(path: str) -> None:
    assert question(asking(), options(path=path)) == ("GET", path, TOLD, b"")


def test_nginx() -> None:
    told = {**TOLD, "X-Original-Method": "DELETE", "X-Original-URI": "/a%20b?x=1&y=%2F"}

    assert question(asking(), options(path="/auth", dialect="nginx")) == ("GET", "/auth", told, b"")


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("/", "/a%20b?x=1&y=%2F"),
        ("/check", "/check/a%20b?x=1&y=%2F"),
        ("/check/", "/check/a%20b?x=1&y=%2F"),
    ],
)
def test_envoy(prefix: str, path: str) -> None:
    told = {**TOLD, "Host": "shop.example:8080"}

    assert question(asking(), options(path=prefix, dialect="envoy")) == ("DELETE", path, told, b"")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_method_may_be_chosen(dialect: Dialect) -> None:
    assert question(asking(), options(dialect=dialect, method="GET")).method == "GET"
    assert question(asking(), options(dialect=dialect, method="original")).method == "DELETE"


def test_a_request_without_query_and_host() -> None:
    exchange = make_exchange("GET", "/a", host="")

    assert question(exchange, options()).headers["X-Forwarded-Uri"] == "/a"
    assert "Host" not in question(exchange, options(dialect="envoy")).headers


FORGED = (
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Uri", "/public"),
    ("x_forwarded_uri", "/public"),
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-Host", "other.example"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-User", "root"),
    ("Forwarded", "for=6.6.6.6"),
    ("X-Original-URI", "/public"),
    ("X-Original-Method", "GET"),
    ("X-Real-Ip", "6.6.6.6"),
    ("X-Request-Id", "6"),
    ("traceparent", "00-1"),
    ("Content-Type", "text/plain"),
    ("Content-Length", "3"),
    ("Transfer-Encoding", "chunked"),
    ("Connection", "close"),
    ("Expect", "100-continue"),
    ("Proxy-Authorization", "Basic YTpi"),
    ("X-User-Id", "1"),
    ("X-Api-Key", "not asked for"),
)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_clients_forge_is_not_told(dialect: Dialect) -> None:
    given = options(dialect=dialect, copy_on_allow=("X-User-Id",))

    assert question(asking(*FORGED), given) == question(asking(), given)


def test_what_a_trusted_peer_tells_of_client_and_scheme() -> None:
    exchange = asking(*FORGED[:7], ("traceparent", "00-1-2-3"), ("tracestate", "a=b"), peer_trusted=True)
    exchange.client_ip = "6.6.6.6"
    headers = question(exchange, options()).headers

    assert {name: headers[name] for name in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")} == {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        # Routes are chosen by Host: so are decisions.
        "X-Forwarded-Host": "shop.example:8080",
    }
    assert (headers["traceparent"], headers["tracestate"]) == ("00-1-2-3", "a=b")
    assert (headers["X-Forwarded-Uri"], headers["X-Forwarded-Method"]) == ("/a%20b?x=1&y=%2F", "DELETE")


def test_several_fields_of_one_name() -> None:
    exchange = asking(("Cookie", "a=1"), ("x-api-key", "k1"), ("cookie", "b=2"), ("X-API-Key", "k2"))
    headers = question(exchange, options(send_headers=("Cookie", "X-Api-Key", "X-None"))).headers

    assert (headers["Cookie"], headers["X-Api-Key"]) == ("a=1; b=2", "k1, k2")
    assert headers.keys() & {"Authorization", "X-None"} == set()


def test_what_plugins_before_have_changed_is_told() -> None:
    exchange = asking()
    exchange.headers.set("Authorization", "Bearer minted")

    assert question(exchange, options()).headers["Authorization"] == "Bearer minted"


BODY = options(with_body=BodyOptions(Size(8)))


@pytest.mark.parametrize("body", [b"", b"\x00\xff\r\n\r\n", None])
def test_the_body_goes_along(body: bytes | None) -> None:
    asked = question(asking(("Content-Type", "a/b"), ("Content-Encoding", "gzip"), body=body), BODY)

    assert asked.body == (body or b"")
    assert asked.headers == {**TOLD, "Content-Type": "a/b", "Content-Encoding": "gzip"}


def test_the_body_stays_here_unless_it_is_wanted() -> None:
    assert question(asking(("Content-Type", "a/b"), body=b"abc"), options()) == ("GET", "/", TOLD, b"")


# the answer

ALLOWED, DENIED, ERROR = "allowed", "denied", "error"


def judged(status: int, dialect: Dialect) -> str:
    try:
        known = verdict(answer(status), options(dialect=dialect))
    except Unintelligible:
        return ERROR
    return ALLOWED if known.reply is None else DENIED


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        # traefik, nginx, envoy
        (200, (ALLOWED, ALLOWED, ALLOWED)),
        (201, (ALLOWED, ALLOWED, ERROR)),
        (204, (ALLOWED, ALLOWED, ERROR)),
        (299, (ALLOWED, ALLOWED, ERROR)),
        (300, (ERROR, ERROR, ERROR)),
        (301, (DENIED, ERROR, DENIED)),
        (302, (DENIED, ERROR, DENIED)),
        (303, (DENIED, ERROR, DENIED)),
        (304, (ERROR, ERROR, ERROR)),
        (305, (ERROR, ERROR, ERROR)),
        (307, (DENIED, ERROR, DENIED)),
        (308, (DENIED, ERROR, DENIED)),
        (399, (ERROR, ERROR, ERROR)),
        (400, (DENIED, ERROR, DENIED)),
        (401, (DENIED, DENIED, DENIED)),
        (402, (DENIED, ERROR, DENIED)),
        (403, (DENIED, DENIED, DENIED)),
        (404, (DENIED, ERROR, DENIED)),
        (429, (DENIED, ERROR, DENIED)),
        (499, (DENIED, ERROR, DENIED)),
        (500, (ERROR, ERROR, ERROR)),
        (502, (ERROR, ERROR, ERROR)),
        (503, (ERROR, ERROR, ERROR)),
        (599, (ERROR, ERROR, ERROR)),
        (600, (ERROR, ERROR, ERROR)),
        (999, (ERROR, ERROR, ERROR)),
    ],
)
def test_verdicts(status: int, expected: tuple[str, str, str]) -> None:
    assert tuple(judged(status, dialect) for dialect in DIALECTS) == expected


def test_what_goes_on_to_services() -> None:
    told = answer(204, x_user_id="5", x_roles="a, b", x_empty="", x_other="no", location="/no", set_cookie="no=1")
    known = verdict(told, options(copy_on_allow=("X-User-Id", "X-Roles", "X-Empty", "X-Absent"), principal="X-User-Id"))

    assert known == ("5", (("X-User-Id", "5"), ("X-Roles", "a, b"), ("X-Empty", "")), None, 0.0, False)
    assert verdict(answer(), options(copy_on_allow=("X-User-Id",), principal="X-User-Id")).principal is None
    assert verdict(told, options(copy_on_allow=("X-User-Id",))).principal is None


def denied(told: UpstreamReply, **given: Any) -> tuple[int, dict[str, str], bytes, tuple[str, ...]]:
    reply = verdict(told, options(**given)).reply
    assert reply is not None
    assert reply_head(reply).status == told.status, "it can be written"
    return reply.status, reply.headers, reply.body, reply.cookies


def test_what_the_client_is_told_of_a_refusal() -> None:
    told = answer(
        302,
        b"go there",
        ("a=1; Path=/", "b=2"),
        content_type="text/plain",
        content_encoding="br",
        location="/login?next=%2Fa",
        retry_after="5",
        www_authenticate="Bearer, Basic",
        set_cookie="a=1; Path=/, b=2",
        x_secret="1",
        server="inside",
        content_length="8",
        cache_control="max-age=600",
    )

    assert denied(told) == (
        302,
        {
            "Content-Type": "text/plain",
            "Content-Encoding": "br",
            "Location": "/login?next=%2Fa",
            "Retry-After": "5",
            "WWW-Authenticate": "Bearer, Basic",
            "Cache-Control": "no-store",
        },
        b"go there",
        ("a=1; Path=/", "b=2"),
    )


def test_what_the_client_is_told_can_be_chosen() -> None:
    told = answer(
        401, b"x", ("a=1",), content_type="a/b", location="/", cache_control="private", x_reason="r", set_cookie="a=1"
    )

    assert denied(told, copy_on_deny=("x-reason",)) == (
        401,
        {"Cache-Control": "no-store", "Content-Type": "a/b", "x-reason": "r"},
        b"x",
        (),
    )
    headers = denied(told, copy_on_deny=("CACHE-CONTROL", "content-type"))[1]
    assert sorted(headers.items()) == [("CACHE-CONTROL", "private"), ("content-type", "a/b")]


# how long an answer may be kept

FROM_RESPONSE = CacheOptions()
FIXED = CacheOptions(ttl=Duration("30s"), negative_ttl=Duration("3s"))


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("max-age=10", 10),
        ("private, max-age=10", 10),
        ("max-age=10,private", 10),
        ("Private , MAX-AGE=10 ,", 10),
        (", ,max-age=10", 10),
        ('max-age="10"', 10),
        ("max-age=10, max-age=5", 5),
        ("max-age=5, max-age=10", 5),
        ('private="x-a, max-age=99", max-age=10', 10),
        ('private="x-a, max-age=99"', 0),
        ('private="\\", max-age=99", max-age=10', 10),
        ("max-age=999999999", 999_999_999),
        ("max-age=0", 0),
        ("", 0),
        (" , ", 0),
        ("private", 0),
        ("s-maxage=10", 0),
        ("x-max-age=10", 0),
        ("max-age", 0),
        ("max-age=", 0),
        ('max-age=""', 0),
        ("max-age=-1", 0),
        ("max-age=1.5", 0),
        ("max-age=1e3", 0),
        ("max-age=٣", 0),
        ("max-age = 10", 0),
        ("max-age=10 s", 0),
        ("max-age=10; private", 0),
        ('max-age="10', 0),
        ("max-age=" + "9" * 5000, 0),
        ("no-store", 0),
        ("max-age=10, no-store", 0),
        ("No-Store, max-age=10", 0),
        ("no-cache, max-age=10", 0),
        ('no-cache="x-a", max-age=10', 0),
        ("max-age=10, no-store=yes", 0),
        ("max-age=10, (", 0),
    ],
)
def test_a_service_says_how_long(field: str, seconds: int) -> None:
    assert max_age(field) == seconds
    assert verdict(answer(cache_control=field), options(cache=FROM_RESPONSE)).seconds == seconds


DIRECTIVES = {
    "private": None,
    'private="x, no-store, max-age=1"': None,
    "s-maxage=1": None,
    "max-age=5": 5,
    'Max-Age="7"': 7,
    "no-store": 0,
    "NO-CACHE": 0,
    'no-cache="x-a"': 0,
}


@given(st.lists(st.sampled_from(sorted(DIRECTIVES)), max_size=5), st.sampled_from([",", ", ", " ,\t", ",,"]))
def test_the_strictest_directive_counts(directives: list[str], separator: str) -> None:
    ages = [age for age in map(DIRECTIVES.get, directives) if age is not None]

    assert max_age(separator.join(directives)) == min(ages, default=0)


@given(st.text(alphabet='max-age=012,"\\ ', max_size=60))
def test_any_cache_control_can_be_read(field: str) -> None:
    assert 0 <= max_age(field) <= 999_999_999


def test_a_service_that_says_nothing_is_asked_again() -> None:
    assert verdict(answer(), options(cache=FROM_RESPONSE)).seconds == 0


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (answer(200), 30),
        (answer(204, cache_control="no-store"), 30),
        (answer(401), 3),
        (answer(403, cache_control="no-store"), 3),
        (answer(401, bytes(LONGEST_KEPT)), 3),
        (answer(401, bytes(LONGEST_KEPT + 1)), 0),
        (answer(302, location="/login"), 0),
        (answer(404), 0),
        (answer(429), 0),
        (answer(200, cookies=("a=1",)), 0),
        (answer(401, cookies=("a=1",)), 0),
    ],
)
def test_what_is_kept_and_what_is_not(told: UpstreamReply, seconds: float) -> None:
    known = verdict(told, options(cache=FIXED))

    assert (known.seconds, known.cookies) == (seconds, bool(told.cookies))


def test_nothing_is_kept_without_a_cache() -> None:
    assert verdict(answer(cache_control="max-age=10"), options()).seconds == 0
    assert verdict(answer(401), options()).seconds == 0


# no answer


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (GatewayError(Kind.CONNECT_FAILED, "no detail", "10.0.0.1:80 refused"), "10.0.0.1:80 refused"),
        (GatewayError(Kind.UPSTREAM_BODY_TOO_LARGE), "upstream_body_too_large"),
        (Unintelligible("it answered 500"), "it answered 500"),
    ],
)
def test_why_there_is_no_decision_is_for_the_log(error: Exception, why: str) -> None:
    told = no_decision(error, options(status_on_error=502))

    assert (told.kind, told.answer.status, told.detail) == (Kind.AUTH_UNAVAILABLE, 502, "")
    assert told.cause == f"auth gave no decision: {why}"
    assert told.failure is None, "no fallback may let it pass"


def test_an_open_breaker_says_when_to_come_back() -> None:
    assert no_decision(GatewayError(Kind.BREAKER_OPEN, retry_after=4.2), options()).retry_after == 4.2
    assert no_decision(Unintelligible("x"), options()).retry_after is None


def test_the_path_is_told_as_it_was_sent() -> None:
    exchange = asking(frontend="mobile", raw_path="/b")
    assert question(exchange, options()).headers["X-Forwarded-Uri"] == "/a%20b?x=1&y=%2F"
