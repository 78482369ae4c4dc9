"""What the session plugin's options may be."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.auth.session_options import LoginOptions, SessionOptions, TokenOptions
from gateway.config.document import parse
from gateway.config.options import build_options
from gateway.config.plugin_use import PluginUse
from gateway.units import Duration, Secret


def loaded(text: str) -> tuple[Any, list[str]]:
    root = parse("f.yaml", f"session: {text}\n".encode()).root
    assert root is not None
    built, problems = build_options(SessionOptions, PluginUse.parse(root.plain(), root))
    return built, [str(problem) for problem in problems]


def options(text: str) -> SessionOptions:
    built, problems = loaded(text)
    assert problems == []
    assert isinstance(built, SessionOptions)
    return built


def test_only_the_upstream_has_to_be_said() -> None:
    assert options("{login: {upstream: auth}}") == SessionOptions(
        login=LoginOptions("auth", "/login", "/login"),
        logout="/logout",
        jwks="/.well-known/jwks.json",
        cookie="__Host-session",
        secure=True,
        same_site="Lax",
        idle=Duration("30m"),
        max_age=Duration("12h"),
        optional=False,
        token=TokenOptions(Duration("2m"), None, None, None, None, "EdDSA"),
        claims_to_headers={},
        origins=(),
    )


def test_everything_said() -> None:
    built = options(
        "{login: {upstream: auth, path: /in, forward_to: '/v1/login?x=1'}, logout: /out, jwks: /keys, cookie: session,"
        " secure: false, same_site: Strict, idle: 1m, max_age: 1h, optional: true, claims_to_headers: {sub: X-User},"
        " token: {ttl: 1m, audience: all, issuer: me, key: pem, algorithm: ES256},"
        " origins: ['https://App.example.com', 'http://[::1]:3000']}"
    )

    assert built.login == LoginOptions("auth", "/in", "/v1/login?x=1")
    assert built.token.key == Secret("pem")
    assert "pem" not in repr(built)
    assert built.origins == ("https://App.example.com", "http://[::1]:3000")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "login"),
        ("{login: {upstream: a, path: login}}", "'login' is no path to answer at; write one such as /login"),
        ("{login: {upstream: a, path: /login/}}", "without a slash behind"),
        ("{login: {upstream: a}, logout: /a/../b}", "'/a/../b' is no path to answer at"),
        ("{login: {upstream: a}, logout: /a/.}", "no path to answer at"),
        ("{login: {upstream: a}, jwks: '/{x}'}", "no path to answer at"),
        ("{login: {upstream: a}, jwks: /a%2Fb}", "no path to answer at"),
        ("{login: {upstream: a}, logout: /login}", "three paths; give each its own"),
        ("{login: {upstream: a, forward_to: login}}", "'login' is no path of the upstream"),
        ("{login: {upstream: a, forward_to: '/a b'}}", "no path of the upstream"),
        ("{login: {upstream: a}, cookie: 'a b'}", "'a b' is no name for a cookie"),
        ("{login: {upstream: a}, cookie: session}", "write __Host-session, or `secure: false`"),
        ("{login: {upstream: a}, cookie: __host-session}", "other sites could plant"),
        ("{login: {upstream: a}, secure: false}", "browsers refuse a cookie named __Host-session; write"),
        ("{login: {upstream: a}, secure: false, cookie: __SECURE-a}", "browsers refuse a cookie named __SECURE-a"),
        ("{login: {upstream: a}, same_site: None}", "same_site"),
        ("{login: {upstream: a}, idle: 0}", "idle should be more than 0, such as 30m"),
        ("{login: {upstream: a}, idle: 2h, max_age: 1h}", "not less than idle (2h)"),
        ("{login: {upstream: a}, token: {ttl: 10s}}", "token.ttl should be more than 10s, such as 2m"),
        ("{login: {upstream: a}, token: {key: secret-text, key_file: b}}", "two places for one key"),
        ("{login: {upstream: a}, token: {audience: ''}}", "not empty"),
        ("{login: {upstream: a}, token: {issuer: ''}}", "not empty"),
        ("{login: {upstream: a}, token: {algorithm: HS256}}", "algorithm"),
        ("{login: {upstream: a}, claims_to_headers: {sub: Authorization}}", "Authorization would be taken out"),
        ("{login: {upstream: a}, claims_to_headers: {sub: X_CSRF-Token}}", "X_CSRF-Token would be taken out"),
        ("{login: {upstream: a}, claims_to_headers: {sub: Host}}", "Host has a meaning of its own"),
        ("{login: {upstream: a}, origins: ['https://a.example/']}", "is no origin; write one such as https://app"),
        ("{login: {upstream: a}, origins: ['*']}", "'*' is no origin"),
        ("{login: {upstream: a}, origins: ['null']}", "'null' is no origin"),
    ],
)
def test_what_cannot_be(text: str, said: str) -> None:
    built, problems = loaded(text)

    assert built is None
    assert said in " ".join(problems)
