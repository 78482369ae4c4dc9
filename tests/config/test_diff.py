"""Two effective configurations, compared by what they do."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.diff import ABSENT, Change, differences
from gateway.config.dump import dump
from gateway.config.load import load
from tests.support.runtimes import write_config

MAIN = """\
version: 1
plugins: [tracing_ids, {cors: {a: 1}}, {cors: {a: 2}}]
limits: {request_body: 10MiB}
upstreams:
  one: {endpoints: ['http://127.0.0.1:1']}
  two: {endpoints: ['http://127.0.0.1:2']}
routes:
  - {name: a, match: {path: /a}, to: one, plugins: [breaker, {headers: {x: 1}}]}
  - {name: b, match: {path: /b}, to: two}
include: [web.yaml]
"""
WEB = "frontend: web\nprefix: /w\nplugins: [cors]\nroutes: [{name: a, match: {path: /x}, to: one}]\n"


def shown(folder: Path, main: str, web: str = WEB) -> dict[str, Any]:
    (folder / "web.yaml").write_text(web)
    loaded = load(write_config(folder, main), {})
    assert loaded.spec is not None, loaded.problems
    return dump(loaded.spec, frontends=loaded.frontends)


def told(change: Change) -> list[Any]:
    details = [
        (detail.key, *("-" if value is ABSENT else value for value in (detail.before, detail.after)))
        for detail in change.details
    ]
    return [f"{change.kind} {change.what} {change.name}", *details]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("10MiB", "20MiB", ["changed setting limits.request_body", ("limits.request_body", "10MiB", "20MiB")]),
        ("path: /b}", "path: /c}", ["changed route b", ("match.path", "/b", "/c")]),
        ("name: b,", "name: c,", ["added route c"]),
        (
            "'http://127.0.0.1:2'",
            "'http://127.0.0.1:2', 'http://127.0.0.1:3'",
            [
                "changed upstream two",
                (
                    "endpoints",
                    [{"url": "http://127.0.0.1:2", "weight": 1, "priority": 0}],
                    [{"url": f"http://127.0.0.1:{port}", "weight": 1, "priority": 0} for port in (2, 3)],
                ),
            ],
        ),
        ("{a: 2}", "{a: 3}", ["changed plugin cors#2", ("a", 2, 3)]),
        ("tracing_ids, ", "", ["removed plugin tracing_ids"]),
        ("tracing_ids, {cors: {a: 1}}", "{cors: {a: 1}}, tracing_ids", ["changed setting order of plugins"]),
        ("[breaker, {headers", "[{headers", ["changed route a", ("plugins.breaker", {}, "-")]),
        ("{x: 1}", "{x: 1, y: {z: 2}}", ["changed route a", ("plugins.headers.y", "-", {"z": 2})]),
        (
            "[breaker, {headers: {x: 1}}]",
            "[{headers: {x: 1}}, breaker]",
            ["changed route a", ("order of plugins", ["breaker", "headers"], ["headers", "breaker"])],
        ),
    ],
)
def test_what_is_different(tmp_path: Path, old: str, new: str, expected: list[Any]) -> None:
    assert old in MAIN
    changes = differences(shown(tmp_path, MAIN), shown(tmp_path, MAIN.replace(old, new)))
    assert told(changes[0]) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("prefix: /w", "prefix: /v", ["changed frontend web", ("prefix", "/w", "/v")]),
        ("path: /x", "path: /y", ["changed route web/a", ("match.path", "/x", "/y")]),
        ("[cors]", "[]", ["removed plugin web/cors"]),
        ("frontend: web", "frontend: mobile", ["removed plugin web/cors"]),
    ],
)
def test_frontends(tmp_path: Path, old: str, new: str, expected: list[Any]) -> None:
    changes = differences(shown(tmp_path, MAIN), shown(tmp_path, MAIN, WEB.replace(old, new)))
    assert expected in [told(change) for change in changes]


def test_what_says_the_same_is_the_same(tmp_path: Path) -> None:
    before = shown(tmp_path, MAIN)
    other = "# moved\n" + MAIN.replace("10MiB", "10240KiB").replace("to: two", "to: [{upstream: two}], priority: 0")
    assert differences(before, shown(tmp_path, other)) == []


def test_the_order_of_routes_counts(tmp_path: Path) -> None:
    before = shown(tmp_path, MAIN)
    after = copy.deepcopy(before)
    after["routes"].reverse()
    assert [told(change) for change in differences(before, after)] == [["changed setting order of routes"]]


def test_places_are_those_of_the_second_file(tmp_path: Path) -> None:
    before = shown(tmp_path, MAIN)
    text = MAIN.replace("{x: 1}", "\n    {x: 2}").replace("plugins: [tr", "plugins: [security_headers, tr")
    after = shown(tmp_path, text)
    loaded = load(tmp_path / "routes.yaml", {})
    added, changed = differences(before, after)
    assert added.at is not None
    assert loaded.position(added.at).line == 2
    assert loaded.position(changed.details[0].at).line == 9
    assert changed.details[0].at == ("routes", 0, "plugins", 1, "headers", "x")


names = st.sampled_from("abcd")
routes = st.lists(st.fixed_dictionaries({"name": names, "x": st.integers(0, 2)}), unique_by=lambda one: one["name"])
configurations = st.fixed_dictionaries(
    {
        "name": names,
        "plugins": st.lists(st.one_of(names, st.dictionaries(names, st.just({"y": 1}), min_size=1, max_size=1))),
        "upstreams": st.dictionaries(names, st.fixed_dictionaries({"x": st.integers(0, 2)})),
        "routes": routes,
        "frontends": st.lists(st.builds(lambda name: {"frontend": name}, names), unique_by=lambda one: one["frontend"]),
    }
)


@given(configurations, configurations)
def test_nothing_is_told_of_what_is_the_same_and_something_of_what_is_not(one: Any, other: Any) -> None:
    assert differences(one, copy.deepcopy(one)) == []
    forth, back = differences(one, other), differences(other, one)
    turned = {"added": "removed", "removed": "added", "changed": "changed"}
    assert sorted((turned[c.kind], c.what, c.name) for c in forth) == sorted((c.kind, c.what, c.name) for c in back)
    if not forth:
        mine, theirs = ([route["name"] for route in data["routes"]] for data in (one, other))
        assert (mine, one["upstreams"], one["name"]) == (theirs, other["upstreams"], other["name"])
