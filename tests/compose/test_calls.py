"""What a part asks, and a part that is asked for each item of a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.compose.calls import Question, question
from gateway.compose.run import Composition
from gateway.compose.template import MISSING, Unresolved
from gateway.errors import Kind
from gateway.shaping.exact import write
from tests.support.compositions import Asked, Client, Stage, staged

LIST = "list: {from: catalog, path: /list, required: true}\n"
EACH = LIST + "each: {from: users, path: '/each/{item.id}', foreach: list.items%s}"


async def asked(folder: Path, part: str, target: str = "/p/42", **options: Any) -> Asked:
    stage = staged(folder, part)
    stage.ask(target, **options)
    (only,) = stage.asked
    return only


async def test_json_bodies_and_their_type(tmp_path: Path) -> None:
    part = 'a: {from: catalog, path: /a, method: PUT, body: {id: "{id}", n: 1.50, q: "{query.x:-none}"}}'
    one = await asked(tmp_path, part)
    assert (one.method, one.body) == ("PUT", b'{"id":"42","n":1.5,"q":"none"}')
    assert (one.all("content-type"), one.all("content-length")) == (["application/json"], ["30"])


async def test_a_part_without_a_body(tmp_path: Path) -> None:
    one = await asked(tmp_path, "a: {from: catalog, path: /a}", method="POST", body=b"theirs", content_type="a/b")
    assert (one.method, one.body, one.all("content-type"), one.all("content-length")) == ("GET", b"", [], [])


async def test_null_is_a_body(tmp_path: Path) -> None:
    assert (await asked(tmp_path, "a: {from: catalog, path: /a, method: POST, body: null}")).body == b"null"


async def test_formats(tmp_path: Path) -> None:
    soap = "{soap: {operation: Get, namespace: 'urn:x', action: do}}"
    part = f"a: {{from: catalog, path: /a, method: POST, format: {soap}, body: {{id: '{{id}}'}}}}"
    one = await asked(tmp_path, part)
    assert one.all("content-type") == ["text/xml; charset=utf-8"]
    assert (one.all("accept"), one.all("soapaction")) == (["text/xml"], ['"do"'])
    assert b"<Get><id>42</id></Get>" in one.body
    bare = await asked(tmp_path, f"a: {{from: catalog, path: /a, method: POST, format: {soap}}}")
    assert b"<soap:Body><Get/></soap:Body>" in bare.body
    form = await asked(tmp_path, "a: {from: catalog, path: /a, method: POST, format: form, body: {a: [x, '{id}']}}")
    assert (form.body, form.all("content-type")) == (b"a=x&a=42", ["application/x-www-form-urlencoded"])


async def test_fields_of_a_format_give_way_to_the_parts_own(tmp_path: Path) -> None:
    part = "a: {from: catalog, path: /a, method: POST, format: form, body: {a: b}, headers: {%s}}"
    one = await asked(tmp_path, part % "Content-Type: x/y, Accept: z/z")
    assert (one.all("content-type"), one.all("accept")) == (["x/y"], ["z/z"])


def test_what_is_asked_for_is_compared_whole() -> None:
    one = Question("/a", (b"X: 1\r\n",), b"b")
    assert one == Question("/a", (b"X: 1\r\n",), b"b")
    assert len({one, Question("/a", (b"X: 2\r\n",), b"b"), Question("/a", (b"X: 1\r\n",), None)}) == 3


async def test_what_nothing_fills(tmp_path: Path) -> None:
    stage = staged(tmp_path, LIST + "b: {from: users, path: /b, body: ['{list.x}'], method: POST}")
    stage.ask()
    (composition,) = stage.action._subrequests.keeper.owners
    assert isinstance(composition, Composition)
    part = stage.action.plan.parts[1]
    with pytest.raises(Unresolved):
        question(part, composition, MISSING, part.target)
    stage.asked[0].answer({"x": 5})
    assert stage.asked[1].body == b"[5]"


# foreach


async def test_for_each_item(tmp_path: Path) -> None:
    stage = staged(tmp_path, EACH % ", concurrency: 2")
    client = stage.ask()
    stage.asked[0].answer(b'{"items":[{"id":3},{"id":"a/b"},{"id":1.0},{"id":2}]}')
    assert stage.targets[1:] == ["/each/3", "/each/a%2Fb"]
    stage.asked[2].answer(b' {"n":2.0} ')
    assert stage.targets[3:] == ["/each/1.0"]
    stage.asked[1].answer(1)
    stage.asked[4].answer(4)
    assert not client.status
    stage.asked[3].answer(3)
    assert client.body.endswith(b'"each":[1, {"n":2.0} ,3,4]}')
    assert client.get("x-gateway-completed") == "true"
    stage.check()


async def test_the_same_question_is_asked_once(tmp_path: Path) -> None:
    stage = staged(tmp_path, EACH % "")
    client = stage.ask()
    stage.asked[0].answer({"items": [{"id": 1}, {"id": 2}, {"id": 1}, {"id": "1"}]})
    assert stage.targets[1:] == ["/each/1", "/each/2"]
    stage.asked[2].answer("two")
    stage.asked[1].answer("one")
    assert client.data["each"] == ["one", "two", "one", "one"]
    stage.check()


async def test_so_many_items_at_most(tmp_path: Path) -> None:
    stage = staged(tmp_path, EACH % ", max: 3, concurrency: 9")
    stage.ask()
    stage.asked[0].answer({"items": [{"id": number} for number in range(9)]})
    assert stage.targets[1:] == ["/each/0", "/each/1", "/each/2"]


@pytest.mark.parametrize("items", [[], None])
async def test_no_items(tmp_path: Path, items: Any) -> None:
    stage = staged(tmp_path, EACH % "" + "\nafter: {from: users, path: /after, when: 'each == `[]`'}")
    client = stage.ask()
    stage.asked[0].answer({"items": items})
    stage.asked[1].answer(1)
    assert (client.data["each"], client.get("x-gateway-completed")) == ([], "true")
    stage.check()


@pytest.mark.parametrize("items", [{"id": 1}, "text", 5, True])
async def test_what_is_no_list(tmp_path: Path, items: Any, caplog: pytest.LogCaptureFixture) -> None:
    stage = staged(tmp_path, EACH % "")
    client = stage.ask()
    stage.asked[0].answer({"items": items})
    assert (client.status, "each" in client.data, client.get("x-gateway-completed")) == (200, False, "false")
    assert "page/each: the part each cannot be asked: 'list.items' is no list" in caplog.text


@pytest.mark.parametrize(
    ("on_error", "each", "completed"),
    [
        ("", [1, 4], "false"),
        (", on_error: omit", [1, 4], "false"),
        (", on_error: null", [1, None, None, 4], "false"),
        (", on_error: {value: {x: 1}}", [1, {"x": 1}, {"x": 1}, 4], "false"),
    ],
)
async def test_items_that_fail(tmp_path: Path, on_error: str, each: list[Any], completed: str) -> None:
    stage = staged(tmp_path, EACH % on_error, "respond: {errors: errors}")
    client = stage.ask()
    stage.asked[0].answer({"items": [{"id": 1}, {}, {"id": 3}, {"id": 4}]})
    assert stage.targets[1:] == ["/each/1", "/each/3", "/each/4"]
    stage.asked[2].answer(status=500)
    stage.asked[1].answer(1)
    stage.asked[3].answer(4)
    assert (client.data["each"], client.get("x-gateway-completed")) == (each, completed)
    assert [error["part"] for error in client.data["errors"]] == ["each"], "it is told once"
    stage.check()


async def test_nothing_but_items_that_cannot_be_asked_for(tmp_path: Path) -> None:
    stage = staged(tmp_path, EACH % ", on_error: null")
    client = stage.ask()
    stage.asked[0].answer({"items": [{}, 5]})
    assert client.data["each"] == [None, None]
    assert len(stage.asked) == 1
    stage.check()


async def test_another_upstream_for_an_item(tmp_path: Path) -> None:
    stage = staged(tmp_path, EACH % ", on_error: {from: reviews, path: '/other/{item.id}'}")
    client = stage.ask()
    stage.asked[0].answer({"items": [{"id": 1}, {"id": 2}]})
    stage.asked[1].fail()
    assert (stage.asked[3].target, stage.asked[3].port) == ("/other/1", 2)
    stage.asked[3].answer("other")
    stage.asked[2].answer("two")
    assert client.data["each"] == ["other", "two"]
    stage.check()


@pytest.mark.parametrize("first", ["answered", "unasked"])
async def test_a_required_list_fails_with_its_first_item(tmp_path: Path, first: str) -> None:
    stage = staged(tmp_path, EACH % ", required: true, concurrency: 2")
    client = stage.ask()
    items = [{"id": number} for number in range(5)]
    stage.asked[0].answer({"items": items if first == "answered" else [{"id": 1}, {}]})
    if first == "answered":
        stage.asked[2].answer(status=404)
        assert (len(stage.asked), stage.asked[1].left) == (3, True)
    else:
        assert len(stage.asked) == 1
    assert client.status == (404 if first == "answered" else 502)
    assert (client.answers, client.finishes) == (1, 1)
    stage.check()


async def test_all_items_are_in_the_cache(tmp_path: Path) -> None:
    stage = staged(tmp_path, EACH % ", cache: 60s, concurrency: 1")
    for number in range(2):
        client = stage.ask()
        stage.asked[-1].answer({"items": [{"id": 1}, {"id": 2}, {"id": 3}]})
        for one in (1, 2, 3) if not number else ():
            stage.asked[-1].answer(one)
        assert client.data["each"] == [1, 2, 3]
    assert len(stage.asked) == 5
    stage.check()


async def test_others_refer_to_the_list(tmp_path: Path) -> None:
    parts = EACH % ", pick: n, group: all" + "\nlast: {from: reviews, path: '/last/{each.1}?all={each}'}"
    stage = staged(tmp_path, parts)
    client = stage.ask()
    stage.asked[0].answer({"items": [{"id": 1}, {"id": 2}]})
    stage.asked[1].answer(b'{"n":1.50}')
    stage.asked[2].answer({"n": "b c"})
    assert stage.asked[3].target == "/last/b%20c?all=1.50,b%20c"
    stage.asked[3].answer(None)
    assert list(client.data) == ["list", "all", "last"]


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 5), max_size=12),
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=15),
)
async def test_a_list_keeps_its_order_whatever_comes_first(
    tmp_path_factory: pytest.TempPathFactory, items: list[int], concurrency: int, ends: list[tuple[int, bool]]
) -> None:
    stage = stage_of(tmp_path_factory, concurrency)
    seen = len(stage.asked)
    client: Client = stage.ask()
    stage.asked[seen].answer({"items": [{"id": item} for item in items]})
    over: set[int] = set()
    good: dict[str, bool] = {}
    for end, well in [*ends, *[(0, True)] * 12]:
        calls = [number for number in range(seen + 1, len(stage.asked)) if number not in over]
        assert len(calls) <= concurrency
        if not calls:
            break
        assert len(calls) == concurrency or len(stage.asked) - seen - 1 == len(set(items)), "as many as may run do"
        number = calls[end % len(calls)]
        over.add(number)
        one = stage.asked[number]
        good[one.target] = well
        one.answer(write(one.target)) if well else one.fail(Kind.UPSTREAM_RESET)
    targets = [f"/each/{item}" for item in items]
    assert client.data["each"] == [target for target in targets if good[target]]
    assert (client.answers, client.finishes) == (1, 1)
    stage.check()


STAGES: dict[int, Stage] = {}


def stage_of(folders: pytest.TempPathFactory, concurrency: int) -> Stage:
    """One stage serves all examples."""
    if concurrency not in STAGES:
        STAGES[concurrency] = staged(folders.mktemp("list"), EACH % f", concurrency: {concurrency}")
    return STAGES[concurrency]
