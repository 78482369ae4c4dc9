"""A composition from its client's request to its answer: who is asked when, and what becomes of failures."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.compose.plan import OnError, Part, Plan
from gateway.compose.run import Compose
from gateway.compose.template import JsonTemplate, Scope, TargetTemplate
from gateway.errors import Kind
from gateway.live import LiveExchange
from gateway.routing.pattern import parse_pattern
from gateway.routing.route import Route
from gateway.routing.router import Router
from gateway.table import RouteTable
from tests.support.compositions import Client, Stage, staged
from tests.support.gateways import make_upstream
from tests.support.polling import eventually

PAGE = """
    product: {from: catalog, path: "/items/{id}", required: true, pick: "{id: id, price: price, seller: seller_id}"}
    reviews: {from: reviews, path: "/reviews?item={id}", pick: "items[:2]", on_error: {value: []}}
    seller:  {from: users, path: "/users/{product.seller}"}
    related: {from: catalog, path: "/items/{item}", foreach: "product.related", concurrency: 2}
"""
PRODUCT = b'{"seller_id":5,"price":9.990,"id":123456789012345678901234567890,"more":1}'


async def test_a_page(tmp_path: Path) -> None:
    stage = staged(tmp_path, PAGE, "respond: {headers: {Cache-Control: max-age=5}}")
    client = stage.ask("/p/a%20b?x=1")
    assert stage.targets == ["/items/a%20b", "/reviews?item=a%20b"]
    stage.of("/reviews?item=a%20b").answer(b'{"items":[{"n":1.0},2,3]}')
    assert len(stage.asked) == 2
    stage.of("/items/a%20b").answer(PRODUCT)
    assert stage.targets[2:] == ["/users/5"]
    assert not client.status
    stage.of("/users/5").answer(b' {"z":1,"a":[1.10]} ')
    assert (client.status, client.get("x-gateway-completed")) == (200, "true")
    assert client.body == (
        b'{"product":{"id":123456789012345678901234567890,"price":9.990,"seller":5},"reviews":[{"n":1.0},2],'
        b'"seller": {"z":1,"a":[1.10]} ,"related":[]}'
    )
    assert (client.get("cache-control"), client.get("content-type")) == ("max-age=5", "application/json")
    assert (client.answers, client.finishes) == (1, 1)
    stage.check()


async def test_what_an_upstream_is_told(tmp_path: Path) -> None:
    parts = """
        a: {from: catalog, path: /a, headers: {X-Own: "o {query.x}"}, forward: [Accept-Language, X-More]}
        b: {from: users, path: /b, method: POST, body: {n: "{query.x}"}}
    """
    stage = staged(tmp_path, parts)
    stage.ask("/p/1?x=y", cookie="c", authorization="t", accept_language="de", user_agent="u", if_none_match="e",
              change=lambda exchange: exchange.headers.set("traceparent", "00-1"))  # fmt: skip
    a, b = stage.asked
    assert a.fields == [
        ("host", "a.example"),
        ("accept-language", "de"),
        ("traceparent", "00-1"),
        ("accept", "application/json"),
        ("x-own", "o y"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a.example"),
        ("via", "1.1 gateway"),
        ("x-request-deadline-ms", a.all("x-request-deadline-ms")[0]),
    ]
    assert 4900 < int(a.all("x-request-deadline-ms")[0]) <= 5000
    assert (b.method, b.body, b.all("content-length")) == ("POST", b'{"n":"y"}', ["9"])
    assert b.all("content-type") == ["application/json"]
    assert b.all("forwarded") == ["for=192.0.2.1;host=a.example;proto=http"]
    assert b.all("x-forwarded-for") == b.all("authorization") == b.all("accept-language") == []


async def test_what_a_part_says_itself_is_said_once(tmp_path: Path) -> None:
    parts = """
        a: {from: catalog, path: /a, headers: {Traceparent: own, Content-Type: a/b, accept: c/d}, body: [], method: PUT}
        b: {from: catalog, path: /b}
    """
    stage = staged(tmp_path, parts)
    stage.ask(change=lambda exchange: exchange.headers.set("traceparent", "theirs"))
    a, b = stage.asked
    assert [a.all(name) for name in ("traceparent", "content-type", "accept")] == [["own"], ["a/b"], ["c/d"]]
    assert b.all("traceparent") == ["theirs"]


async def test_a_trusted_peer_is_believed_once_for_each_part(tmp_path: Path) -> None:
    stage = staged(tmp_path, "a: {from: catalog, path: /a}\nb: {from: users, path: /b}\nc: {from: catalog, path: /c}")
    stage.ask(trusted=True, x_forwarded_for="203.0.113.9", x_request_deadline_ms="700")
    a, b, c = stage.asked
    assert a.all("x-forwarded-for") == c.all("x-forwarded-for") == ["203.0.113.9, 192.0.2.1"]
    assert b.all("x-forwarded-for") == []
    assert all(int(asked.all("x-request-deadline-ms")[0]) <= 700 for asked in (a, b, c))


@pytest.mark.parametrize(
    ("fail", "status", "kind"),
    [
        (lambda asked: asked.answer(status=404), 404, "part_refused"),
        (lambda asked: asked.answer(status=401, www_authenticate="Bearer"), 401, "part_refused"),
        (lambda asked: asked.answer(status=500), 502, "part_failed"),
        (lambda asked: asked.answer(b"rubbish"), 502, "part_invalid"),
        (lambda asked: asked.answer(b"", status=302), 502, "part_invalid"),
        (lambda asked: asked.answer(b"1" * 2000), 502, "upstream_body_too_large"),
        (lambda asked: asked.fail(), 502, "upstream_reset"),
        (lambda asked: asked.fail(Kind.CONNECT_FAILED), 502, "connect_failed"),
        (lambda asked: asked.fail(Kind.RESPONSE_TIMEOUT), 504, "response_timeout"),
    ],
)
async def test_a_required_part_that_fails(tmp_path: Path, fail: Any, status: int, kind: str) -> None:
    stage = staged(
        tmp_path,
        "a: {from: catalog, path: /a, required: true, max_body: 1KiB}\nb: {from: users, path: /b}\n"
        'c: {from: users, path: "/c/{a.x}"}',
    )
    client = stage.ask()
    a, b = stage.asked
    fail(a)
    await eventually(lambda: client.finishes == 1)
    assert (client.status, client.data["status"]) == (status, status)
    assert client.get("content-type") == "application/problem+json"
    if status == 401:
        assert client.get("www-authenticate") == "Bearer"
    assert b.left, "what is still under way is given up"
    assert len(stage.asked) == 2
    assert (client.answers, client.finishes) == (1, 1)
    stage.check()


@pytest.mark.parametrize(
    ("on_error", "body", "completed"),
    [
        ("omit", b'{"b":1}', "false"),
        ('"null"', b'{"a":null,"b":1}', "false"),
        ("~", b'{"a":null,"b":1}', "false"),
        ("{value: {x: 1}}", b'{"a":{"x":1},"b":1}', "false"),
        ("{value: ~}", b'{"a":null,"b":1}', "false"),
    ],
)
async def test_what_stands_in_place_of_a_part(tmp_path: Path, on_error: str, body: bytes, completed: str) -> None:
    stage = staged(tmp_path, f"a: {{from: catalog, path: /a, on_error: {on_error}}}\nb: {{from: users, path: /b}}")
    client = stage.ask()
    stage.asked[1].answer(b"1")
    stage.asked[0].answer(b"rubbish")
    assert (client.status, client.body, client.get("x-gateway-completed")) == (200, body, completed)
    assert client.get("cache-control") == "no-store"
    stage.check()


async def test_on_error_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stage = staged(tmp_path, "a: {from: catalog, path: /a, on_error: fail}\nb: {from: users, path: /b}")
    client = stage.ask()
    with caplog.at_level(logging.WARNING, "gateway.compose"):
        stage.asked[0].answer(status=418)
    assert client.status == 418
    assert [record.getMessage() for record in caplog.records] == ["page/a: the part a answered 418"]
    stage.check()


async def test_another_upstream_in_a_parts_place(tmp_path: Path) -> None:
    parts = """
        a: {from: catalog, path: "/a/{id}", method: POST, body: {x: "{id}"}, required: true, on_error: {from: users}}
        b: {from: catalog, path: /b, on_error: {from: users, path: "/other/{id}"}}
    """
    stage = staged(tmp_path, parts, "respond: {errors: errors, status: all}")
    client = stage.ask()
    a, b = stage.asked
    a.fail()
    b.answer(status=404)
    again, other = stage.asked[2:]
    assert [(asked.port, asked.method, asked.target, asked.body) for asked in (again, other)] == [
        (3, "POST", "/a/42", b'{"x":"42"}'),
        (3, "GET", "/other/42", b""),
    ]
    other.answer({"b": 2})
    again.answer({"a": 1})
    assert client.status == 200, "both have come"
    assert (client.data["a"], client.data["b"], client.get("x-gateway-completed")) == ({"a": 1}, {"b": 2}, "false")
    assert [error["part"] for error in client.data["errors"]] == ["a", "b"]
    stage.check()


async def test_another_upstream_that_fails_too(tmp_path: Path) -> None:
    parts = "a: {from: catalog, path: /a, required: true, on_error: {from: users}}\nb: {from: reviews, path: /b}"
    stage = staged(tmp_path, parts)
    client = stage.ask()
    stage.asked[0].fail()
    stage.asked[2].answer(status=403)
    assert client.status == 403
    assert len(stage.asked) == 3, "it is asked once"
    stage.check()


@pytest.mark.parametrize(
    ("policy", "came", "status"),
    [
        ("required", (), 200),
        ("any", (), 502),
        ("any", ("a",), 200),
        ("all", ("a",), 404),
        ("all", ("a", "b"), 200),
    ],
)
async def test_status_by_policy(tmp_path: Path, policy: str, came: tuple[str, ...], status: int) -> None:
    stage = staged(
        tmp_path, "a: {from: catalog, path: /a}\nb: {from: users, path: /b}", f"respond: {{status: {policy}}}"
    )
    client = stage.ask()
    a, b = stage.asked
    b.answer(1) if "b" in came else b.answer(status=404)
    a.answer(1) if "a" in came else a.fail()
    assert client.status == status
    stage.check()


async def test_when(tmp_path: Path) -> None:
    parts = """
        a: {from: catalog, path: /a}
        b: {from: users, path: /b, when: "a.stock > `0`"}
        c: {from: users, path: "/c/{b.x}"}
        d: {from: users, path: "/d/{b.x:-none}"}
        e: {from: users, path: /e, when: "query.all"}
    """
    stage = staged(tmp_path, parts)
    client = stage.ask()
    stage.of("/a").answer({"stock": 0})
    assert stage.targets == ["/a", "/d/none"]
    stage.of("/d/none").answer(1)
    assert (client.data, client.get("x-gateway-completed")) == ({"a": {"stock": 0}, "d": 1}, "true")
    assert [timing.partition(";")[0] for timing in (client.get("server-timing") or "").split(", ")] == list("abcde")
    assert (client.get("server-timing") or "").count(";desc=skipped") == 3
    client = stage.ask("/p/1?all=1")
    assert stage.targets[2:] == ["/a", "/e"]
    stage.of("/e").answer(5)
    stage.of("/a").answer({"stock": 1})
    stage.of("/b").answer({"x": "y"})
    stage.of("/c/y").answer(3)
    stage.of("/d/y").answer(4)
    assert list(client.data) == ["a", "b", "c", "d", "e"]
    stage.check()


@pytest.mark.parametrize(
    ("parts", "target", "status"),
    [
        ('a: {from: catalog, path: "/a?p={query.page}", required: true}', "/p/1", 400),
        ('a: {from: catalog, path: "/a", headers: {X: "{query.x}"}, required: true}', "/p/1?x=a%0d%0aY:%20b", 400),
        ('a: {from: catalog, path: "/{query.x}", required: true}', "/p/1?x=..", 400),
        ('a: {from: catalog, path: "/a", when: "sum(query.x)", required: true}', "/p/1?x=a", 400),
        ('a: {from: catalog, path: "/a", foreach: "query.x", required: true}', "/p/1?x=a", 400),
        ('a: {from: catalog, path: "/{item}/{query.y}", foreach: "query.x", required: true}', "/p/1?x=a&x=b", 400),
        ('a: {from: catalog, path: "/{item}", foreach: "query.x", required: true}', "/p/1?x=a&x=..", 400),
        ('a: {from: catalog, path: "/a?p={query.page}"}', "/p/1", 200),
        ('a: {from: catalog, path: "/a?p={query.page}", on_error: fail}', "/p/1", 400),
    ],
)
async def test_a_request_that_lacks_something(tmp_path: Path, parts: str, target: str, status: int) -> None:
    stage = staged(tmp_path, parts)
    client = stage.ask(target)
    assert (client.status, stage.asked) == (status, [])
    stage.check()


async def test_a_part_that_lacks_something(tmp_path: Path) -> None:
    parts = """
        a: {from: catalog, path: /a}
        b: {from: users, path: "/b/{a.x}", required: true}
        c: {from: users, path: /c, headers: {X: "{a.y:-}"}}
    """
    stage = staged(tmp_path, parts)
    client = stage.ask()
    stage.asked[0].answer({})
    assert client.status == 502
    assert stage.targets == ["/a"], "nothing is asked after the answer has failed"
    stage.check()


async def test_a_request_that_lacks_something_for_each_item(tmp_path: Path) -> None:
    parts = """
        a: {from: catalog, path: /a}
        b: {from: users, path: "/b/{item.n}?q={query.q}", foreach: a, on_error: fail}
    """
    for target, items, status in (("/p/1", [{"n": 1}], 400), ("/p/1?q=1", [{"n": 1}, {}], 502)):
        stage = staged(tmp_path, parts)
        client = stage.ask(target)
        stage.asked[0].answer(items)
        assert (client.status, len(stage.asked)) == (status, 1)
        stage.check()


async def test_a_header_cannot_be_split(tmp_path: Path) -> None:
    stage = staged(tmp_path, 'a: {from: catalog, path: /a}\nb: {from: users, path: /b, headers: {X: "{a.x}"}}')
    client = stage.ask()
    stage.asked[0].answer({"x": "1\r\nY: 2"})
    assert (client.status, client.data) == (200, {"a": {"x": "1\r\nY: 2"}})
    assert len(stage.asked) == 1
    stage.check()


@pytest.mark.parametrize("merge", ["shallow", "deep"])
async def test_merged_fields(tmp_path: Path, merge: str, caplog: pytest.LogCaptureFixture) -> None:
    parts = "a: {from: catalog, path: /a}\nb: {from: users, path: /b}\nc: {from: users, path: /c, group: deep}"
    stage = staged(tmp_path, parts, f"respond: {{merge: {merge}}}")
    for _ in range(2):
        client = stage.ask()
        stage.asked[-1].answer({"y": 3})
        stage.asked[-2].answer({"deep": {"z": 2.50}, "n": 2})
        stage.asked[-3].answer(b'{"deep":{"x":1.0},"n":1,"m":null}')
        deep = {"y": 3} if merge == "shallow" else {"x": "1.0", "z": "2.5", "y": 3}
        assert client.data == {"deep": deep, "n": 2, "m": None}
    told = sorted(record.getMessage() for record in caplog.records)
    lost = ["'deep'", "'n'"] if merge == "shallow" else ["'n'"]
    assert told == [f"page: several parts say {one}, and the last one of them wins" for one in lost]


async def test_a_cache(tmp_path: Path) -> None:
    parts = """
        a: {from: catalog, path: "/a?x={query.x:-1}", cache: 60s, required: true}
        b: {from: users, path: "/b/{a.v}"}
    """
    stage = staged(tmp_path, parts)
    for number in range(3):
        client = stage.ask(change=lambda exchange: exchange.headers.set("traceparent", str(exchange.started)))
        if not number:
            stage.of("/a?x=1").answer(b'{"v":1.0}')
        stage.asked[-1].answer(2)
        assert client.body == b'{"a":{"v":1.0},"b":2}'
    assert stage.targets == ["/a?x=1", "/b/1.0", "/b/1.0", "/b/1.0"]
    stage.ask("/p/1?x=2")
    assert stage.targets[4:] == ["/a?x=2"]
    stage.ask(host="b.example")
    assert stage.targets[5:] == ["/a?x=1"], "another host is another site"


async def test_what_fails_is_not_kept(tmp_path: Path) -> None:
    stage = staged(tmp_path, "a: {from: catalog, path: /a, cache: 60s}")
    for answer in (b"rubbish", b"1"):
        stage.ask()
        stage.asked[-1].answer(answer)
    assert len(stage.asked) == 2
    assert stage.ask().data == {"a": 1}


async def test_conditional_requests(tmp_path: Path) -> None:
    stage = staged(tmp_path, "a: {from: catalog, path: /a}", "respond: {headers: {Cache-Control: max-age=5}}")
    client = stage.ask()
    stage.asked[-1].answer(1)
    tag = client.get("etag")
    assert tag
    again = stage.ask(if_none_match=tag)
    stage.asked[-1].answer(1)
    assert (again.status, again.body, again.get("etag"), again.get("cache-control")) == (304, b"", tag, "max-age=5")
    assert (again.get("content-type"), again.get("x-gateway-completed")) == (None, "true")
    other = stage.ask(if_none_match=tag)
    stage.asked[-1].answer(2)
    assert (other.status, other.data) == (200, {"a": 2})
    post = stage.ask(method="POST", if_none_match=tag)
    stage.asked[-1].answer(1)
    assert (post.status, post.get("etag")) == (200, None)


@pytest.mark.parametrize("when", ["waiting", "between", "done"])
async def test_a_client_that_leaves(tmp_path: Path, when: str) -> None:
    stage = staged(tmp_path, PAGE)
    client = stage.ask()
    exchange = client_exchange(stage, client)
    if when != "waiting":
        stage.asked[0].answer(PRODUCT)
    if when == "done":
        for asked in stage.asked[1:]:
            asked.answer({})
    stage.proxy.client_gone(exchange)
    left = [asked.left for asked in stage.asked]
    assert left == {"waiting": [True, True], "between": [False, True, True], "done": [False, False, False]}[when]
    assert exchange.outcome == ("answered" if when == "done" else "client_gone")
    assert client.finishes == 1
    stage.check()


def client_exchange(stage: Stage, client: Client) -> LiveExchange:
    (composition,) = stage.action._subrequests.keeper.owners
    assert composition.exchange.client is client
    return composition.exchange


async def test_time_is_over(tmp_path: Path) -> None:
    parts = """
        a: {from: catalog, path: /a, timeout: 20ms, on_error: {value: late}}
        b: {from: users, path: /b}
        c: {from: users, path: "/c/{b.x}"}
    """
    stage = staged(tmp_path, parts, "timeout: 60ms")
    client = stage.ask()
    await eventually(lambda: bool(client.status))
    assert (client.status, client.data) == (200, {"a": "late"})
    assert [asked.left for asked in stage.asked] == [True, True]
    assert 0.055 < client_seconds(client) < 5
    stage.check()


def client_seconds(client: Client) -> float:
    times = [
        timing.partition(";dur=")[2].partition(";")[0] for timing in (client.get("server-timing") or "").split(", ")
    ]
    return max(map(float, times)) / 1000


async def test_a_required_part_that_is_late(tmp_path: Path) -> None:
    stage = staged(tmp_path, "a: {from: catalog, path: /a, timeout: 20ms, required: true}\nb: {from: users, path: /b}")
    client = stage.ask()
    await eventually(lambda: bool(client.status))
    assert client.status == 504
    assert [asked.left for asked in stage.asked] == [True, True]
    stage.check()


async def test_a_crash_of_ours_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = staged(tmp_path, "a: {from: catalog, path: /a}\nb: {from: users, path: /b}")

    def crash(*arguments: object) -> None:
        raise RuntimeError("secret")

    client = stage.ask()
    monkeypatch.setattr("gateway.compose.run.read", crash)
    stage.asked[0].answer(1)
    assert client.status == 500
    assert b"secret" not in client.body
    assert stage.asked[1].left
    monkeypatch.setattr("gateway.compose.run.question", crash)
    assert stage.ask().status == 500
    stage.check()


async def test_the_words_of_a_composition(tmp_path: Path) -> None:
    stage = staged(tmp_path, PAGE)
    assert (
        str(stage.action)
        == "compose product from catalog, reviews from reviews, seller from users, related from catalog"
    )
    assert stage.action.names == ("catalog", "reviews", "users")
    assert [path.expand({"id": "7"}) for path in stage.action.paths] == ["/items/7"]


# any plan, in any order


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[Part], list[int], list[str]]:
    """Parts that need only what stands before them in some order, the order in which calls end, and how."""
    size = draw(st.integers(1, 7))
    order = draw(st.permutations(range(size)))
    parts: dict[int, Part] = {}
    for place, number in enumerate(order):
        before = sorted(order[:place])
        needs = tuple(sorted(draw(st.sets(st.sampled_from(before), max_size=3)))) if before else ()
        scope = Scope(frozenset(), {f"p{one}": one for one in range(size)})
        required = draw(st.integers(0, 9)) == 0
        kind = "fail" if required else draw(st.sampled_from(["omit", "null", "value", "from"]))
        parts[number] = Part(
            f"p{number}",
            number,
            f"r/p{number}",
            "up",
            TargetTemplate(f"/{number}", scope),
            body=JsonTemplate({f"p{one}": f"{{p{one}.n:-none}}" for one in needs}, scope),
            method="POST",
            key=f"p{number}",
            required=required,
            on_error=OnError(kind, "instead", "other"),  # type: ignore[arg-type]
            needs=needs,
            referred=True,
            spliced=draw(st.booleans()),
        )
    ends = draw(st.lists(st.integers(0, 20), max_size=20))
    fates = draw(
        st.lists(st.sampled_from(["good", "good", "good", "rubbish", "status", "reset"]), min_size=40, max_size=40)
    )
    return [parts[number] for number in range(size)], ends, fates


def walk(parts: list[Part], ends: list[int], fates: list[str]) -> tuple[Client, list[str]]:
    """Run the plan; `ends` says which of the calls under way ends next. What was asked, in order."""
    up, other = make_upstream("up", 1), make_upstream("other", 2)
    compose = Compose(Plan("r", tuple(parts)))
    table = RouteTable(Router([Route("r", parse_pattern("/p"), compose)]), {"up": up, "other": other})
    stage = Stage(table)
    client = stage.ask("/p")
    over: set[int] = set()
    settled: set[int] = set()
    fate = dict(zip((f"{number}@{port}" for number in range(20) for port in (1, 2)), fates, strict=True))
    for end in [*ends, *[0] * 50]:
        open_ = [number for number in range(len(stage.asked)) if number not in over and not stage.asked[number].left]
        if not open_:
            break
        place = open_[end % len(open_)]
        over.add(place)
        asked = stage.asked[place]
        number = int(asked.target[1:])
        what = fate[f"{number}@{asked.port}"]
        seen = len(stage.asked)
        if what == "good":
            asked.answer({"n": number})
        elif what == "rubbish":
            asked.answer(b"rubbish")
        elif what == "status":
            asked.answer(status=503)
        else:
            asked.fail()
        again = what != "good" and asked.port == 1 and parts[number].on_error.kind == "from"
        if not again:
            assert number not in settled, "it is settled once"
            settled.add(number)
        for late in stage.asked[seen:]:
            assert settled >= set(parts[int(late.target[1:])].needs), "nothing begins before all that it needs is there"
    assert len({(asked.target, asked.port) for asked in stage.asked}) == len(stage.asked), "nobody is asked twice"
    assert (client.answers, client.finishes) == (1, 1)
    if client.status == 200:
        assert settled == set(range(len(parts)))
    stage.check()
    return client, [asked.target for asked in stage.asked]


@settings(max_examples=50)
@given(plans())
def test_a_plan_respects_every_need_and_always_ends(plan: tuple[list[Part], list[int], list[str]]) -> None:
    parts, ends, fates = plan

    async def both() -> tuple[Client, Client]:
        return walk(parts, ends, fates)[0], walk(parts, ends[::-1], fates)[0]

    one, other = asyncio.run(both())
    failed = any(part.required and fates[2 * part.number] != "good" for part in parts)
    assert (one.status == 502) is (other.status == 502) is failed
    if not failed:
        # Whatever came first, the answer is the same, byte for byte.
        assert one.body == other.body
        assert list(one.data) == [f"p{part.number}" for part in parts if f"p{part.number}" in one.data]
        assert one.get("x-gateway-completed") == other.get("x-gateway-completed")
