"""Which frontend takes a request: by hosts, prefix and headers, the most specific; and no path that could be read as
another frontend's gets anywhere."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange
from gateway.routing import frontend as module
from gateway.routing.frontend import Frontend, Frontends
from gateway.routing.paths import other_reading
from gateway.routing.predicates import HeaderPredicate
from gateway.routing.router import Router
from gateway.testing import make_exchange

NO_ROUTES = Router(())


def make(name: str, order: int = 0, headers: dict[str, str] | None = None, **options: object) -> Frontend:
    predicates = [HeaderPredicate(*item) for item in (headers or {}).items()]
    return Frontend(name, NO_ROUTES, headers=predicates, order=order, **options)  # type: ignore[arg-type]


def asking(path: str = "/", headers: dict[str, str] | None = None) -> Exchange:
    return make_exchange("GET", path, headers)


def chosen(
    frontends: Sequence[Frontend], host: str = "a", path: str = "/x", headers: dict[str, str] | None = None
) -> tuple[str, str]:
    found, inner = Frontends(frontends).choose(host, path, asking(path, headers))
    return (found.name if found is not None else "", inner)


MOBILE = make("mobile", prefix="/mobile")
HOSTED = make("hosted", 1, hosts=["web.example.com", "www.example.com"])
WILD = make("wild", 2, hosts=["*.example.com"])
CLIENT = make("client", 3, {"X-Client": "tv"})
AGENT = make("agent", 4, {"User-Agent": "~.*(Android|iPhone).*"})
ALL = (MOBILE, HOSTED, WILD, CLIENT, AGENT)


@pytest.mark.parametrize(
    ("host", "path", "headers", "expected"),
    [
        ("a", "/mobile/x", {}, ("mobile", "/x")),
        ("a", "/mobile", {}, ("mobile", "/")),
        ("a", "/mobile/", {}, ("mobile", "/")),
        ("a", "/mobilex", {}, ("", "/mobilex")),
        ("a", "/x/mobile", {}, ("", "/x/mobile")),
        ("a", "/Mobile/x", {}, ("", "/Mobile/x")),
        ("WEB.example.com:8080", "/mobile/x", {}, ("hosted", "/mobile/x")),
        ("www.example.com.", "/", {}, ("hosted", "/")),
        ("b.c.example.com", "/mobile", {}, ("wild", "/mobile")),
        ("example.com", "/x", {}, ("", "/x")),
        ("a", "/x", {"x-client": "tv"}, ("client", "/x")),
        ("a", "/x", {"X-Client": "tv2"}, ("", "/x")),
        ("a", "/mobile", {"X-Client": "tv"}, ("mobile", "/")),
        ("a", "/x", {"User-Agent": "Mozilla (iPhone; x)"}, ("agent", "/x")),
        ("a", "/x", {"User-Agent": "curl"}, ("", "/x")),
        ("", "*", {}, ("", "*")),
    ],
)
def test_what_a_frontend_asks_for(host: str, path: str, headers: dict[str, str], expected: tuple[str, str]) -> None:
    assert chosen(ALL, host, path, headers) == expected


def test_all_conditions_must_fit() -> None:
    both = make("both", 0, {"A": "1", "B": "2"}, hosts=["a", "b"], prefix="/p")
    assert chosen([both], "b", "/p/x", {"A": "1", "B": "2"}) == ("both", "/x")
    for host, path, headers in [
        ("c", "/p", {"A": "1", "B": "2"}),
        ("a", "/q", {"A": "1", "B": "2"}),
        ("a", "/p", {"A": "1"}),
    ]:
        assert chosen([both], host, path, headers)[0] == ""


def test_the_more_specific_goes_first() -> None:
    frontends = [
        make("none", 0, {"X": "1", "Y": "1"}, prefix="/a/b"),
        make("longer wildcard", 1, hosts=["*.b.test"]),
        make("wildcard", 2, hosts=["*.test"], prefix="/a/b"),
        make("exact", 3, hosts=["a.b.test"]),
        make("exact prefix", 4, hosts=["a.b.test"], prefix="/a"),
        make("exact longer prefix", 5, hosts=["a.b.test"], prefix="/a/b"),
        make("exact and header", 6, {"X": "1"}, hosts=["a.b.test"], prefix="/a"),
        make("exact again", 7, {"Y": "1"}, hosts=["a.b.test"], prefix="/a"),
    ]
    asked = Frontends(reversed(frontends))
    assert [one.name for one in asked.candidates("a.b.test")] == [
        "exact longer prefix", "exact and header", "exact again", "exact prefix", "exact", "longer wildcard",
        "wildcard", "none",
    ]  # fmt: skip
    both = {"X": "1", "Y": "1"}
    assert chosen(frontends, "a.b.test", "/a/b/c", both) == ("exact longer prefix", "/c")
    assert chosen(frontends, "a.b.test", "/a/x", both) == ("exact and header", "/x")
    assert chosen(frontends, "a.b.test", "/a/x", {"Y": "1"}) == ("exact again", "/x")
    assert chosen(frontends, "z.b.test", "/a/b/c", both) == ("longer wildcard", "/a/b/c")


def test_one_without_conditions_is_never_chosen_but_is_there_by_name() -> None:
    lone = make("lone")
    frontends = Frontends([lone, MOBILE])
    assert frontends.choose("a", "/x", asking()) == (None, "/x")
    assert frontends.named["lone"] is lone
    assert Frontends([MOBILE], choosable=[]).choose("a", "/mobile", asking()) == (None, "/mobile")


@pytest.mark.parametrize(
    "path",
    [
        "/%6Dobile/x", "/%6dobile", "/mobile%2Fx", "/%256Dobile/x", "//mobile/x", "/./mobile", "/x/../mobile/a",
        "/mobile/../x", "/mobile/..%2fx", "/mobile/%2e%2e/x", "/mobile/..;a/x", "/mobile;a=1/x", "/mobile\\x",
        "/mobile/../mobile/x", "/%6Dobile/%252e%252e/x", "/mobile/%252e%252e/x",
    ],
)  # fmt: skip
def test_a_path_with_another_reading_goes_nowhere(path: str) -> None:
    for ask in (lambda: chosen(ALL, path=path), lambda: MOBILE.inner_path(path)):
        with pytest.raises(GatewayError) as raised:
            ask()
        assert raised.value.kind is Kind.AMBIGUOUS_PATH


@pytest.mark.parametrize(
    ("path", "inner"),
    [("/mobile/a%20b", "/a%20b"), ("/mobile/a/../b", "/a/../b"), ("/mobile//", "//"), ("/mobile/a%2Fb", "/a%2Fb")],
)
def test_a_path_that_stays_within_is_left_to_the_routes(path: str, inner: str) -> None:
    assert chosen(ALL, path=path) == ("mobile", inner)
    assert MOBILE.inner_path(path) == inner


@pytest.mark.parametrize("path", ["/mobile/%zz", "/%00", "/mobile/%250a"])
def test_broken_escapes(path: str) -> None:
    with pytest.raises(GatewayError) as raised:
        chosen(ALL, path=path)
    assert raised.value.kind is Kind.BAD_REQUEST


@pytest.mark.parametrize(
    ("path", "inner"), [("/mobile", "/"), ("/mobile/x", "/x"), ("/mobilex", None), ("/", None), ("/a%20b", None)]
)
def test_the_inner_path_of_a_listener_of_its_own(path: str, inner: str | None) -> None:
    assert MOBILE.inner_path(path) == inner
    assert HOSTED.inner_path(path) == path


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOSTS_KEPT", 3)
    frontends = Frontends(ALL)
    for number in range(10):
        frontends.choose(f"h{number}", "/", asking(headers={"X-Client": "tv"}))
        assert len(frontends._fitting) <= 3
    before = len(frontends._fitting)
    found, _ = frontends.choose("new", "/", asking(headers={"X-Client": "tv", "User-Agent": "x" * 2000}))
    assert (found, len(frontends._fitting)) == (CLIENT, before), "a long value is not kept"


def test_repr() -> None:
    assert repr(make("m", 0, {"A": "1"}, hosts=["a"], prefix="/p")) == "<Frontend m: a /p header A is '1'>"
    assert repr(Frontends(ALL)) == "<Frontends mobile hosted wild client agent>"


# whatever comes

SEGMENTS = st.sampled_from(
    ["a", "b", "ab", "x", "", ".", "..", "%61", "%2e%2e", "%2F", "a;b", "..;", "\\", "a\\..", "%2561", "a%2fb", "%5c"]
)
PATHS = st.lists(SEGMENTS, max_size=5).map(lambda segments: "/" + "/".join(segments))
PREFIXES = st.sampled_from(["", "/a", "/b", "/a/b", "/ab", "/a/b/a"])
HOSTS = st.sampled_from([(), ("a",), ("*.a",), ("b.a", "*.b.a")])
MADE = st.lists(st.tuples(HOSTS, PREFIXES, st.booleans()), max_size=6).map(
    lambda found: [
        make(str(number), number, {"X": "1"} if asks else {}, hosts=hosts, prefix=prefix)
        for number, (hosts, prefix, asks) in enumerate(found)
    ]
)


@given(MADE, st.sampled_from(["a", "b.a", "c.b.a", "z"]), PATHS, st.booleans())
def test_exactly_one_or_none_and_always_the_same(frontends: list[Frontend], host: str, path: str, sends: bool) -> None:
    headers = {"X": "1"} if sends else {}
    request = asking(path, headers)
    asked = Frontends(frontends)
    try:
        found, inner = asked.choose(host, path, request)
    except GatewayError:
        with pytest.raises(GatewayError):
            Frontends(reversed(frontends)).choose(host, path, request)
        return
    assert (
        (found, inner)
        == asked.choose(host, path, request)
        == Frontends(reversed(frontends)).choose(host, path, request)
    )
    fitting = [
        one for one in asked.candidates(host) if one.accepts(request) and f"{path}/".startswith(f"{one.prefix}/")
    ]
    assert found is (fitting[0] if fitting else None)


@given(MADE, PATHS)
def test_no_reading_leaves_the_prefix(frontends: list[Frontend], path: str) -> None:
    try:
        found, inner = Frontends(frontends).choose("a", path, asking(path, {"X": "1"}))
    except GatewayError:
        return
    prefix = found.prefix if found is not None else ""
    assert f"{prefix}{inner}" in (path, f"{path}/")
    assert other_reading(path) in (prefix + other_reading(inner), prefix)
    for other in frontends:
        if found is None and other.prefix and not other.hosts and not other.headers:
            assert not f"{other_reading(path)}/".startswith(other.start), "it would have been this one's"
