"""Compositions at work: what services are asked, when, and what becomes of their answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.process.runtime import Runtime
from tests.support.composed import (
    Held,
    answer,
    composing,
    config,
    echo,
    part,
    route,
    serving,
    target_of,
    targets,
)
from tests.support.gateways import request
from tests.support.polling import eventually, turns
from tests.support.raw_upstream import upstream
from tests.support.runtimes import HEAD, write_config, write_plugin

PRODUCT = b'{"id": 42, "name": "Lamp", "price": 9.990, "seller_id": 7, "related": [1, 2], "secret": true}'
REVIEWS = b'{"items": [{"stars": 5}, {"stars": 4}, {"stars": 3}, {"stars": 2}], "total": 18446744073709551616}'
ISSUE = """
upstreams:
  catalog: {endpoints: ["http://127.0.0.1:%d"]}
  reviews: {endpoints: ["http://127.0.0.1:%d"]}
  users: {endpoints: ["http://127.0.0.1:%d"]}
routes:
  - name: product-page
    match: {path: "/products/{id}"}
    compose:
      timeout: 800ms
      parts:
        product: {from: catalog, path: "/items/{id}", required: true, pick: "{id: id, name: name, price: price, seller: seller_id}"}
        reviews: {from: reviews, path: "/reviews?item={id}", timeout: 200ms, pick: "items[:3]", on_error: {value: []}}
        seller:  {from: users, path: "/users/{product.seller}", on_error: omit}
        related: {from: catalog, path: "/items/{item}", foreach: "product.related", as: item, max: 8, concurrency: 4}
      respond: {merge: namespaced, status: required, headers: {Cache-Control: "max-age=5"}}
"""  # noqa: E501


async def test_the_product_page(tmp_path: Path) -> None:
    async with (
        upstream(serving({"/items/42": answer(PRODUCT)})) as catalog,
        upstream(serving({"/reviews": answer(REVIEWS)})) as reviews,
        upstream(serving({"/users/7": answer(b'{"name": "Zo\xc3\xab",  "since": 1E3}')})) as users,
        composing(tmp_path, HEAD + ISSUE % (catalog.port, reviews.port, users.port)) as served,
    ):
        message = await served.ask("/products/42")
        assert message.status == 200
        # As it was written: numbers, blanks of what is only grouped, and the order of the file. What `pick` leaves out,
        # others do not see either.
        assert message.body == (
            b'{"product":{"id":42,"name":"Lamp","price":9.990,"seller":7},'
            b'"reviews":[{"stars":5},{"stars":4},{"stars":3}],'
            b'"seller":{"name": "Zo\xc3\xab",  "since": 1E3},"related":[]}'
        )
        assert message.get("content-type") == "application/json"
        assert message.get("cache-control") == "max-age=5"
        assert message.get("x-gateway-completed") == "true"
        timing = message.get("server-timing") or ""
        assert [entry.split(";")[0] for entry in timing.split(", ")] == ["product", "reviews", "seller", "related"]
        assert all(float(entry.split("dur=")[1]) >= 0 for entry in timing.split(", "))
        assert targets(catalog) == ["/items/42"]
        assert targets(reviews) == ["/reviews?item=42"]
        assert targets(users) == ["/users/7"]


# which parts are asked, and when


async def test_parts_wait_for_what_they_need_and_for_nothing_else(tmp_path: Path) -> None:
    slow, last = Held(), Held()
    handlers = {"/a": answer('{"next": "c"}'), "/slow": slow, "/c": last}
    parts = {
        "slow": part("up", "/slow"),
        "a": part("up", "/a"),
        "c": part("up", "/{a.next}"),
        "both": part("up", "/echo/{c}/{slow}"),
    }
    async with (
        upstream(serving(handlers, echo)) as service,
        composing(tmp_path, config({"up": service.port}, route(parts))) as served,
        served.client() as client,
    ):
        client.send(request("/page"))
        await eventually(lambda: last.waiting)
        assert sorted(targets(service)) == ["/a", "/c", "/slow"]
        last.release()
        await turns()
        assert len(service.requests) == 3
        slow.release()
        page = json.loads((await client.response()).body)
        assert page == {"slow": "held", "a": {"next": "c"}, "c": "held", "both": "/echo/held/held"}


async def test_items_are_asked_once_each_and_so_many_at_a_time(tmp_path: Path) -> None:
    held = Held()
    numbers = [1, 2, 1, 3, 4, 2, 5, 6, 7, 8, 9, 10]
    parts = {
        "list": part("up", "/list"),
        "items": part("up", "/items/{item.id}", foreach="list", as_="item", max=10, concurrency=3),
    }
    listed = answer(json.dumps([{"id": number} for number in numbers]))
    async with (
        upstream(serving({"/list": listed}, held)) as service,
        composing(tmp_path, config({"up": service.port}, route(parts))) as served,
        served.client() as client,
    ):
        client.send(request("/page"))
        for done in range(1, 9):
            await eventually(lambda: held.waiting == min(3, 8 - done + 1))  # noqa: B023
            await turns()
            assert len(service.requests) == 1 + min(8, done + 2)
            held.release(1)
        page = json.loads((await client.response()).body)
        assert page["items"] == ["held"] * 10
        assert sorted(targets(service)[1:]) == [f"/items/{number}" for number in range(1, 9)]
        assert held.most == 3
        assert service.connections == 3


async def test_items_keep_their_order(tmp_path: Path) -> None:
    first = Held(b'"first"')
    parts = {
        "list": part("up", "/list"),
        "items": part("up", "/{item}?of={list.0}", foreach="list", concurrency=8),
    }
    async with (
        upstream(serving({"/list": answer('["a", "b", "c"]'), "/a": first}, echo)) as service,
        composing(tmp_path, config({"up": service.port}, route(parts))) as served,
        served.client() as client,
    ):
        client.send(request("/page"))
        await eventually(lambda: len(service.requests) == 4)
        await turns()
        first.release()
        assert json.loads((await client.response()).body)["items"] == ["first", "/b?of=a", "/c?of=a"]


async def test_when_decides_and_what_needs_it_is_left_out_too(tmp_path: Path) -> None:
    parts = {
        "user": part("up", "/user"),
        "card": part("up", "/card", when="user.member"),
        "points": part("up", "/points/{card.id}"),
        "more": part("up", "/more", when="query.more == 'yes'"),
    }
    handlers = {"/user": answer('{"member": false}'), "/card": answer('{"id": 1}')}
    async with (
        upstream(serving(handlers, echo)) as service,
        composing(tmp_path, config({"up": service.port}, route(parts))) as served,
    ):
        message = await served.ask()
        assert json.loads(message.body) == {"user": {"member": False}}
        # Nothing has failed.
        assert message.get("x-gateway-completed") == "true"
        assert "card;dur=0.0;desc=skipped" in (message.get("server-timing") or "")
        assert targets(service) == ["/user"]
        assert await served.page("/page?more=yes") == {"user": {"member": False}, "more": "/more"}


# what they are asked with


IDENTITY = '''
from gateway.plugin import Plugin

class Identity(Plugin):
    """Whoever asks is alice."""

    def identity_headers(self):
        return ("X-User-Id",)

    def on_request(self, exchange):
        exchange.principal = exchange.query.partition("as=")[2] or "alice"
        exchange.claims = {"sub": exchange.principal, "tenant": {"id": 3}, "broken": "\\ud800"}
        exchange.headers.set("X-User-Id", exchange.principal)
'''


async def test_only_what_is_listed_reaches_a_part(tmp_path: Path) -> None:
    write_plugin(tmp_path, "identity", IDENTITY)
    parts = {
        "plain": part("up", "/plain"),
        "more": part("up", "/more", forward=["X-Tenant", "accept-language", "Cookie"]),
        # Half a surrogate pair is no JSON.
        "half": part("up", "/half", method="POST", body={"claim": "{claims.broken}"}),
        "own": part("up", "/own", headers={"X-Asked-By": "{principal} of {claims.tenant.id}, {header.x-tenant}"}),
    }
    text = {"plugins": ["tracing_ids", "identity"]}
    async with (
        upstream(serving({}, echo)) as service,
        composing(tmp_path, config({"up": service.port}, route(parts), **text)) as served,
    ):
        fields = [
            b"Authorization: Bearer secret",
            b"Cookie: session=secret",
            b"Accept-Language: de",
            b"Accept-Encoding: gzip",
            b"X-Tenant: t1",
            b"X-User-Id: mallory",
            b"X_User_Id: mallory",
            b"X-Request-Id: forged",
            b"traceparent: 00-11111111111111111111111111111111-2222222222222222-01",
            b"X-Forwarded-For: 1.2.3.4",
            b"Connection: X-Tenant-2",
            b"X-Tenant-2: 1",
        ]
        assert set(await served.page("/page", *fields)) == {"plain", "more", "own"}
        asked = {target_of(message): message for message in service.requests}
        own = {"Host", "Accept", "X-User-Id", "X-Request-Id", "traceparent", "Via"}
        own |= {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Deadline-Ms"}
        assert set(asked["/plain"].names) == own
        assert set(asked["/more"].names) == own | {"X-Tenant", "Accept-Language", "Cookie"}
        assert set(asked["/own"].names) == own | {"X-Asked-By"}
        assert asked["/own"].get("x-asked-by") == "alice of 3, t1"
        for message in asked.values():
            assert message.get("host") == "a"
            assert message.get("accept") == "application/json"
            assert message.all("x-user-id") == ["alice"]
            assert message.get("x-forwarded-for") == "127.0.0.1"
            assert message.get("x-forwarded-host") == "a"
            assert message.get("via") == "1.1 gateway"
            assert message.get("x-request-id") not in (None, "forged")
            assert "1" * 32 not in (message.get("traceparent") or "")
        # One trace for all of them.
        assert len({message.get("x-request-id") for message in asked.values()}) == 1


async def test_trusted_peer_is_continued_and_a_deadline_is_told(tmp_path: Path) -> None:
    parts = {"one": part("up", "/one"), "two": part("other", "/two", timeout="30s")}
    async with (
        upstream(serving({}, echo)) as service,
        composing(
            tmp_path,
            config(
                {"up": {"ports": service.port, "host": "upstream"}, "other": {"ports": service.port, "host": "b.test"}},
                route(parts),
                trusted_proxies=["127.0.0.0/8"],
                forwarded="rfc7239",
            ),
        ) as served,
    ):
        fields = [b"Forwarded: for=10.1.1.1", b"X-Request-Deadline-Ms: 9000", b"traceparent: kept"]
        await served.page("/page", *fields)
        one, two = sorted(service.requests, key=target_of)
        assert (one.get("host"), two.get("host")) == (f"127.0.0.1:{service.port}", "b.test")
        for message, most in ((one, 5000), (two, 9000)):
            assert message.get("forwarded") == "for=10.1.1.1, for=127.0.0.1;host=a;proto=http"
            assert most - 5000 < int(message.get("x-request-deadline-ms") or "") <= most
            assert message.get("traceparent") == "kept"


async def test_query_and_body_with_places(tmp_path: Path) -> None:
    body = {"who": "{query.q}", "n": "{first.n}", "all": "{first}", "text": "n={first.n}", "list": ["{id}", 1.50, None]}
    parts = {
        "first": part("up", "/first"),
        "search": part("up", "/search?q={query.q}&page={query.page:-1}&id={id}"),
        "order": part("up", "/orders", method="POST", body=body, headers={"X-N": "{first.n}"}),
        "poke": part("up", "/poke", method="POST"),
    }
    async with (
        upstream(serving({"/first": answer('{"n": 1.10}')}, echo)) as service,
        composing(tmp_path, config({"up": service.port}, route(parts, "/page/{id}"))) as served,
    ):
        page = await served.page("/page/a%20b?q=x%26y%3D%C3%A9%2F")
        assert page["search"] == "/search?q=x%26y%3D%C3%A9%2F&page=1&id=a%20b"
        asked = {target_of(message): message for message in service.requests}
        order = asked["/orders"]
        assert order.first.startswith(b"POST ")
        assert order.get("content-type") == "application/json"
        assert order.get("x-n") == "1.10"
        assert order.body == (
            b'{"who":"x&y=\xc3\xa9/","n":1.10,"all":{"n":1.10},"text":"n=1.10","list":["a b",1.5,null]}'
        )
        assert asked["/poke"].get("content-length") == "0"
        assert asked["/first"].get("content-length") is None


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_of_the_client_is_passed_on(tmp_path: Path, chunked: bool) -> None:
    parts = {
        "order": part("up", "/orders", method="POST", body="{request.body}", required=True),
        "copy": part("up", "/copies", method="PUT", body="{request.body}", format="xml"),
        "other": part("up", "/other"),
    }
    body = bytes(range(256)) * 300
    async with (
        upstream(serving({}, echo)) as service,
        composing(tmp_path, config({"up": service.port}, route(parts), limits={"request_body": "80KiB"})) as served,
        served.client() as client,
    ):
        fields = [b"Content-Type: application/x-order"]
        sent = body
        if chunked:
            fields.append(b"Transfer-Encoding: chunked")
            sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        whole = request("/page", *fields, method="POST", body=sent)
        client.send(whole[:-10])
        await turns()
        # It has to be here whole.
        assert service.connections == 0
        client.send(whole[-10:])
        assert (await client.response()).status == 200
        asked = {target_of(message): message for message in service.requests}
        assert asked["/orders"].body == asked["/copies"].body == body
        assert asked["/orders"].get("content-type") == "application/x-order"
        assert asked["/other"].body == b""
        # The connection goes on.
        assert (await client.ask(request("/page"))).status == 200
        assert service.requests[-1].get("content-length") in (None, "0")

        more = b"x" * (80 * 1024 + 1)
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(more), more) if chunked else more
        refused = await served.ask("/page", *fields, method="POST", body=framed)
        assert refused.status == 413


def test_body_of_the_client_is_no_text(tmp_path: Path) -> None:
    places: list[dict[str, Any]] = [{"path": "/{request.body}"}, {"headers": {"X-Body": "{request.body}"}}]
    places += [{"body": "was {request.body}"}, {"body": {"was": "{request.body}"}}]
    parts = {f"p{number}": {"from": "up", "path": "/", **place} for number, place in enumerate(places)}
    with pytest.raises(ConfigError) as refused:
        Runtime(write_config(tmp_path, config({"up": 1}, route(parts))), {}).prepare()
    assert str(refused.value).count("{request.body} is bytes as they came") == 4


async def test_body_that_nobody_reads_is_not_waited_for(tmp_path: Path) -> None:
    async with (
        upstream(serving({}, echo)) as service,
        composing(tmp_path, config({"up": service.port}, route({"a": part("up", "/a")}))) as served,
        served.client() as client,
    ):
        client.send(request("/page", b"Content-Length: 1000000", method="POST") + b"x" * 100_000)
        assert json.loads((await client.response()).body) == {"a": "/a"}
        assert service.requests[0].body == b""


# what the answer is


async def test_head_etag_and_304(tmp_path: Path) -> None:
    async with (
        upstream(serving({}, echo)) as service,
        composing(tmp_path, config({"up": service.port}, route({"a": part("up", "/a")}))) as served,
    ):
        got = await served.ask()
        head = await served.ask(method="HEAD")
        assert head.body == b""
        tag = got.get("etag")
        assert tag is not None
        for name in ("etag", "content-length", "content-type", "x-gateway-completed"):
            assert head.get(name) == got.get(name)
        known = await served.ask("/page", b'If-None-Match: "x", W/' + tag.encode())
        assert (known.status, known.body, known.get("etag")) == (304, b"", tag)
        assert known.get("x-gateway-completed") == "true"
        changed = await served.ask("/page", b'If-None-Match: "x"')
        assert (changed.status, changed.body) == (200, got.body)
        posted = await served.ask(method="POST")
        assert (posted.status, posted.get("etag")) == (200, None)
        assert {message.first.split(b" ")[0] for message in service.requests} == {b"GET"}


MERGED = {"a": b'{"x": {"k": 1.0, "l": [1]}, "only": 1}', "b": b'{"x": {"k": 2, "m": 2}}', "c": b'{"x": {"m": 3}}'}
SPLICED = b'{"a":%(a)b,"b":%(b)b,"c":%(c)b}' % {name.encode(): body for name, body in MERGED.items()}
# How they are merged, under which key, what comes of it, and which collisions are told.
MERGES: list[tuple[str, str | None, bytes, list[str]]] = [
    ("namespaced", None, SPLICED, []),
    ("shallow", None, b'{"x":{"m":3},"only":1}', ["x"]),
    ("deep", None, b'{"x":{"k":2,"l":[1],"m":3},"only":1}', ["x.k", "x.m"]),
    ("deep", "g", b'{"g":{"x":{"k":2,"l":[1],"m":3},"only":1}}', ["g.x.k", "g.x.m"]),
]


async def test_merges_and_their_collisions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    routes = []
    for number, (merge, group, _, _) in enumerate(MERGES):
        options = {"group": group} if group is not None else {}
        parts = {name: part("up", f"/{name}", **options) for name in MERGED}
        routes.append(route(parts, f"/{number}", f"r{number}", respond={"merge": merge}))
    handlers = {f"/{name}": answer(body) for name, body in MERGED.items()}
    async with (
        upstream(serving(handlers)) as service,
        composing(tmp_path, config({"up": service.port}, *routes)) as served,
    ):
        for number, (_, _, expected, collisions) in enumerate(MERGES):
            caplog.clear()
            for _ in range(2):
                assert (await served.ask(f"/{number}")).body == expected
            told = [text for text in caplog.messages if "several parts say" in text]
            # Once each, however often.
            assert [text.split("'")[1] for text in told] == collisions


ON_ERRORS: list[tuple[Any, Any]] = [
    ("by default", {}),
    ("omit", {}),
    (None, {"down": None}),
    ("null", {"down": None}),
    ({"value": {"n": [1.5]}}, {"down": {"n": [1.5]}}),
    ({"from": "spare"}, {"down": "/down"}),
    ({"from": "spare", "path": "/instead?of={ok}"}, {"down": "/instead?of=%2Fok"}),
]


async def test_something_stands_in_for_a_part(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    respond = {"errors": "problems", "headers": {"cache-control": "max-age=60"}}
    routes = []
    for number, (on_error, _) in enumerate(ON_ERRORS):
        given = {"on_error": on_error} if on_error != "by default" else {}
        parts = {"ok": part("spare", "/ok"), "down": part("up", "/down", **given)}
        routes.append(route(parts, f"/{number}", f"r{number}", respond=respond))
    async with (
        upstream(serving({}, answer("{}", code=500))) as service,
        upstream(serving({}, echo)) as spare,
        composing(tmp_path, config({"up": service.port, "spare": spare.port}, *routes)) as served,
    ):
        problems = [{"part": "down", "status": 502, "type": "part_failed", "detail": "the part 'down' failed"}]
        for number, (_, shown) in enumerate(ON_ERRORS):
            message = await served.ask(f"/{number}")
            assert message.status == 200
            assert json.loads(message.body) == {"ok": "/ok", **shown, "problems": problems}
            assert message.get("x-gateway-completed") == "false"
            # It may be whole the next time.
            assert message.all("cache-control") == ["no-store"]
            assert f"r{number}/down: the part down answered 500" in caplog.messages


async def test_another_upstream_is_asked_where_nothing_can_be_asked_of_the_own(tmp_path: Path) -> None:
    parts = {
        "a": part("up", "/a"),
        "b": part("up", "/{a.missing}", on_error={"from": "up", "path": "/b"}),
        "c": part("up", "/{item.id}", foreach="a", on_error={"from": "up", "path": "/c"}),
        "d": part("up", "/{a.missing}", on_error={"from": "up"}),
    }
    async with (
        upstream(serving({"/a": answer('[{"id": 1}, {}, {"id": 2}, {}]')}, echo)) as service,
        composing(tmp_path, config({"up": service.port}, route(parts))) as served,
    ):
        page = await served.page()
        assert (page["b"], page["c"]) == ("/b", ["/1", "/c", "/2", "/c"])
        assert "d" not in page
        assert sorted(targets(service)) == ["/1", "/2", "/a", "/b", "/c"]


POLICIES: list[tuple[str, list[str], int]] = [
    ("required", ["bad", "worse"], 200),
    ("required", ["good", "bad"], 200),
    ("any", ["good", "bad"], 200),
    ("any", ["bad", "worse"], 502),
    ("any", ["missing", "bad"], 404),
    ("any", ["rescued", "bad"], 200),
    ("any", ["valued", "bad"], 502),
    ("all", ["good", "good2"], 200),
    ("all", ["good", "bad"], 502),
    ("all", ["good", "missing"], 404),
    ("all", ["good", "unasked"], 200),
]


async def test_status_is_by_the_policy(tmp_path: Path) -> None:
    known = {
        "good": part("up", "/good"),
        "good2": part("up", "/good"),
        "bad": part("up", "/bad"),
        "worse": part("up", "/worse"),
        "missing": part("up", "/missing"),
        "rescued": part("up", "/bad", on_error={"from": "up", "path": "/good"}),
        "valued": part("up", "/bad", on_error={"value": 1}),
        "unasked": part("up", "/bad", when="query.never"),
    }
    handlers = {"/good": answer("1"), "/bad": answer("{}", code=500), "/worse": answer("<p>")}
    routes = [
        route({name: known[name] for name in names}, f"/{number}", f"r{number}", respond={"status": policy})
        for number, (policy, names, _) in enumerate(POLICIES)
    ]
    async with (
        upstream(serving(handlers)) as service,
        composing(tmp_path, config({"up": service.port}, *routes)) as served,
    ):
        for number, case in enumerate(POLICIES):
            assert (await served.ask(f"/{number}")).status == case[2], case


# what parts have of their own


async def test_cache_is_keyed_by_who_asks(tmp_path: Path) -> None:
    write_plugin(tmp_path, "identity", IDENTITY)
    parts = {
        "kept": part("up", "/kept", cache="1m", forward=["X-Tenant"]),
        "list": part("up", "/list", cache={"for": "1m"}),
        "items": part("up", "/items/{item}", foreach="list", cache="1m"),
        "fresh": part("up", "/fresh", cache="1m"),
    }
    handlers = {"/list": answer("[1, 2]"), "/fresh": answer("1", b"Cache-Control: no-store")}
    async with (
        upstream(serving(handlers, echo)) as service,
        composing(tmp_path, config({"up": service.port}, route(parts), plugins=["identity"])) as served,
    ):
        first = await served.page("/page?as=alice")
        assert first == {"kept": "/kept", "list": [1, 2], "items": ["/items/1", "/items/2"], "fresh": 1}
        assert len(service.requests) == 5
        assert await served.page("/page?as=alice") == first
        assert targets(service)[5:] == ["/fresh"]
        await served.page("/page?as=bob")
        assert len(service.requests) == 11
        await served.page("/page?as=bob", b"X-Tenant: t1")
        assert sorted(targets(service)[11:]) == ["/fresh", "/kept"]


async def test_retries_of_a_part_are_its_own(tmp_path: Path) -> None:
    retries = {"attempts": 3, "on": ["503"], "budget": "100%"}
    parts = {"patient": part("up", "/patient", retries=retries), "hasty": part("up", "/hasty", retries={"attempts": 1})}
    busy = answer("{}", code=503)
    async with (
        upstream(serving({}, busy)) as service,
        composing(
            tmp_path, config({"up": {"ports": service.port, "retries": {**retries, "attempts": 2}}}, route(parts))
        ) as served,
    ):
        message = await served.ask()
        assert json.loads(message.body) == {}
        assert sorted(targets(service)) == ["/hasty", *["/patient"] * 3]


async def test_breaker_of_a_part_opens_and_answers_at_once(tmp_path: Path) -> None:
    breaker = {"requests": 2, "sleep": "1m"}
    parts = {
        "literal": part("up", "/literal", breaker={**breaker, "fallback": {"json": {"from": "fallback"}}}),
        "omitted": part("up", "/omitted", breaker=breaker),
        "elsewhere": part("up", "/elsewhere", breaker=breaker, on_error={"from": "spare"}),
    }
    async with (
        upstream(serving({}, answer("{}", code=500))) as service,
        upstream(serving({}, echo)) as spare,
        composing(tmp_path, config({"up": service.port, "spare": spare.port}, route(parts))) as served,
    ):
        for _ in range(4):
            page = await served.page()
            assert page == {"literal": {"from": "fallback"}, "elsewhere": "/elsewhere"}
        # Whatever stands in is guarded by no breaker of the part's.
        assert targets(spare) == ["/elsewhere"] * 4
        assert sorted(targets(service)) == [*["/elsewhere"] * 2, *["/literal"] * 2, *["/omitted"] * 2]
        listed = (await served.worker.get("/api/breakers")).data
        assert "page/literal" in json.dumps(listed)


XML = b"<?xml version='1.0'?><order id='7'><line>a</line><line>b</line><total>9.990</total></order>"
SOAP = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
    b'<PriceResponse xmlns="urn:p"><price>9.990</price></PriceResponse></s:Body></s:Envelope>'
)
FAULT = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>'
    b"<faultcode>s:Client</faultcode><faultstring>no such item</faultstring></s:Fault></s:Body></s:Envelope>"
)


async def test_parts_that_speak_no_json(tmp_path: Path) -> None:
    soap = {"soap": {"operation": "GetPrice", "namespace": "urn:p", "types": {"price": "number"}}}
    parts = {
        "order": part("up", "/xml", format={"xml": {"root": "order", "types": {"total": "number"}}}),
        "price": part("up", "/soap", format=soap, method="POST", body={"item": "{order.@id}"}),
        "login": part("up", "/form", format="form", method="POST", body={"user": "a b", "to": ["x", "y"]}),
        "fault": part("up", "/fault", format=soap, method="POST", body={"item": "{id}"}),
    }
    handlers = {
        "/xml": answer(XML, content_type=b"application/xml"),
        "/soap": answer(SOAP, content_type=b"text/xml; charset=utf-8"),
        "/form": answer(b"token=t%201&scope=a&scope=b", content_type=b"application/x-www-form-urlencoded"),
        "/fault": answer(FAULT, code=500, content_type=b"text/xml"),
    }
    async with (
        upstream(serving(handlers)) as service,
        composing(
            tmp_path, config({"up": service.port}, route(parts, "/page/{id}", respond={"errors": "errors"}))
        ) as served,
    ):
        message = await served.ask("/page/9")
        assert b'"total":9.990' in message.body
        page = json.loads(message.body)
        assert page["order"]["line"] == ["a", "b"]
        assert json.dumps(page["price"]).count("9.99") == 1
        assert page["login"] == {"token": "t 1", "scope": ["a", "b"]}
        assert [(error["part"], error["status"]) for error in page["errors"]] == [("fault", 422)]
        asked = {target_of(one): one for one in service.requests}
        assert b"7" in asked["/soap"].body
        assert asked["/soap"].body.startswith(b"<")
        assert asked["/form"].get("content-type") == "application/x-www-form-urlencoded"
        assert sorted(asked["/form"].body.split(b"&")) == [b"to=x", b"to=y", b"user=a+b"]
