"""The rules that join several values, also in a file that does not validate."""

import pytest

from gateway.config.checks import check
from gateway.config.document import parse

UPSTREAMS = "upstreams: {catalog: {}, auth: {}}\n"


def checked(text: str) -> list[str]:
    root = parse("f.yaml", text.encode()).root
    assert root is not None
    return [str(problem) for problem in check(root)]


@pytest.mark.parametrize(
    ("text", "problem"),
    (
        ("routes: [{name: r}]", "f.yaml:1:10: missing key 'to' in route 'r'; a route has one of to, redirect, respond"),
        ("routes: [{name: r, redirect: {}, respond: {}}]", "1:34: both 'redirect' and 'respond' in route 'r'"),
        ("routes: [{name: r, respond: {}, rewrite: {}}]", "1:33: 'rewrite' without 'to' in route 'r'"),
        ("routes: [{name: r, respond: {}, sticky: path}]", "1:33: 'sticky' without 'to' in route 'r'"),
        ("routes: [{name: r, respond: {}, importance: low}]", "1:33: 'importance' without 'to' in route 'r'"),
        ("routes: [{name: r, respond: {}, timeouts: {}}]", "1:33: 'timeouts' without 'to' in route 'r'"),
        (
            "routes: [{name: r, redirect: {}, upgrade: [websocket]}]",
            "1:34: 'upgrade' without 'to' in route 'r'; it is for what goes to an upstream",
        ),
        ("routes: [{name: r, compose: {}, websocket: {idle: 1h}}]", "1:33: 'websocket' without 'to' in route 'r'"),
        (
            UPSTREAMS + "routes: [{name: r, to: auth, websocket: {idle: 1h}}]",
            "2:30: 'websocket' without 'upgrade' in route 'r'; add upgrade: [websocket]",
        ),
        (
            UPSTREAMS + "routes: [{name: r, to: auth, upgrade: [], websocket: {}}]",
            "2:43: 'websocket' without 'upgrade' in route 'r'",
        ),
        (
            UPSTREAMS + "routes: [{name: r, redirect: {}, mirror: {to: auth}}]",
            "2:34: 'mirror' without 'to' in route 'r'; it is for what goes to an upstream",
        ),
        (
            UPSTREAMS + "routes: [{name: r, to: auth, mirror: {to: catalogue}}]",
            "2:43: unknown upstream 'catalogue'; did you mean 'catalog'?",
        ),
        (
            UPSTREAMS + "routes: [{name: r, to: catalogue}]",
            "f.yaml:2:24: unknown upstream 'catalogue'; did you mean 'catalog'?",
        ),
        (
            UPSTREAMS + "routes: [{to: [{upstream: banana}]}]",
            "2:27: unknown upstream 'banana'; there are: auth, catalog",
        ),
        ("routes: [{to: a}]", "1:15: unknown upstream 'a'; there is none"),
        (UPSTREAMS + "routes: [{to: [{upstream: auth, weight: 0}]}]", "2:15: every weight is 0"),
        (
            "routes: [{name: r, respond: {}}, {name: r, respond: {}}]",
            "1:41: two routes are named 'r'; the other is at f.yaml:1:17",
        ),
        ("routes: [{name: r, respond: {text: a, json: b}}]", "1:39: 'text' and 'json' in one answer"),
        ("routes: [{name: r, respond: {status: 204, text: a}}]", "1:43: an answer 204 has no body"),
        ("admin: {bind: 0.0.0.0:9901}", "1:15: admin: an address that others can reach needs a token; add token"),
        ("admin: {bind: ':9901', token: ''}", "1:31: admin: an address that others can reach"),
        ("listeners: [{bind: a:1}, {bind: a:1}]", "1:33: two listeners on a:1; the other is at f.yaml:1:20"),
        ("listeners: [{bind: localhost:1}]\nadmin: {bind: localhost:1}", "2:15: two listeners on localhost:1"),
        ("tests: [{expect: {}}]", "1:18: expects nothing"),
        ("tests: [{expect: {route: ~}}]", "1:18: expects nothing"),
        ("tests: [{expect: {route: r}}]", "1:26: unknown route 'r'; there is none"),
        (UPSTREAMS + "tests: [{expect: {upstream: aut}}]", "2:29: unknown upstream 'aut'; did you mean 'auth'?"),
    ),
)
def test_what_is_wrong(text: str, problem: str) -> None:
    (found,) = checked(text)
    assert problem in found


@pytest.mark.parametrize(
    "text",
    (
        UPSTREAMS + "routes: [{name: r, to: catalog, rewrite: {}}]",
        UPSTREAMS + "routes: [{to: catalog, sticky: path, mirror: {to: auth}, importance: low, timeouts: {}}]",
        UPSTREAMS + "routes: [{to: catalog, mirror: {}}, {to: catalog, mirror: auth}, {to: catalog, mirror: {to: 5}}]",
        UPSTREAMS + "routes: [{name: r, to: [{upstream: auth, weight: 0}, {upstream: catalog}]}]",
        "admin: {bind: 127.0.0.1:1}",
        "admin: {bind: 0.0.0.0:1, token: x}",
        "listeners: [{bind: 'a:0'}, {bind: 'a:0'}]",
        "routes: [{name: r, too: x}]",
    ),
)
def test_what_is_right_or_told_elsewhere(text: str) -> None:
    assert checked(text) == []


def test_a_tree_of_the_wrong_shape_is_left_to_the_validation() -> None:
    assert checked("admin: 1\nlisteners: [1]\nroutes: {a: 1}\nupstreams: []\ntests: [[]]") == []
    assert checked("routes: [1, {name: [], respond: 5}, {name: 7, to: 5}]\nadmin: {bind: 5}") == []


def test_listeners() -> None:
    text = UPSTREAMS + "listeners: [{bind: 'unix:/run/a', passthrough: [{names: [a.b, A.b], to: banana}]}]\n"
    assert checked(text + "admin: {bind: 'unix:///run/a'}") == [
        "f.yaml:3:15: two listeners on unix:/run/a; the other is at f.yaml:2:20",
        "f.yaml:2:73: unknown upstream 'banana'; there are: auth, catalog",
        "f.yaml:2:63: 'a.b' is passed through twice; the other is at f.yaml:2:58",
    ]
    assert checked(UPSTREAMS + "listeners: [{bind: ':0', passthrough: [{names: [a.b], to: auth}]}]\n") == []
