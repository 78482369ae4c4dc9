"""What auth_delegation can be told, and how it is said what is wrong with that."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.auth.delegation_options import DelegationOptions, Rule
from gateway.config.document import parse
from gateway.config.options import build_options
from gateway.config.plugin_use import PluginUse


def loaded(text: str) -> tuple[Any, list[str]]:
    """The options in a file's line 1, and what is wrong with them, each behind its column."""
    root = parse("f.yaml", f"auth_delegation: {{upstream: auth, {text}}}\n".encode()).root
    assert root is not None
    built, problems = build_options(DelegationOptions, PluginUse.parse(root.plain(), root))
    return built, [str(problem).removeprefix("f.yaml:1:") for problem in problems]


def options(text: str = "") -> DelegationOptions:
    built, problems = loaded(text)
    assert problems == []
    assert isinstance(built, DelegationOptions)
    return built


def test_nothing_said() -> None:
    given = options()

    assert (given.path, given.method, given.dialect, given.timeout) == ("/", None, "traefik", 0.5)
    assert (given.status_on_error, given.fail, given.cache, given.with_body) == (503, "closed", None, None)
    assert given.send_headers == ("Authorization", "Cookie")
    assert given.copy_on_allow == ()
    assert given.copy_on_deny == ("Location", "Retry-After", "Set-Cookie", "WWW-Authenticate")
    assert (given.breaker.requests, given.breaker.errors, given.breaker.sleep) == (20, 0.5, 5)


def test_everything_said() -> None:
    given = options(
        "path: /check?by=gateway, method: original, send_headers: [X-Api-Key], copy_on_allow: [X-User, X-Roles],"
        " copy_on_deny: [X-Reason], timeout: 200ms, status_on_error: 403, fail: open, dialect: nginx,"
        " principal: X-User,"
        " cache: {by: [x-api-key, Accept], ttl: 30s, negative_ttl: 0, max: 2, per: credential},"
        " when: [{methods: [POST, M-SEARCH]}, {routes: [a]}], breaker: {requests: 3, mode: observe}, name: door"
    )

    assert (given.path, given.method, given.timeout, given.name) == ("/check?by=gateway", "original", 0.2, "door")
    assert given.cache is not None
    assert (given.cache.ttl, given.cache.negative_ttl, given.cache.max, given.cache.per) == (30, 0, 2, "credential")
    assert given.identities == ("X-User", "X-Roles")
    assert options("copy_on_allow: [X-Forwarded-User]").identities == ("X-Forwarded-User",)
    assert options("with_body: {}").with_body is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path: verify", "'verify' is no path; write one such as /verify"),
        ("path: '/a b'", "'/a b' is no path"),
        ("path: '/a#b'", "'/a#b' is no path"),
        ('path: "/a\\r\\nX: 1"', "is no path"),
        ("path: /über", "is no path"),
        ("path: ''", "is no path"),
        ("timeout: 0", "write a timeout such as 500ms"),
        ("status_on_error: 200", "status_on_error is 400 to 599"),
        ("status_on_error: 302", "status_on_error is 400 to 599"),
        ("status_on_error: 600", "status_on_error is 400 to 599"),
        ("send_headers: ['X A']", "'X A' is no header name; write one such as X-Api-Key"),
        ('send_headers: ["X-A\\r\\nX-B"]', "is no header name"),
        ("send_headers: ['']", "is no header name"),
        ("send_headers: [X-A, x-a]", "send_headers has x-a twice"),
        ("copy_on_allow: ['X:A']", "'X:A' is no header name"),
        ("copy_on_allow: [X-A, X-B, X-A]", "copy_on_allow has X-A twice"),
        ("copy_on_deny: [Größe]", "is no header name"),
        ("copy_on_deny: [Location, LOCATION]", "copy_on_deny has LOCATION twice"),
        ("send_headers: [X-Forwarded-Uri]", "X-Forwarded-Uri is the gateway's own to tell"),
        ("send_headers: [x_forwarded_for]", "x_forwarded_for is the gateway's own to tell"),
        ("send_headers: [X-Original-URI]", "X-Original-URI is the gateway's own to tell"),
        ("send_headers: [X_Original_Method]", "X_Original_Method is the gateway's own to tell"),
        ("send_headers: [Host]", "Host is the gateway's own to tell"),
        ("send_headers: [Forwarded]", "Forwarded is the gateway's own to tell"),
        ("send_headers: [x-request-id]", "x-request-id is the gateway's own to tell"),
        ("send_headers: [traceparent]", "traceparent is the gateway's own to tell"),
        ("send_headers: [Content-Length]", "Content-Length is the gateway's own to tell"),
        ("send_headers: [Transfer-Encoding]", "Transfer-Encoding is the gateway's own to tell"),
        ("send_headers: [Connection]", "Connection is the gateway's own to tell"),
        ("send_headers: [Expect]", "Expect is the gateway's own to tell"),
        ("copy_on_allow: [Authorization], send_headers: [Cookie]", "Authorization would be taken out of every client"),
        ("copy_on_allow: [Host]", "Host is the gateway's own to tell"),
        ("copy_on_allow: [Content-Length]", "Content-Length is the gateway's own to tell"),
        ("copy_on_allow: [Proxy-Authorization]", "Proxy-Authorization is the gateway's own to tell"),
        ("copy_on_allow: [X-Forwarded-For]", "X-Forwarded-For has a meaning of its own"),
        ("copy_on_allow: [X-A], principal: X-B", "principal is one of copy_on_allow"),
        ("breaker: {fallback: {text: hello}}", "it has no fallback, scope or name"),
        ("breaker: {scope: endpoint}", "it has no fallback, scope or name"),
        ("breaker: {name: b}", "it has no fallback, scope or name"),
        ("breaker: {requests: 0}", "requests should be more than 0"),
        ("with_body: {max: 0}", "max is how long a body may be; write 8KiB"),
        ("cache: {by: []}", "by is empty, so everybody would share one answer"),
        ("cache: {by: ['X A']}", "'X A' is no header name"),
        ("cache: {by: [Cookie, Authorization, cookie]}", "by has cookie twice"),
        ("cache: {max: 1}", "max is the most answers that are kept"),
        ("cache: {by: [Authorization]}", "the service decides by Cookie, and the cache does not"),
        ("cache: {}, send_headers: [Authorization, X-Api-Key]", "list it in cache.by, or leave it out of send_headers"),
        ("cache: {}, with_body: {}", "the service decides by the body, and the cache does not"),
        ("when: [{}]", "a rule names routes or methods"),
        ("when: [{methods: [post]}]", "'post' is no method; write POST"),
        ("when: [{methods: ['']}]", "'' is no method; write POST"),
        ("when: [{methods: ['GE T']}]", "'GE T' is no method"),
        ("dialect: caddy", "'traefik', 'nginx' or 'envoy'"),
        ("method: HEAD", "'GET' or 'original'"),
        ("fail: opn", "'closed' or 'open'"),
        ("cache: {ttl: soon}", "from_response"),
        ("tiemout: 1s", "unknown key 'tiemout'; did you mean 'timeout'?"),
        ("cache: {negative: 1s}", "unknown key 'negative'"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    built, problems = loaded(text)

    assert built is None
    assert len(problems) == 1
    assert said in problems[0]


def test_what_is_wrong_has_its_place() -> None:
    _, problems = loaded("cache: {max: 1}, when: [{methods: [POST]}, {methods: [get]}]")

    assert [problem.partition(" ")[0] for problem in problems] == ["42:", "78:"]


def test_a_service_is_named() -> None:
    _, problems = build_options(DelegationOptions, PluginUse("auth_delegation", {}))

    assert [problem.message for problem in problems] == ["missing key 'upstream'"]


@pytest.mark.parametrize(
    ("routes", "methods", "asked"),
    [
        ((), ("POST",), {("a", "POST"), ("b", "POST")}),
        ((), ("GET",), {("a", "GET"), ("a", "HEAD"), ("b", "GET"), ("b", "HEAD")}),
        ((), ("HEAD",), {("a", "HEAD"), ("b", "HEAD")}),
        (("a",), (), {("a", "GET"), ("a", "HEAD"), ("a", "POST")}),
        (("b", "c"), ("POST", "PUT"), {("b", "POST")}),
    ],
)
def test_what_a_rule_is_about(routes: tuple[str, ...], methods: tuple[str, ...], asked: set[tuple[str, str]]) -> None:
    rule = Rule(routes, methods)

    requests = [(route, method) for route in ("a", "b") for method in ("GET", "HEAD", "POST")]
    assert {request for request in requests if rule.fits(*request)} == asked


def test_routes_that_rules_name_and_nobody_has() -> None:
    given = options("when: [{routes: [b, a, c]}, {routes: [d], methods: [GET]}, {methods: [PUT]}]")

    assert given.unknown_routes(["a", "x"]) == ["b", "c", "d"]
    assert given.unknown_routes("abcd") == []


def test_what_answers_are_about() -> None:
    whole, credential = options("cache: {}").cache, options("cache: {per: credential}").cache

    assert whole is not None
    assert whole.fields == (b"authorization", b"cookie", b"x-forwarded-proto")
    assert credential is not None
    assert credential.fields == (b"authorization", b"cookie")


def test_what_the_service_is_told_of_the_clients_headers() -> None:
    assert options().sent == ("Authorization", "Cookie")
    assert options("with_body: {}").sent == ("Authorization", "Cookie", "Content-Type", "Content-Encoding")
    assert options("with_body: {}, send_headers: [content-type]").sent == ("content-type", "Content-Encoding")


def test_a_credential_that_is_replaced_is_no_identity_of_others() -> None:
    given = options("send_headers: [Authorization, X-Api-Key], copy_on_allow: [authorization, X-User, X-Api-Key]")

    assert given.identities == ("X-User",)
    assert set(given.credentials) == {"authorization", "X-Api-Key", "X_Api_Key", "X_Api-Key", "X-Api_Key"}


def test_a_rule_names_a_route_of_every_frontend_or_of_one() -> None:
    rules = options("when: [{routes: [pay, mobile/buy]}]").when
    fitting = [one for one in ("pay", "mobile/pay", "buy", "mobile/buy", "web/buy") if rules[0].fits(one, "GET")]
    assert fitting == ["pay", "mobile/pay", "mobile/buy"]
    assert options("when: [{routes: [pay, web/buy, x]}]").unknown_routes(["mobile/pay", "web/buy"]) == ["x"]
