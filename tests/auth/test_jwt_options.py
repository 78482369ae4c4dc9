"""What the jwt plugin's options may be, and what is said of those that may not."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.auth.jwt_options import Algorithm, IssuerOptions, JwtOptions
from gateway.auth.key_set import KEY_TYPES
from gateway.auth.remote_keys import KeyPlace
from gateway.auth.tokens import TokenPolicy
from gateway.config.document import parse
from gateway.config.options import build_options
from gateway.config.plugin_use import PluginUse
from gateway.units import Duration, Secret

URL = "https://id.example"
# An issuer with the rest of what it needs: `%s` is more.
ONE = '{issuers: [{issuer: "https://id.example", audience: api, discovery: true%s}]}'
WITH = '{issuers: [{issuer: "https://id.example", audience: api, discovery: true}], %s}'


def loaded(text: str) -> tuple[Any, list[str]]:
    root = parse("f.yaml", f"jwt: {text}\n".encode()).root
    assert root is not None
    built, problems = build_options(JwtOptions, PluginUse.parse(root.plain(), root))
    return built, [str(problem).removeprefix("f.yaml:1:") for problem in problems]


def options(text: str) -> JwtOptions:
    built, problems = loaded(text)
    assert problems == []
    assert isinstance(built, JwtOptions)
    return built


def test_little_has_to_be_said() -> None:
    found = options(ONE % "")
    (issuer,) = found.issuers

    assert issuer.policy(found.require) == TokenPolicy(URL, ("api",), frozenset(["RS256"]), 30.0, ("exp",))
    assert (issuer.is_remote, issuer.place()) == (True, KeyPlace(URL))
    assert (found.claims_to_headers, found.scopes, found.optional, found.revocation) == ({}, (), False, False)


def test_everything_said() -> None:
    found = options(
        '{issuers: [{issuer: a, audience: [api, web], algorithms: [ES256, EdDSA], jwks: "http://keys.example/jwks",'
        " insecure_http: true, leeway: 5s}, {issuer: b, audience: api, algorithms: [HS256], key: top secret}],"
        " claims_to_headers: {sub: X-User-Id, realm_access.roles: X-Roles}, scopes: ['items:read', b],"
        " require: [exp, sub, 'https://id.example/claims'], optional: true, revocation: true}"
    )
    first, second = found.issuers

    assert first.policy(("exp",)) == TokenPolicy("a", ("api", "web"), frozenset(["ES256", "EdDSA"]), 5.0, ("exp",))
    assert first.place() == KeyPlace("a", "http://keys.example/jwks", True)
    assert not second.is_remote
    assert second.key is not None
    assert second.key.reveal() == "top secret"
    assert found.claims_to_headers == {"sub": "X-User-Id", "realm_access.roles": "X-Roles"}
    assert (found.scopes, found.optional, found.revocation) == (("items:read", "b"), True, True)
    assert found.require == ("exp", "sub", "https://id.example/claims")


def test_the_key_is_not_shown() -> None:
    found = options("{issuers: [{issuer: b, audience: api, algorithms: [HS256], key: top secret}]}")

    assert "top secret" not in repr(found)
    assert "top secret" not in str(found)
    assert "***" in repr(found)


def test_every_algorithm_that_can_be_named_is_known() -> None:
    assert set(Algorithm.__args__) == set(KEY_TYPES)
    assert "none" not in Algorithm.__args__


def test_two_that_say_the_same_are_equal() -> None:
    """So that a reload keeps the instance."""
    assert options(ONE % "") == options(ONE % ", leeway: 30s, algorithms: [RS256]")
    assert options(ONE % "") != options(ONE % ", leeway: 31s")


WRONG = [
    ("{}", "6: missing key 'issuers'"),
    ("{issuers: []}", "6: issuers is empty, so no token could be accepted; list one"),
    ("{issuers: [{audience: api, discovery: true}]}", "missing key 'issuer' in issuers[0]"),
    ('{issuers: [{issuer: "https://id.example", discovery: true}]}', "missing key 'audience' in issuers[0]"),
    (
        "{issuers: [{issuer: a, audience: api}]}",
        "the issuer a has keys from one place",
    ),
    (ONE % ", key: x", "has keys from one place: jwks, discovery, key or key_file"),
    (ONE % ", key_file: x", "has keys from one place"),
    (ONE % ', jwks: "https://id.example/jwks"', "has keys from one place"),
    ("{issuers: [{issuer: a, audience: api, key: x, key_file: y}]}", "has keys from one place"),
    ("{issuers: [{issuer: '', audience: api, key: x}]}", "neither is empty"),
    ("{issuers: [{issuer: a, audience: '', key: x}]}", "neither is empty"),
    ("{issuers: [{issuer: a, audience: [], key: x}]}", "neither is empty"),
    ("{issuers: [{issuer: a, audience: [api, ''], key: x}]}", "neither is empty"),
    ("{issuers: [{issuer: a, audience: 1, key: x}]}", "audience"),
    ("{issuers: [{issuer: 1, audience: api, key: x}]}", "issuer"),
    (ONE % ", algorithms: []", "algorithms is empty, so no token could be verified; write [RS256]"),
    (ONE % ", algorithms: [none]", "none"),
    (ONE % ", algorithms: [rs256]", "rs256"),
    (ONE % ", algorithms: RS256", "algorithms"),
    (ONE % ", algorithms: [RS256, RS256]", "an algorithm is listed twice; list each once"),
    (ONE % ", algorithms: [HS256]", "a published key cannot verify HS*"),
    (ONE % ", algorithms: [RS256, HS256]", "a published key cannot verify HS*"),
    (ONE % ", leeway: 61s", "a leeway of more than 60s makes expiry mean little; write 30s"),
    (ONE % ", leeway: soon", "leeway"),
    (ONE % ", leeway: 30", "leeway"),
    (ONE % ", leeway: -1s", "leeway"),
    (ONE % ", leway: 1s", "leway"),
    ("{issuers: [{issuer: a, audience: api, discovery: 'yes'}]}", "discovery"),
    ("{issuers: [{issuer: 'http://id.example', audience: api, discovery: true}]}", "is not https"),
    ("{issuers: [{issuer: id.example, audience: api, discovery: true}]}", "'id.example' is no URL to fetch from"),
    ("{issuers: [{issuer: a, audience: api, jwks: 'http://id.example/jwks'}]}", "or add insecure_http: true"),
    ("{issuers: [{issuer: a, audience: api, jwks: 'https://id.example:x/jwks'}]}", "is no URL to fetch from"),
    ("{issuers: [{issuer: a, audience: api, key: x}, {issuer: a, audience: b, key: y}]}", "an issuer is listed twice"),
    (WITH % "claims_to_headers: {sub: 'X User'}", "'X User' is no header name; write one such as X-User-Id"),
    (WITH % 'claims_to_headers: {sub: "X\\r\\nY"}', "is no header name"),
    (WITH % "claims_to_headers: {sub: ''}", "'' is no header name"),
    (WITH % "claims_to_headers: {sub: 1}", "claims_to_headers"),
    (WITH % "claims_to_headers: {sub: Host}", "Host has a meaning of its own and cannot carry an identity"),
    (WITH % "claims_to_headers: {sub: X_Forwarded_For}", "X_Forwarded_For has a meaning of its own"),
    (WITH % "claims_to_headers: {sub: X-User, name: x_user}", "x_user is set twice; give each a header of its own"),
    (WITH % "scopes: ['a b']", "'a b' is no scope; write one without blanks, such as items:read"),
    (WITH % "scopes: ['']", "'' is no scope"),
    (WITH % "scopes: ['a\"b']", "is no scope"),
    (WITH % "scopes: read", "scopes"),
    (WITH % "require: ['a\"b']", "is no name of a claim; write one such as sub"),
    (WITH % 'require: ["a\\r\\nb"]', "is no name of a claim"),
    (WITH % "require: ['']", "'' is no name of a claim"),
    (WITH % "optional: 1", "optional"),
    (WITH % "revocation: 'on'", "revocation"),
    (WITH % "revokation: true", "revokation"),
]


@pytest.mark.parametrize(("text", "wanted"), WRONG, ids=[wanted[:40] + str(n) for n, (_, wanted) in enumerate(WRONG)])
def test_a_wrong_option_is_told_at_its_place(text: str, wanted: str) -> None:
    built, problems = loaded(text)

    assert built is None
    assert any(wanted in problem for problem in problems), problems
    for problem in problems:
        column, _, message = problem.partition(": ")
        assert column.isdigit()
        assert 6 <= int(column) < len(text) + 6
        assert message.strip()


@pytest.mark.parametrize(
    ("text", "at"),
    (
        (ONE % ", leeway: 61s", "{issuer:"),
        (ONE % ", leeway: soon", "soon"),
        (ONE % ", algorithms: [RS256, none]", "none"),
        (ONE % ", leway: 1s", "leway"),
        (WITH % "scopes: ['a b']", "{issuers"),
        (WITH % "optional: 1", "1}"),
    ),
)
def test_the_place_is_that_of_what_is_wrong(text: str, at: str) -> None:
    _, (problem, *_) = loaded(text)

    assert int(problem.partition(":")[0]) == len("jwt: ") + text.index(at) + 1, problem


@pytest.mark.parametrize("more", ("leeway: 1h", "algorithms: [RS1]", "audience: ''", "typo: 1", "key_file: x"))
def test_a_problem_shows_no_key(more: str) -> None:
    audience = "" if more.startswith("audience") else "audience: api, "
    _, problems = loaded(f"{{issuers: [{{issuer: a, {audience}key: 'top secret', {more}}}]}}")

    assert problems
    assert "top secret" not in "".join(problems)


def test_options_made_in_code() -> None:
    issuer = IssuerOptions("a", "api", ("HS256",), key=Secret("x"), leeway=Duration("0s"))

    assert issuer.audiences == ("api",)
    assert issuer.policy(()).leeway == 0.0
    assert JwtOptions((issuer,)).require == ("exp",)
