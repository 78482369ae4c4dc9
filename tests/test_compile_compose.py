"""What is wrong with a composition is told at its place, all of it at once; what is right becomes a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.chain import EMPTY
from gateway.compile import Generation
from gateway.compile_compose import parts_of
from gateway.compose.plan import Plan
from gateway.compose.run import Compose
from gateway.upstreams.retry import RetryPolicy
from tests.support.compositions import compiled, config_of, staged

# The line of the first part in a configuration of `config_of`.
FIRST = 11
ISSUE = """version: 1
upstreams:
  catalog: {endpoints: [http://127.0.0.1:9001]}
  reviews: {endpoints: [http://127.0.0.1:9002]}
  users: {endpoints: [http://127.0.0.1:9003]}
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
"""  # noqa: E501 - as the users' guide has it


def problems(folder: Path, parts: str, more: str = "", **options: str) -> list[str]:
    found = compiled(folder, config_of(parts, more, **options))[1]
    return [one for one in found if "no route goes to the upstream" not in one]


def plan(folder: Path, parts: str, more: str = "", **options: str) -> Plan:
    return staged(folder, parts, more, **options).action.plan


def test_the_documented_example(tmp_path: Path) -> None:
    generation, found = compiled(tmp_path, ISSUE)
    assert (found, isinstance(generation, Generation)) == ([], True)
    assert generation is not None
    (route,) = generation.table.router.routes
    assert isinstance(route.action, Compose)
    plan = route.action.plan
    assert (plan.name, plan.timeout, plan.merge, plan.status, plan.errors, plan.timing) == (
        "product-page", 0.8, "namespaced", "required", None, True,
    )  # fmt: skip
    assert plan.headers == (("Content-Type", "application/json"), ("Cache-Control", "max-age=5"))
    product, reviews, seller, related = plan.parts
    assert [part.needs for part in plan.parts] == [(), (), (0,), (0,)]
    assert [part.timeout for part in plan.parts] == [5.0, 0.2, 5.0, 5.0]
    assert [part.on_error.kind for part in plan.parts] == ["fail", "value", "omit", "omit"]
    assert [part.key for part in plan.parts] == ["product", "reviews", "seller", "related"]
    assert [part.spliced for part in plan.parts] == [False, False, True, True]
    assert [part.referred for part in plan.parts] == [True, False, False, False]
    assert (related.most, related.concurrency, related.foreach is not None) == (8, 4, True)
    assert (product.required, reviews.on_error.value, seller.chain) == (True, [], EMPTY)
    assert seller.fixed == (b"Accept: application/json\r\n",)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (
            'a: {from: users, path: ^"/{prodct.x}"}',
            "nothing is called 'prodct' in {prodct.x}; did you mean 'product'?",
        ),
        ('a: {from: users, path: ^"/{idd}"}', "nothing is called 'idd' in {idd}; did you mean 'id'?"),
        ('a: {from: users, path: ^"/{zz}"}', "nothing is called 'zz' in {zz}; there are id, product, a, claims, "),
        ('a: {from: users, path: ^"/{"}', "'/{' has a brace that is no place: write {name}"),
        ('a: {from: users, path: ^"/{id.x}"}', "{id.x}: a capture is a text and has no fields"),
        ('a: {from: users, path: ^"/a#{id}"}', "'/a#{id}' is no path: write what is not visible ASCII, and '#', as"),
        ('a: {from: users, path: /x, headers: {X: ^"{nope}"}}', "nothing is called 'nope' in {nope}; there are"),
        ('a: {from: users, path: /x, body: ^{b: ["{nope}"]}}', "nothing is called 'nope'"),
        ('a: {from: users, path: /x, on_error: {from: users, path: ^"/{nope}"}}', "nothing is called 'nope'"),
        ('a: {from: users, path: /x, pick: ^"a..b"}', "'a..b' is not a JMESPath expression at character 3"),
        ('a: {from: users, path: /x, when: ^"a b"}', "'a b' is not a JMESPath expression"),
        ('a: {from: users, path: /x, when: ^"prodct.x"}', "nothing is called 'prodct' in {prodct.x}; did you mean"),
        ('a: {from: users, path: /x, when: ^"@"}', "name the fields"),
        ('a: {from: users, path: /x, foreach: ^"item.x"}', "nothing is called 'item' in {item.x}"),
        ('a: {from: users, path: ^"/{item}"}', "nothing is called 'item' in {item}"),
        ('^a: {from: users, path: "/{a.x}"}', "the part 'a' needs itself"),
        ("^header: {from: users, path: /x}", "'header' stands for something of the request; give the part another"),
        ("^id: {from: users, path: /x}", "'id' is captured by the path, too; give one of them another name"),
        (
            "a: {from: users, path: /x, as: ^y}",
            "'as' without 'foreach'; it is for a part that is asked for each item",
        ),
        ("a: {from: users, path: /x, max: ^3}", "'max' without 'foreach'"),
        ("a: {from: users, path: /x, concurrency: ^3}", "'concurrency' without 'foreach'"),
        (
            "a: {from: users, path: /x, foreach: product.x, as: ^product}",
            "'product' is something else already; give",
        ),
        ("a: {from: users, path: /x, foreach: product.x, as: ^id}", "'id' is something else already"),
        ("a: {from: users, path: /x, foreach: product.x, as: ^query}", "'query' is something else already"),
        ("item: ^{from: users, path: /x, foreach: product.x}", "'item' is something else already; give the item"),
        (
            "a: {from: users, path: /x, required: true, on_error: ^omit}",
            "a required part cannot be left out: on_error",
        ),
        ("a: {from: users, path: /x, required: true, on_error: ^null}", "cannot be left out: on_error 'null'; take"),
        (
            "a: {from: users, path: /x, required: true, on_error: ^{value: 1}}",
            "a required part has nothing in its place; take `required` away, or ask {from: UPSTREAM}",
        ),
        ("a: {from: users, path: /x, method: POST, cache: ^5s}", "answers to POST are not kept; a cache is for GET"),
        ("a: {from: users, path: /x, format: ^{soap: {operation: X}}}", "it can be asked by POST alone; add method"),
        ("a: {from: users, path: /x, format: ^sopa}", "'sopa' is no format; known: xml, form"),
        ("a: {from: users, path: /x, format: ^{xml: {lists: 1}}}", "lists"),
        (
            "a: {from: users, path: /x, headers: {X-A: b}, forward: [x-b, ^x-a]}",
            "'x-a' stands in `headers`, too; keep",
        ),
        ("a: {from: users, path: /x, breaker: {^requsts: 4}}", "unknown key 'requsts'; did you mean 'requests'?"),
        ("a: {from: users, path: /x, breaker: ^{errors: 0%}}", "errors should be more than 0, such as 50%"),
        ("a: {from: users, path: /x, ^breaker: {fallback: {to: usrs}}}", "unknown upstream 'usrs'; did you mean"),
        ("^a: {from: users, path: /x, group: product}", "the parts 'product' and 'a' both say 'product'; give one"),
    ],
)
def test_what_is_wrong_with_a_part(tmp_path: Path, part: str, said: str) -> None:
    """`^` stands before the place."""
    first = "product: {from: catalog, path: /p}"
    (found,) = problems(tmp_path, f"{first}\n{part.replace('^', '')}")
    place, _, message = found.partition(": ")
    assert place == f"routes.yaml:{FIRST + 1}:{9 + part.index('^')}", found
    assert said in message


@pytest.mark.parametrize(
    ("parts", "respond", "said"),
    [
        (
            "a: {from: users, path: /x, foreach: id}",
            "merge: shallow",
            ":11:45: a list cannot be merged in; add group: the key",
        ),
        (
            "a: {from: users, path: /x, on_error: null}",
            "merge: deep",
            ":11:46: what is merged in has to be an object; write omit, or {value: {...}}, or add group",
        ),
        ("a: {from: users, path: /x, on_error: {value: [1]}}", "merge: deep", ":11:46: what is merged in has to be"),
        ("a: {from: users, path: /x}", "errors: a", ":12:25: the part 'a' says 'a' already"),
    ],
)
def test_what_is_wrong_with_the_answer(tmp_path: Path, parts: str, respond: str, said: str) -> None:
    (found,) = problems(tmp_path, parts, f"respond: {{{respond}}}")
    assert said in found
    assert "error" not in problems(tmp_path, parts.replace("path: /x", "path: /x, group: g"), f"respond: {{{respond}}}")


@pytest.mark.parametrize(
    ("merge", "one", "other", "warns"),
    [
        ("shallow", "pick: '{x: a, y: b}'", "pick: '{y: c}'", True),
        ("shallow", "pick: '{x: a}'", "group: x", True),
        ("shallow", "group: x", "group: x", True),
        ("shallow", "pick: '{x: a}'", "pick: '{y: c}'", False),
        ("shallow", "pick: a", "pick: a", False),
        ("deep", "pick: '{x: a}'", "pick: '{x: c}'", False),
        ("namespaced", "pick: '{x: a}'", "pick: '{x: c}'", False),
    ],
)
def test_collisions_that_can_be_seen(tmp_path: Path, merge: str, one: str, other: str, warns: bool) -> None:
    parts = f"a: {{from: users, path: /x, {one}}}\nb: {{from: users, path: /y, {other}}}"
    found = problems(tmp_path, parts, f"respond: {{merge: {merge}}}")
    assert bool(found) is warns
    assert all(":12:9: warning: the parts 'a' and 'b' both say" in one and "the last one wins" in one for one in found)


def test_every_cycle_is_told(tmp_path: Path) -> None:
    parts = """
        a: {from: users, path: "/{b.x}"}
        b: {from: users, path: /x, when: c.x}
        c: {from: users, path: /x, body: ["{a.x}"]}
        d: {from: users, path: /x, headers: {X: "{e.x}"}}
        e: {from: users, path: /x, on_error: {from: users, path: "/{d.x}"}}
        f: {from: users, path: /x, foreach: f.x}
        g: {from: users, path: "/{nope}"}
        h: {from: users, path: "/{a.x}"}
    """
    found = problems(tmp_path, parts)
    assert [one.partition(": ")[2].partition(";")[0] for one in found] == [
        "the parts need each other: a needs b needs c needs a",
        "the parts need each other: d needs e needs d",
        "the part 'f' needs itself",
        "nothing is called 'nope' in {nope}",
    ]
    assert [one.split(":")[1] for one in found] == ["11", "14", "16", "17"]


def test_every_error_at_once_and_each_at_its_line(tmp_path: Path) -> None:
    parts = """
        a: {from: users, path: "/{x}", pick: "("}
        b: {from: users, path: "/", when: "y", headers: {X: "{z}"}}
        c: {from: users, path: "/", required: true, on_error: omit, format: q, method: POST, cache: 1s, breaker: {a: 1}}
    """
    found = problems(tmp_path, parts)
    assert [int(one.split(":")[1]) for one in found] == [11, 11, 12, 12, 13, 13, 13, 13]


# what is right


def test_what_a_part_is_compiled_to(tmp_path: Path) -> None:
    parts = """
        a: {from: users, path: /x, method: PUT, max_body: 2KiB, group: g, forward: [X-More], headers: {X-A: "{id}"}}
        b: {from: users, path: /x, headers: {accept: a/b}, cache: {for: 5s, size: 1KiB}, when: "a.x"}
        c: {from: users, path: /x, format: xml, pick: a, on_error: {from: catalog, path: "/{id}"}}
        d: {from: users, path: /x, required: true, on_error: {from: catalog}}
        e: {from: users, path: /x, method: POST, format: {soap: {operation: X}}}
    """
    a, b, c, d, e = plan(tmp_path, parts).parts
    assert (a.method, a.max_body, a.key, a.forwarded, a.named) == ("PUT", 2048, "g", {b"x-more"}, {b"x-a"})
    assert (a.label, a.number, a.referred, a.body, a.cache) == ("page/a", 0, True, None, None)
    assert (b.fixed, b.needs, b.cache is not None) == ((), (0,), True)
    assert (c.on_error.kind, c.on_error.upstream, c.on_error.target is not None) == ("from", "catalog", True)
    assert (c.spliced, c.codec is not None, c.fixed[0][:7]) == (False, True, b"Accept:")
    assert (d.required, d.on_error.kind, d.on_error.target) == (True, "from", None)
    assert (e.body is not None, len(e.fixed)) == (True, 2)


def test_what_is_merged_deeply_is_never_spliced(tmp_path: Path) -> None:
    parts = "a: {from: users, path: /x, group: g}\nb: {from: users, path: /y}"
    assert [part.spliced for part in plan(tmp_path, parts, "respond: {merge: deep}").parts] == [False, False]
    assert [part.spliced for part in plan(tmp_path, parts, "respond: {merge: shallow}").parts] == [True, False]


def test_a_part_has_retries_of_its_own(tmp_path: Path) -> None:
    parts = "a: {from: catalog, path: /x, retries: {attempts: 3, per_try: 1s}}\nb: {from: catalog, path: /y}"
    stage = staged(tmp_path, parts)
    a, b = stage.action.plan.parts
    upstream = stage.upstreams["catalog"]
    assert b.asks is None
    assert a.asks is not None
    assert isinstance(a.asks.retries, RetryPolicy)
    assert (upstream.retries, a.asks.retries.attempts, a.asks.per_try, a.asks.try_timeout) == (None, 3, 1.0, 1.0)
    assert a.asks.endpoints is upstream.endpoints
    assert a.asks.budget is not upstream.budget
    assert stage.table.derived == (a.asks,)


def test_breakers_of_parts_are_plugins(tmp_path: Path) -> None:
    parts = """
        a: {from: users, path: /x, breaker: {requests: 4}}
        b: {from: users, path: /y, breaker: {}}
        c: {from: users, path: /z}
    """
    generation, found = compiled(tmp_path, config_of(parts))
    assert generation is not None, found
    (route,) = generation.table.router.routes
    labels = [(label, [plugin.name for plugin in chain.plugins], up) for label, chain, up in parts_of(route.action)]
    assert labels == [("page/a", ["breaker"], "users"), ("page/b", ["breaker"], "users"), ("page/c", [], "users")]
    assert [str(generation.use_of(plugin).position).split(":")[-2:] for plugin in generation.plugins.values()] == [
        ["11", "36"],
        ["12", "36"],
    ]
    served = {name: up for routes in generation.served().values() for name, up in routes.items()}
    assert served == {"page/a": ("users",), "page/b": ("users",)}


def test_a_composition_serves_its_routes_plugins(tmp_path: Path) -> None:
    parts = "a: {from: users, path: /x}\nb: {from: catalog, path: /y}\nc: {from: users, path: /z}"
    generation, found = compiled(tmp_path, config_of(parts, route="plugins: [breaker]"))
    assert generation is not None, found
    assert list(generation.served().values()) == [{"page": ("users", "catalog")}]


def test_upstreams_of_parts_are_in_use(tmp_path: Path) -> None:
    def found(part: str) -> str:
        return "".join(compiled(tmp_path, config_of(part))[1])

    unused = "no route goes to the upstream 'users'"
    assert unused in found("a: {from: catalog, path: /x}\nb: {from: reviews, path: /x}")
    for part in (
        "a: {from: users, path: /x}",
        "a: {from: catalog, path: /x, on_error: {from: users}}",
        "a: {from: catalog, path: /x, breaker: {fallback: {to: users}}}",
    ):
        assert unused not in found(part)


def test_captures_of_any_kind(tmp_path: Path) -> None:
    text = config_of('a: {from: users, path: "/{lang}/{*rest}?p={rest}"}').replace("/p/{id}", "/{lang:de|en}/{*rest}")
    generation, found = compiled(tmp_path, text)
    assert generation is not None, found


def test_other_answers_have_their_own_type(tmp_path: Path) -> None:
    respond = "respond: {headers: {content-type: application/hal+json}, timing: false, errors: e, status: any}"
    found = plan(tmp_path, "a: {from: users, path: /x}", respond)
    assert found.headers == (("content-type", "application/hal+json"),)
    assert (found.timing, found.errors, found.status) == (False, "e", "any")
