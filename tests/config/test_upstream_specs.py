"""What a configuration may say about an upstream, and what it is told when it says something else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.config import upstream_specs
from gateway.config.load import Loaded, load
from gateway.config.schema import json_schema
from gateway.config.upstream_specs import (
    CONDITIONS,
    AdaptiveSpec,
    ConcurrencySpec,
    EndpointSpec,
    HashBalanceSpec,
    HashSpec,
    HealthSpec,
    KeySpec,
    OutliersSpec,
    RetriesSpec,
    Spec,
    StickyBalanceSpec,
    StickySpec,
    SuccessRateSpec,
    UpstreamSpec,
)
from gateway.units import Duration

HEAD = "version: 1\nroutes: [{name: r, to: up}]\nupstreams:\n  up:\n    endpoints: ['http://a']\n"


def loaded(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Loaded:
    path = folder / "routes.yaml"
    path.write_text(f"{HEAD}    {text}\n")
    return load(path, environ or {})


def spec_of(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> UpstreamSpec:
    found = loaded(folder, text, environ)
    assert found.problems == ()
    assert found.spec is not None
    return found.spec.upstreams["up"]


def test_the_defaults() -> None:
    spec = UpstreamSpec.model_validate({"endpoints": ["http://a"]})
    assert spec.balance == "round_robin"
    assert (spec.slow_start, spec.panic) == (None, 0.0)
    assert (spec.health, spec.retries, spec.hedge, spec.concurrency) == (None, None, None, None)
    outliers = spec.outliers
    assert (outliers.errors, outliers.connect_errors) == (5, 5)
    assert (outliers.ejection, outliers.max_ejection, outliers.max_ejected) == (5.0, 60.0, 0.5)
    assert outliers.success_rate == SuccessRateSpec()
    rate = SuccessRateSpec()
    assert (rate.interval, rate.requests, rate.endpoints, rate.deviations) == (10.0, 100, 5, 1.9)
    health = HealthSpec()
    assert (health.path, health.interval, health.timeout, health.status) == (None, 5.0, 2.0, ("200-399",))
    assert (health.passes, health.failures) == (2, 3)
    retries = RetriesSpec()
    assert (retries.attempts, retries.on, retries.per_try) == (2, ("connect", "reset", "503"), None)
    assert (retries.non_idempotent, retries.budget, retries.min_retries) == (False, 0.2, 3)
    assert (retries.backoff.base, retries.backoff.max, retries.max_retry_after) == (0.025, 0.25, 1.0)
    assert retries.replay == 64 << 10
    adaptive = AdaptiveSpec()
    assert (adaptive.algorithm, adaptive.start, adaptive.min, adaptive.max) == ("gradient", 20, 4, 1000)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("balance: least_request", "balance", "least_request"),
        ("balance: random", "balance", "random"),
        ("balance: ewma", "balance", "ewma"),
        ("balance: {hash: {header: X-User}}", "balance", HashBalanceSpec(hash=HashSpec(header="X-User"))),
        ("balance: {hash: {cookie: sid}}", "balance", HashBalanceSpec(hash=HashSpec(cookie="sid"))),
        ("balance: {hash: {query: q}}", "balance", HashBalanceSpec(hash=HashSpec(query="q"))),
        ("balance: {hash: client_ip}", "balance", HashBalanceSpec(hash=HashSpec(client_ip=True))),
        ("balance: {hash: {client_ip: true}}", "balance", HashBalanceSpec(hash=HashSpec(client_ip=True))),
        ("balance: {hash: path}", "balance", HashBalanceSpec(hash=HashSpec(path=True))),
        (
            "balance: {hash: {path: true, max_load: 2}}",
            "balance",
            HashBalanceSpec(hash=HashSpec(path=True, max_load=2.0)),
        ),
        ("balance: {sticky: {}}", "balance", StickyBalanceSpec(sticky=StickySpec())),
        (
            "balance: {sticky: {cookie: at, ttl: 1h}}",
            "balance",
            StickyBalanceSpec(sticky=StickySpec(cookie="at", ttl=Duration("1h"))),
        ),
        ("slow_start: 30s", "slow_start", 30.0),
        ("panic: 50%", "panic", 0.5),
        ("panic: 0", "panic", 0.0),
        ("health: {}", "health", HealthSpec()),
        ("health: ~", "health", None),
        ("health: {path: '/health?full=1'}", "health", HealthSpec(path="/health?full=1")),
        (
            "health: {path: /h, status: [200, 2xx, 200-399, '404']}",
            "health",
            HealthSpec(path="/h", status=("200", "2xx", "200-399", "404")),
        ),
        (
            "health: {path: /h, host: a.example, body: 'o+k'}",
            "health",
            HealthSpec(path="/h", host="a.example", body="o+k"),
        ),
        (
            "outliers: off",
            "outliers",
            OutliersSpec(errors=0, connect_errors=0, success_rate="off"),
        ),
        ("outliers: {}", "outliers", OutliersSpec()),
        ("outliers: {success_rate: off}", "outliers", OutliersSpec(success_rate="off")),
        (
            "outliers: {success_rate: {deviations: 2}}",
            "outliers",
            OutliersSpec(success_rate=SuccessRateSpec(deviations=2.0)),
        ),
        ("retries: {}", "retries", RetriesSpec()),
        ("retries: {on: [connect, reset, 503]}", "retries", RetriesSpec(on=("connect", "reset", "503"))),
        ("retries: {on: [5xx, '429', 429, timeout]}", "retries", RetriesSpec(on=("5xx", "429", "429", "timeout"))),
        ("retries: {non_idempotent: true}", "retries", RetriesSpec(non_idempotent=True)),
        ("concurrency: 100", "concurrency", ConcurrencySpec(limit=100)),
        ("concurrency: {limit: 100}", "concurrency", ConcurrencySpec(limit=100)),
        ("concurrency: {adaptive: {}}", "concurrency", ConcurrencySpec(adaptive=AdaptiveSpec())),
        (
            "concurrency: {adaptive: {algorithm: aimd, latency: 250ms, start: 5, min: 5, max: 5}}",
            "concurrency",
            ConcurrencySpec(adaptive=AdaptiveSpec(algorithm="aimd", latency=Duration("250ms"), start=5, min=5, max=5)),
        ),
    ],
)
def test_accepted(tmp_path: Path, text: str, key: str, value: object) -> None:
    assert getattr(spec_of(tmp_path, text), key) == value


def test_endpoints_have_a_priority() -> None:
    spec = UpstreamSpec.model_validate({"endpoints": ["http://a", {"url": "http://b:1", "weight": 3, "priority": 2}]})
    assert spec.endpoints == (EndpointSpec(url="http://a"), EndpointSpec(url="http://b:1", weight=3, priority=2))
    assert [(one.priority, one.weight) for one in spec.endpoints] == [(0, 1), (2, 3)]


def test_a_hedge(tmp_path: Path) -> None:
    hedge = spec_of(tmp_path, "hedge: {after: 50ms, budget: 5%}").hedge
    assert hedge is not None
    assert (hedge.after, hedge.budget) == (0.05, 0.05)


@pytest.mark.parametrize(
    ("text", "variable", "key", "value"),
    [
        ("concurrency: '${X}'", "100", "concurrency", ConcurrencySpec(limit=100)),
        ("retries: {non_idempotent: '${X}'}", "true", "retries", RetriesSpec(non_idempotent=True)),
        ("retries: {attempts: '${X}'}", "4", "retries", RetriesSpec(attempts=4)),
        ("retries: {on: ['${X}']}", "503", "retries", RetriesSpec(on=("503",))),
        ("balance: '${X}'", "ewma", "balance", "ewma"),
        ("balance: {hash: '${X}'}", "path", "balance", HashBalanceSpec(hash=HashSpec(path=True))),
        (
            "balance: {hash: {path: true, max_load: '${X}'}}",
            "1.5",
            "balance",
            HashBalanceSpec(hash=HashSpec(path=True, max_load=1.5)),
        ),
        ("outliers: '${X}'", "off", "outliers", OutliersSpec(errors=0, connect_errors=0, success_rate="off")),
        ("health: {path: /h, status: ['${X}']}", "204", "health", HealthSpec(path="/h", status=("204",))),
    ],
)
def test_from_the_environment(tmp_path: Path, text: str, variable: str, key: str, value: object) -> None:
    assert getattr(spec_of(tmp_path, text, {"X": variable}), key) == value


ALGORITHMS = "should be 'round_robin', 'least_request', 'random' or 'ewma'"
ONE_KEY = "should be exactly one of header, cookie, query, capture, client_ip and path"
WORDS = "should be 'connect', 'reset', 'timeout', '5xx', '502', '503', '504' or '429'"


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        (
            "balance: least_requests",
            14,
            f"up.balance: {ALGORITHMS}, not 'least_requests'; did you mean 'least_request'?",
        ),
        ("balance: 5", 14, f"up.balance: {ALGORITHMS}"),
        ("balance: ~", 14, f"up.balance: is empty; it {ALGORITHMS}"),
        ("balance: {}", 14, "missing key 'hash' in upstreams.up.balance"),
        ("balance: {hsh: path}", 15, "unknown key 'hsh' in upstreams.up.balance; did you mean 'hash'?"),
        ("balance: {stick: {}}", 15, "unknown key 'stick' in upstreams.up.balance; did you mean 'sticky'?"),
        (
            "balance: {hash: path, sticky: {}}",
            15,
            "unknown key 'hash' in upstreams.up.balance; known here: sticky",
        ),
        (
            "balance: {hash: X-Id}",
            21,
            "up.balance.hash: should be client_ip, path or a mapping (key: value), not 'X-Id'; write {header: X-Id}",
        ),
        (
            "balance: {hash: clientip}",
            21,
            "up.balance.hash: should be client_ip, path or a mapping (key: value), not 'clientip';"
            " did you mean 'client_ip'?",
        ),
        ("balance: {hash: ~}", 21, "up.balance.hash: is empty; it should be a mapping (key: value)"),
        ("balance: {hash: {}}", 21, f"up.balance.hash: {ONE_KEY}"),
        ("balance: {hash: {header: X, path: true}}", 21, f"up.balance.hash: {ONE_KEY}"),
        ("balance: {hash: {path: false}}", 21, f"up.balance.hash: {ONE_KEY}"),
        ("balance: {hash: {header: ''}}", 30, "up.balance.hash.header: '' is not a header name"),
        (
            "balance: {hash: {hedder: X}}",
            22,
            "unknown key 'hedder' in upstreams.up.balance.hash; did you mean 'header'?",
        ),
        ("balance: {hash: {path: yes}}", 28, "up.balance.hash.path: should be true or false"),
        ("balance: {hash: {path: true, max_load: 1}}", 44, "up.balance.hash.max_load: should be more than 1.0"),
        ("balance: {hash: {path: true, max_load: .inf}}", 44, "up.balance.hash.max_load: should be a finite number"),
        ("balance: {hash: {path: true, max_load: '2'}}", 44, "up.balance.hash.max_load: should be a number"),
        ("balance: {hash: {capture: 5}}", 31, "up.balance.hash.capture: should be text; put it in quotes"),
        ("balance: {sticky: ~}", 23, "up.balance.sticky: is empty; it should be a mapping (key: value)"),
        ("balance: {sticky: {ttl: 0s}}", 29, "up.balance.sticky.ttl: should be more than 0; write one such as 5s"),
        ("slow_start: 5", 17, "up.slow_start: '5' has no unit; write 5s"),
        ("panic: 50", 12, "up.panic: '50' is not a share; write one such as 20%"),
        ("health: on", 13, "up.health: should be a mapping (key: value)"),
        ("health: {paht: /h}", 14, "unknown key 'paht' in upstreams.up.health; did you mean 'path'?"),
        ("health: {path: h}", 20, "up.health.path: a path begins with '/'; write /h"),
        ("health: {path: /h, status: 200}", 32, "up.health.status: should be a list"),
        ("health: {path: /h, status: []}", 32, "up.health.status: should have at least 1 entry"),
        ("health: {path: /h, status: [20]}", 33, "up.health.status[0]: '20' is no status; write 200, 2xx or 200-399"),
        ("health: {path: /h, status: [200, 399-200]}", 38, "up.health.status[1]: '399-200' ends before it begins"),
        (
            "health: {path: /h, status: [true]}",
            33,
            "up.health.status[0]: should be a status such as 200, 2xx or 200-399",
        ),
        (
            "health: {path: /h, body: '('}",
            30,
            "up.health.body: '(' is not a regular expression: missing ), unterminated subpattern at position 0",
        ),
        (
            "health: {path: /h, body: 'a{99999999999999999999}'}",
            30,
            "up.health.body: 'a{99999999999999999999}' is not a regular expression: the repetition number is too large",
        ),
        ("health: {body: ok}", 13, "up.health: body is for a check by HTTP; add path"),
        ("health: {host: a}", 13, "up.health: host is for a check by HTTP; add path"),
        ("health: {status: [2xx]}", 13, "up.health: status is for a check by HTTP; add path"),
        ("outliers: of", 15, "up.outliers: should be off or a mapping (key: value)"),
        ("outliers: false", 15, "up.outliers: should be off or a mapping (key: value)"),
        ("outliers: ~", 15, "up.outliers: is empty; it should be a mapping (key: value)"),
        ("outliers: {success_rate: on}", 30, "up.outliers.success_rate: should be off or a mapping (key: value)"),
        (
            "outliers: {success_rate: {deviation: 2}}",
            31,
            "unknown key 'deviation' in upstreams.up.outliers.success_rate; did you mean 'deviations'?",
        ),
        (
            "outliers: {success_rate: {deviations: 0}}",
            43,
            "up.outliers.success_rate.deviations: should be more than 0.0",
        ),
        ("outliers: {errors: -1}", 24, "up.outliers.errors: should be at least 0"),
        ("outliers: {max_ejected: 10}", 29, "up.outliers.max_ejected: '10' is not a share; write one such as 20%"),
        ("retries: 3", 14, "up.retries: should be a mapping (key: value)"),
        ("retries: {attempts: 0}", 25, "up.retries.attempts: should be at least 1"),
        ("retries: {on: connect}", 19, "up.retries.on: should be a list"),
        ("retries: {on: []}", 19, "up.retries.on: should have at least 1 entry"),
        ("retries: {on: [conect]}", 20, f"up.retries.on[0]: {WORDS}, not 'conect'; did you mean 'connect'?"),
        ("retries: {on: [404]}", 20, f"up.retries.on[0]: {WORDS}, not '404'; did you mean '504'?"),
        ("retries: {on: [true]}", 20, f"up.retries.on[0]: {WORDS}"),
        ("retries: {non_idempotent: yes}", 31, "up.retries.non_idempotent: should be true or false"),
        (
            "retries: {backoff: {bas: 1ms}}",
            25,
            "unknown key 'bas' in upstreams.up.retries.backoff; did you mean 'base'?",
        ),
        ("hedge: {}", 12, "missing key 'after' in upstreams.up.hedge"),
        ("hedge: {after: 0s}", 20, "up.hedge.after: should be more than 0; write one such as 5s"),
        ("concurrency: adaptive", 18, "up.concurrency: should be a whole number or a mapping (key: value)"),
        ("concurrency: true", 18, "up.concurrency: should be a whole number or a mapping (key: value)"),
        ("concurrency: 2.5", 18, "up.concurrency: should be a whole number or a mapping (key: value)"),
        ("concurrency: 0", 18, "up.concurrency: should be at least 1"),
        ("concurrency: {}", 18, "up.concurrency: should be exactly one of limit and adaptive"),
        ("concurrency: {limit: 5, adaptive: {}}", 18, "up.concurrency: should be exactly one of limit and adaptive"),
        (
            "concurrency: {adaptive: {algorithm: aimed}}",
            41,
            "up.concurrency.adaptive.algorithm: should be 'gradient' or 'aimd', not 'aimed'; did you mean 'aimd'?",
        ),
        (
            "concurrency: {adaptive: {max: 10}}",
            29,
            "up.concurrency.adaptive: start should lie between min and max, 4 and 10",
        ),
        (
            "concurrency: {adaptive: {algorithm: aimd}}",
            29,
            "up.concurrency.adaptive: latency belongs to aimd, which needs it; gradient learns what is usual",
        ),
        (
            "concurrency: {adaptive: {latency: 1s}}",
            29,
            "up.concurrency.adaptive: latency belongs to aimd, which needs it; gradient learns what is usual",
        ),
    ],
)
def test_refused(tmp_path: Path, text: str, column: int, message: str) -> None:
    found = loaded(tmp_path, text)
    assert found.spec is None
    said = [str(problem).replace(f"{tmp_path}/", "") for problem in found.problems]
    if message.startswith("up."):
        message = f"upstreams.{message}"
    assert said == [f"routes.yaml:6:{column}: {message}"]


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("{url: http://b, priority: -1}", "8:35: upstreams.up.endpoints[0].priority: should be at least 0"),
        ("{url: http://b, weight: 0}", "8:33: upstreams.up.endpoints[0].weight: should be at least 1"),
        ("{url: http://b, prio: 1}", "8:25: unknown key 'prio' in upstreams.up.endpoints[0]; did you mean 'priority'?"),
    ],
)
def test_endpoints_that_are_refused(tmp_path: Path, endpoint: str, message: str) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(
        f"version: 1\nroutes: [{{name: r, to: up}}]\n\n\nupstreams:\n  up:\n    endpoints:\n      - {endpoint}\n"
    )
    (problem,) = load(path, {}).problems
    assert str(problem) == f"{path}:{message}"


@pytest.mark.parametrize(
    ("sticky", "key"),
    [
        ("client_ip", KeySpec(client_ip=True)),
        ("{cookie: sid}", KeySpec(cookie="sid")),
        ("{capture: id}", KeySpec(capture="id")),
    ],
)
def test_the_key_of_a_route(tmp_path: Path, sticky: str, key: KeySpec) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(HEAD.replace("to: up", f"to: up, sticky: {sticky}"))
    spec = load(path, {}).spec
    assert spec is not None
    assert spec.routes[0].sticky == key


@pytest.mark.parametrize(
    ("key", "given"),
    [
        (KeySpec(header="X"), [("header", "X")]),
        (KeySpec(client_ip=True), [("client_ip", "")]),
        (KeySpec(path=True), [("path", "")]),
        (HashSpec(capture="id", max_load=1.25), [("capture", "id")]),
    ],
)
def test_what_a_key_names(key: KeySpec, given: list[tuple[str, str]]) -> None:
    assert key.given() == given


def test_every_condition_may_be_written() -> None:
    assert RetriesSpec(on=CONDITIONS).on == CONDITIONS


jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def validator() -> Any:
    return jsonschema.Draft202012Validator(json_schema({}))


@pytest.mark.parametrize(
    ("fits", "keys"),
    [
        (True, {"balance": "ewma"}),
        (False, {"balance": "fastest"}),
        (True, {"balance": {"hash": "client_ip"}}),
        (False, {"balance": {"hash": "X-User"}}),
        (True, {"balance": {"hash": {"header": "X-User", "max_load": 1.25}}}),
        (True, {"balance": {"sticky": {"ttl": "1h"}}}),
        (False, {"balance": {"stick": {}}}),
        (True, {"health": {}}),
        (True, {"health": {"path": "/h", "status": [200, "2xx", "200-399"]}}),
        (True, {"outliers": "off"}),
        (False, {"outliers": "of"}),
        (True, {"outliers": {"success_rate": "off"}}),
        (True, {"outliers": {"success_rate": {"deviations": 2}}}),
        (False, {"outliers": {"success_rate": "on"}}),
        (True, {"retries": {"on": ["connect", "reset", 503]}}),
        (True, {"retries": {"on": ["503"]}}),
        (False, {"retries": {"on": ["conect"]}}),
        (False, {"retries": {"on": [404]}}),
        (False, {"retries": {"non_idempotent": "yes"}}),
        (True, {"hedge": {"after": "50ms"}}),
        (False, {"hedge": {}}),
        (True, {"concurrency": 100}),
        (True, {"concurrency": "${LIMIT}"}),
        (False, {"concurrency": 0}),
        (False, {"concurrency": "many"}),
        (True, {"concurrency": {"adaptive": {"algorithm": "aimd", "latency": "1s"}}}),
    ],
)
def test_the_schema_for_editors_agrees(validator: Any, fits: bool, keys: dict[str, Any]) -> None:
    data = {"version": 1, "upstreams": {"a": {"endpoints": ["http://a"], **keys}}}
    assert (list(validator.iter_errors(data)) == []) is fits


def test_every_field_is_described() -> None:
    models = [model for model in vars(upstream_specs).values() if isinstance(model, type) and issubclass(model, Spec)]
    assert len(models) > 15
    for model in models:
        assert model.__doc__
        for name, one in model.model_fields.items():
            assert one.description, f"{model.__name__}.{name}"
