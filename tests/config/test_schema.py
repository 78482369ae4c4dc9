"""The JSON Schema says yes to what the loader takes and no to what it refuses."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.config.document import parse
from gateway.config.schema import DIALECT, json_schema
from gateway.units import Duration

jsonschema = pytest.importorskip("jsonschema")

EXAMPLE = Path(__file__).parents[2] / "docs" / "example.yaml"
FIVE_SECONDS = Duration("5s")


@dataclass(frozen=True)
class Inner:
    count: int = 1
    for_: Duration = FIVE_SECONDS


@dataclass(frozen=True)
class Options:
    upstream: str
    sleep: Duration = FIVE_SECONDS
    inner: Inner | None = None


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json_schema({"breaker": Options, "tracing_ids": None})
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def with_route(**keys: Any) -> dict[str, Any]:
    return {"version": 1, "routes": [{"name": "r", **keys}]}


def with_upstream(**keys: Any) -> dict[str, Any]:
    return {"version": 1, "upstreams": {"a": {"endpoints": ["http://a"], **keys}}}


def test_the_dialect_is_named() -> None:
    assert json_schema({})["$schema"] == DIALECT


@pytest.mark.parametrize(
    "path", ["docs/example.yaml", "docs/bff/mobile.yaml", "bff/web.yaml", "bff/mobile.yaml", "routes.yaml"]
)
def test_the_examples_fit_the_copy_that_editors_read(path: str) -> None:
    schema = json.loads((EXAMPLE.parents[1] / "routes.schema.json").read_text())
    example = parse(path, (EXAMPLE.parents[1] / path).read_bytes()).root
    assert example is not None
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(example.plain())) == []


@pytest.mark.parametrize("key", ["listeners", "prefixes", "admin"])
def test_a_frontends_file_has_its_own_keys(validator: Any, key: str) -> None:
    assert validator.is_valid({"frontend": "m", "prefix": "/m", "upstreams": {}, "routes": []})
    assert not validator.is_valid({"frontend": "m", key: []})


@pytest.mark.parametrize(
    "data",
    (
        {"version": 1},
        with_route(to="a"),
        with_route(to=[{"upstream": "a", "weight": 0}]),
        with_route(respond={"json": [1]}),
        with_route(
            plugins=["breaker", {"breaker": {"upstream": "a", "sleep": "1m", "inner": {"count": 2, "for": "1m"}}}]
        ),
        with_route(plugins=["tracing_ids", {"tracing_ids": None}, "my_own", {"my_own": {"any": 1}}]),
        with_upstream(endpoints=["http://a", {"url": "http://b", "weight": 2}]),
        with_upstream(timeouts={"connect": "${WAIT}"}, pool={"max_queue": "${QUEUE:-5}"}),
        {"version": 1, "limits": {"request_body": "0", "header_count": "${COUNT}"}},
    ),
)
def test_what_a_user_writes_fits(validator: Any, data: dict[str, Any]) -> None:
    assert list(validator.iter_errors(data)) == []


@pytest.mark.parametrize(
    "data",
    (
        {},
        {"version": 2},
        {"version": 1, "rutes": []},
        {"version": 1, "timeouts": {"idle": 5}},
        {"version": 1, "timeouts": {"idle": "5"}},
        {"version": 1, "limits": {"header_count": "many"}},
        with_route(too="a"),
        with_route(redirect={"to": "/a", "status": 300}),
        with_route(plugins=[{"breaker": {"upstrem": "a"}}]),
        with_route(plugins=[{"breaker": {"upstream": "a", "inner": {"cuont": 2}}}]),
        with_route(plugins=[{"breaker": {"upstream": "a", "inner": {"for_": "1m"}}}]),
        with_route(plugins=[{"tracing_ids": {"a": 1}}]),
        with_route(plugins=[{"a": {}, "b": {}}]),
        with_upstream(balance="fastest"),
        with_upstream(endpoints=[{"uri": "http://a"}]),
    ),
)
def test_what_is_wrong_does_not_fit(validator: Any, data: dict[str, Any]) -> None:
    assert list(validator.iter_errors(data))


def test_every_key_has_a_description() -> None:
    schema = json_schema({})
    for name, model in {"": schema, **schema["$defs"]}.items():
        for key, field in model.get("properties", {}).items():
            assert field.get("description") or "$ref" in field, f"{name}.{key}"
