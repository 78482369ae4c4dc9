"""Why a request belongs to a frontend: each condition with its verdict."""

from __future__ import annotations

import pytest

from gateway.routing.explain_frontend import Choice, explain_frontend
from gateway.routing.frontend import Frontend, Frontends
from gateway.routing.predicates import HeaderPredicate
from gateway.routing.router import Router
from gateway.testing import make_exchange

NO_ROUTES = Router(())
MOBILE = Frontend("mobile", NO_ROUTES, prefix="/mobile", headers=[HeaderPredicate("X-Client", "m")], order=0)
DEEP = Frontend("deep", NO_ROUTES, prefix="/mobile/deep", order=1)
WEB = Frontend("web", NO_ROUTES, hosts=["web.test", "*.test"], order=2)
KEY = Frontend("key", NO_ROUTES, prefix="/mobile", headers=[HeaderPredicate("Cookie", "a=b")], order=3)
LONE = Frontend("lone", NO_ROUTES)
ALL = Frontends([MOBILE, DEEP, WEB, KEY, LONE])


def explained(path: str, host: str = "a", headers: dict[str, str] | None = None, named: str = "") -> Choice:
    return explain_frontend(ALL, host, path, make_exchange("GET", path, headers), named)


def verdicts(choice: Choice) -> dict[str, str]:
    return {one.frontend.name: f"{one.verdict} {one.why}".strip() for one in choice.judged}


def test_chosen_refused_and_later() -> None:
    choice = explained("/mobile/deep/x", "a", {"X-Client": "m"})
    assert (choice.frontend, choice.path, choice.status) == (DEEP, "/x", None)
    assert choice.why == "before mobile: its prefix /mobile/deep is longer than /mobile"
    assert verdicts(choice) == {
        "deep": "chosen",
        "mobile": "later deep is before it: its prefix /mobile/deep is longer than /mobile",
        "key": "refused header Cookie is 'a=b', and it is absent",
        "web": "refused host is web.test or *.test, and it is a",
    }
    checks = [(check.kind, check.wanted, check.found, check.passed) for check in choice.judged[1].checks]
    assert checks == [
        ("prefix", "path begins with /mobile", "/mobile/deep/x", True),
        ("header", "header X-Client is 'm'", "'m'", True),
    ]


@pytest.mark.parametrize(
    ("path", "host", "headers", "name", "why"),
    [
        ("/x", "web.test", {}, "web", "the only frontend that fits"),
        ("/mobile/deep", "web.test", {}, "web", "before deep: its host web.test is more specific than any host"),
        ("/mobile", "a", {"X-Client": "m", "Cookie": "a=b"}, "mobile", "before key: its file comes first"),
        ("/x", "a", {}, "", "no frontend fits"),
    ],
)
def test_why(path: str, host: str, headers: dict[str, str], name: str, why: str) -> None:
    choice = explained(path, host, headers)
    assert (choice.frontend.name if choice.frontend else "", choice.why) == (name, why)


def test_more_headers_go_first() -> None:
    more = Frontend("more", NO_ROUTES, prefix="/mobile", headers=[HeaderPredicate("A", "1"), HeaderPredicate("B", "1")])
    found = explain_frontend(
        Frontends([MOBILE, more]), "a", "/mobile", make_exchange("GET", "/", {"A": "1", "B": "1", "X-Client": "m"})
    )
    assert (found.frontend, found.why) == (more, "before mobile: it asks for more headers (2 to 1)")


def test_values_that_are_nobodys_business() -> None:
    choice = explained("/mobile", "a", {"Cookie": "session=geheim"})
    assert "geheim" not in repr(choice.judged)


def test_a_path_with_two_readings() -> None:
    choice = explained("/%6dobile/deep")
    assert (choice.frontend, choice.status) == (None, 400)
    assert choice.why == "another reading of the path leads to another frontend"


def test_as_if_it_came_to_its_listener() -> None:
    for frontend, path in ((LONE, "/x"), (WEB, "/x"), (DEEP, "/mobile/deep/x")):
        choice = explained(path, "nowhere.example", named=frontend.name)
        assert (choice.frontend, choice.path, choice.status) == (frontend, "/x", None)
    choice = explained("/x", named="deep")
    assert (choice.frontend, choice.status, choice.why) == (DEEP, 404, "the path does not begin with /mobile/deep")
    assert explained("/mobile/../x", named="deep").status == 404
    choice = explained("/%6dobile/deep", named="deep")
    assert (choice.frontend, choice.status) == (DEEP, 400)
