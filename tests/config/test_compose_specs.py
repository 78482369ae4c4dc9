"""What a file may say about a composition, and what it is told when it says something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config.compose_specs import ComposeSpec, InPlaceSpec, PartCacheSpec, PartSpec
from gateway.config.document import parse
from gateway.config.dump import dump
from gateway.config.load import Loaded, load
from gateway.config.plugin_use import PluginUse
from gateway.config.schema import json_schema
from gateway.library import Library

jsonschema = pytest.importorskip("jsonschema")
HEAD = """version: 1
upstreams: {up: {endpoints: ['http://a']}}
routes:
- name: r
  compose:
    parts:
"""


def loaded(folder: Path, part: str, respond: str = "") -> Loaded:
    path = folder / "routes.yaml"
    path.write_text(f"{HEAD}      {part}\n" + (f"    respond: {respond}\n" if respond else ""))
    return load(path, {"SECRET": "geheim"})


def compose_of(found: Loaded) -> ComposeSpec:
    assert found.problems == ()
    assert found.spec is not None
    compose = found.spec.routes[0].compose
    assert compose is not None
    return compose


def test_the_defaults(tmp_path: Path) -> None:
    compose = compose_of(loaded(tmp_path, "a: {from: up, path: /x}"))
    part = compose.parts["a"]
    assert (compose.timeout, compose.respond.merge, compose.respond.status) == (None, "namespaced", "required")
    assert (compose.respond.errors, compose.respond.timing, compose.respond.headers) == (None, True, {})
    assert (part.method, part.required, part.timeout, part.max_body) == ("GET", False, 5.0, 1 << 20)
    assert (part.item, part.max, part.concurrency, part.forward, part.headers) == ("item", 16, 4, (), {})
    assert (part.on_error, part.breaker, part.cache, part.retries, part.format) == (None, None, None, None, None)
    assert "body" not in part.model_fields_set
    assert PartCacheSpec.model_validate("5s").size == 16 << 20


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("on_error: fail", "on_error", "fail"),
        ("on_error: null", "on_error", "null"),
        ("on_error: 'null'", "on_error", "null"),
        ("on_error: {value: null}", "on_error", InPlaceSpec(value=None)),
        (
            "on_error: {from: up, path: /b}",
            "on_error",
            InPlaceSpec.model_validate({"from": "up", "path": "/b"}),
        ),
        ("cache: 5s", "cache", PartCacheSpec.model_validate({"for": "5s"})),
        ("cache: {for: 5s, size: 1KiB}", "cache", PartCacheSpec.model_validate({"for": "5s", "size": "1KiB"})),
        ("breaker: {requests: 4}", "breaker", PluginUse("breaker", {"requests": 4})),
        ("breaker: {}", "breaker", PluginUse("breaker")),
        ("breaker: null", "breaker", PluginUse("breaker")),
        ("as: one", "item", "one"),
        ("body: null", "body", None),
        ("format: {soap: {operation: X}}", "format", {"soap": {"operation": "X"}}),
    ],
)
def test_what_may_be_said(tmp_path: Path, text: str, key: str, value: Any) -> None:
    part = compose_of(loaded(tmp_path, f"a: {{from: up, path: /x, {text}}}")).parts["a"]
    assert getattr(part, key) == value
    assert key in part.model_fields_set


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("a: {from: up}", ":7:10: missing key 'path' in routes[0].compose.parts.a"),
        ("a: {path: /x}", ":7:10: missing key 'from' in routes[0].compose.parts.a"),
        ("a: {from: up, pth: /x}", ":7:21: unknown key 'pth' in routes[0].compose.parts.a; did you mean 'path'?"),
        ("a: {from: up, path: x}", ":7:27: routes[0].compose.parts.a.path: a path begins with '/'; write /x"),
        ("a: {from: upp, path: /x}", ":7:17: unknown upstream 'upp'; did you mean 'up'?"),
        ("a: {from: up, path: /x, on_error: {from: upp}}", ":7:48: unknown upstream 'upp'; did you mean 'up'?"),
        ("a: {from: up, path: /x, method: get}", "methods are case-sensitive; write GET"),
        ("a-b: {from: up, path: /x}", ":7:7: routes[0].compose.parts: 'a-b' is not a name for a place; use letters"),
        ("1: {from: up, path: /x}", ":7:7: a key must be text, and '1' is not"),
        ("a: {from: up, path: /x, as: a-b}", "'a-b' is not a name for a place"),
        (
            "a: {from: up, path: /x, on_error: skip}",
            ":7:41: routes[0].compose.parts.a.on_error: should be 'fail'",
        ),
        (
            "a: {from: up, path: /x, on_error: {frm: up}}",
            ":7:42: unknown key 'frm' in routes[0].compose.parts.a",
        ),
        ("a: {from: up, path: /x, on_error: {}}", "should be exactly one of value and from"),
        ("a: {from: up, path: /x, on_error: {value: 1, from: up}}", "should be exactly one of value and from"),
        ("a: {from: up, path: /x, on_error: {value: 1, path: /y}}", "path is for another upstream; add from"),
        ("a: {from: up, path: /x, cache: 5}", "should be a duration or a mapping (key: value)"),
        ("a: {from: up, path: /x, cache: 0s}", "should be more than 0"),
        ("a: {from: up, path: /x, timeout: 0s}", "should be more than 0"),
        ("a: {from: up, path: /x, max: 0}", "should be at least 1"),
        ("a: {from: up, path: /x, concurrency: true}", "should be a whole number"),
        (
            "a: {from: up, path: /x, breaker: rate_limit}",
            "should be a mapping (key: value), the options of the plugin breaker",
        ),
        (
            "a: {from: up, path: /x, breaker: [1]}",
            "should be a mapping (key: value), the options of the plugin breaker",
        ),
        ("a: {from: up, path: /x, headers: {Host: a}}", "told the client's Host, or what `host` at its upstream says"),
        (
            "a: {from: up, path: /x, headers: {Accept-Encoding: gzip}}",
            "'Accept-Encoding' is the gateway's own",
        ),
        ("a: {from: up, path: /x, headers: {Content-Length: '1'}}", "'Content-Length' is set by the gateway itself"),
        ("a: {from: up, path: /x, headers: {X: 'a', x: 'b'}}", "'x' and 'X' are the same header"),
        ('a: {from: up, path: /x, headers: {X: "a\\r\\nb"}}', "a header value holds no line ends"),
        ("a: {from: up, path: /x, forward: [host]}", ":7:41: routes[0].compose.parts.a.forward[0]: a part is told"),
        ("a: {from: up, path: /x, forward: [transfer-encoding]}", "'transfer-encoding' is set by the gateway itself"),
        ("a: {from: up, path: /x, forward: [Expect]}", "'Expect' is the gateway's own"),
        ("a: {from: up, path: /x, forward: [a b]}", "'a b' is not a header name"),
        ("a: {from: up, path: /x, body: .nan}", "JSON has no .inf and no .nan"),
        ("a: 5", ":7:10: routes[0].compose.parts.a: should be a mapping (key: value)"),
        ("a:", "is empty; it should be a mapping (key: value)"),
        ("a: {from: up, path: /x}\n      a: {from: up, path: /y}", ":8:7: "),
    ],
)
def test_what_is_wrong_with_a_part(tmp_path: Path, part: str, said: str) -> None:
    found = [str(problem) for problem in loaded(tmp_path, part).problems]
    assert [one for one in found if said in one], found


@pytest.mark.parametrize(
    ("respond", "said"),
    [
        ("{merg: deep}", ":8:15: unknown key 'merg' in routes[0].compose.respond; did you mean 'merge'?"),
        ("{merge: wide}", "should be 'namespaced', 'shallow' or 'deep', not 'wide'"),
        ("{status: some}", "should be 'required', 'any' or 'all', not 'some'"),
        ("{headers: {ETag: a}}", "'ETag' is set by the gateway itself"),
        ("{headers: {x-gateway-completed: a}}", "'x-gateway-completed' is set by the gateway itself"),
        ("{errors: ''}", "errors"),
    ],
)
def test_what_is_wrong_with_the_answer(tmp_path: Path, respond: str, said: str) -> None:
    (found,) = loaded(tmp_path, "a: {from: up, path: /x}", respond).problems
    assert said in str(found)


def test_a_composition_has_parts(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text("version: 1\nroutes:\n- {name: r, compose: {parts: {}}}\n- {name: s, compose: {}}\n")
    found = [str(problem) for problem in load(path, {}).problems]
    assert any("compose.parts: should" in one for one in found), found
    assert any("missing key 'parts'" in one for one in found), found


def test_a_breaker_knows_its_place(tmp_path: Path) -> None:
    part = compose_of(loaded(tmp_path, "a: {from: up, path: /x, breaker: {requests: 4}}")).parts["a"]
    assert part.breaker is not None
    assert str(part.breaker.position).endswith("routes.yaml:7:31")
    assert part.breaker.options_node is not None
    assert str(part.breaker.options_node.position).endswith("routes.yaml:7:40")


def test_the_effective_configuration(tmp_path: Path) -> None:
    text = "a: {from: up, path: /x, on_error: {from: up}, breaker: {requests: 4, fallback: {text: '${SECRET}'}}}"
    found = loaded(tmp_path, text)
    assert found.spec is not None
    options = {"breaker": Library(tmp_path).find("breaker").Options}
    (shown,) = [route["compose"]["parts"]["a"] for route in dump(found.spec, options, {"geheim"})["routes"]]
    assert (shown["from"], shown["on_error"]["from"], shown["as"], shown["timeout"]) == ("up", "up", "item", "5s")
    assert (shown["breaker"]["requests"], shown["breaker"]["window"]) == (4, "10s")
    assert shown["breaker"]["fallback"]["text"] == "***"
    (raw,) = [route["compose"]["parts"]["a"]["breaker"] for route in dump(found.spec)["routes"]]
    assert raw["requests"] == 4


# the schema that editors read


@pytest.fixture(scope="module")
def validator() -> Any:
    library = Library(Path("."))
    options = {"breaker": library.find("breaker").Options}
    return jsonschema.Draft202012Validator(json_schema(options))


def accepts(validator: Any, part: str, respond: str = "{}") -> bool:
    root = parse("f.yaml", f"{HEAD}      {part}\n    respond: {respond}\n".encode()).root
    assert root is not None
    return validator.is_valid(root.plain())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "part",
    [
        "a: {from: up, path: '/{id}', required: true, pick: a, timeout: 5s, max_body: 1KiB}",
        "a: {from: up, path: /x, on_error: omit, retries: {attempts: 2}, cache: 5s, when: a, forward: [X]}",
        "a: {from: up, path: /x, on_error: {value: []}, cache: {for: 5s}, foreach: a, as: b, max: 3, concurrency: 2}",
        "a: {from: up, path: /x, on_error: {from: up, path: /y}, breaker: {requests: 4, fallback: {text: a}}}",
        "a: {from: up, path: /x, breaker: null, body: {a: [1]}, format: {soap: {operation: X}}, headers: {A: b}}",
    ],
)
def test_the_schema_takes_what_the_loader_takes(validator: Any, tmp_path: Path, part: str) -> None:
    assert loaded(tmp_path, part).problems == ()
    assert accepts(validator, part, "{merge: deep, status: any, errors: e, timing: false, headers: {A: b}}")


@pytest.mark.parametrize(
    "part",
    [
        "a: {from: up}",
        "a: {from: up, pth: /x, path: /y}",
        "a: {from: up, path: /x, on_error: skip}",
        "a: {from: up, path: /x, on_error: {frm: up}}",
        "a: {from: up, path: /x, breaker: {requsts: 4}}",
        "a: {from: up, path: /x, breaker: rate_limit}",
        "a: {from: up, path: /x, max: many}",
        "a: {from: up, path: /x, retries: {atempts: 2}}",
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(validator: Any, part: str) -> None:
    assert not accepts(validator, part)
    assert not accepts(validator, "a: {from: up, path: /x}", "{merg: deep}")


def test_parts_can_be_made_in_code() -> None:
    part = PartSpec.model_validate({"from": "up", "path": "/x", "breaker": PluginUse("breaker")})
    assert (part.upstream, part.breaker) == ("up", PluginUse("breaker"))
