"""What a configuration may say about shared state, and what it is told when it says something else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.config.dump import dump
from gateway.config.load import Loaded, load
from gateway.config.schema import json_schema
from gateway.config.state_specs import (
    ClusterSpec,
    MemcachedSpec,
    MemorySpec,
    RedisAddress,
    RedisSpec,
    SentinelSpec,
    StateSpec,
    host_and_port,
    redis_address,
)
from gateway.units import Secret

jsonschema = pytest.importorskip("jsonschema")


def loaded(folder: Path, state: str, environ: Mapping[str, str] | None = None) -> Loaded:
    path = folder / "routes.yaml"
    path.write_text(f"version: 1\nstate: {state}\n")
    return load(path, environ or {})


def test_the_defaults() -> None:
    redis = RedisSpec.model_validate("redis://a")
    assert (redis.timeout, redis.connect_timeout, redis.retries) == (0.05, 0.1, 1)
    assert (redis.max_connections, redis.prefix, redis.password) == (64, "aiogate:", None)
    memcached = MemcachedSpec.model_validate("a")
    assert (memcached.timeout, memcached.max_connections, memcached.prefix) == (0.05, 64, "aiogate:")
    assert MemorySpec().entries == 100_000


def test_without_state_it_is_memory(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    for text in ("version: 1\n", "version: 1\nstate:\n"):
        path.write_text(text)
        spec = load(path, {}).spec
        assert spec is not None
        assert spec.state == StateSpec(memory=MemorySpec())


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("{memory: {}}", StateSpec(memory=MemorySpec())),
        ("{memory: {entries: 5}}", StateSpec(memory=MemorySpec(entries=5))),
        ("{redis: 'redis://127.0.0.1:6379/0'}", StateSpec(redis=RedisSpec(url="redis://127.0.0.1:6379/0"))),
        (
            "{redis: {url: 'rediss://a', username: u, password: '${PASSWORD}', timeout: 20ms, retries: 0}}",
            StateSpec(
                redis=RedisSpec(url="rediss://a", username="u", password=Secret("geheim"), timeout="20ms", retries=0)  # type: ignore[arg-type]
            ),
        ),
        (
            "{redis: {sentinel: {nodes: ['a:1', B, '[::1]'], service: s, password: '${PASSWORD}'}, db: 3, tls: true}}",
            StateSpec(
                redis=RedisSpec(
                    sentinel=SentinelSpec(
                        nodes=("a:1", "b:26379", "[::1]:26379"), service="s", password=Secret("geheim")
                    ),
                    db=3,
                    tls=True,
                )
            ),
        ),
        (
            "{redis: {cluster: {nodes: [a, 'b:7000']}, max_connections: 5, prefix: ''}}",
            StateSpec(redis=RedisSpec(cluster=ClusterSpec(nodes=("a:6379", "b:7000")), max_connections=5, prefix="")),
        ),
        ("{memcached: '127.0.0.1:11211'}", StateSpec(memcached=MemcachedSpec(address="127.0.0.1:11211"))),
        (
            "{memcached: {address: a, timeout: 1s, max_connections: 1, prefix: 'x:'}}",
            StateSpec(memcached=MemcachedSpec(address="a:11211", timeout="1s", max_connections=1, prefix="x:")),  # type: ignore[arg-type]
        ),
    ],
)
def test_what_it_may_say(tmp_path: Path, text: str, spec: StateSpec) -> None:
    found = loaded(tmp_path, text, {"PASSWORD": "geheim"})

    assert found.problems == ()
    assert found.spec is not None
    assert found.spec.state == spec
    assert "geheim" not in f"{found.spec} {dump(found.spec)}"
    validator = jsonschema.Draft202012Validator(json_schema({}))
    assert list(validator.iter_errors(found.root.plain() if found.root else None)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "state: should be exactly one of memory, redis and memcached"),
        ("{redis: 'redis://a', memcached: a}", "state: should be exactly one of memory, redis and memcached"),
        ("redis", "state: should be a mapping"),
        ("{redes: 'redis://a'}", "unknown key 'redes' in state; did you mean 'redis'?"),
        ("{redis: 5}", "state.redis: should be a URL such as redis://127.0.0.1:6379/0 or a mapping"),
        ("{redis: a}", "'a' is not a URL of a Redis server; write one such as redis://127.0.0.1:6379/0"),
        ("{redis: 'http://a'}", "'http://a' is not a URL of a Redis server"),
        ("{redis: 'redis://'}", "'redis://' has no host"),
        ("{redis: 'redis://a:0'}", "'redis://a:0' has no port"),
        ("{redis: 'redis://a:x'}", "'a:x' is not HOST:PORT"),
        ("{redis: 'redis://a/b'}", "'b' is not the number of a database"),
        ("{redis: 'redis://a/0/1'}", "'0/1' is not the number of a database"),
        ("{redis: {}}", "state.redis: should be exactly one of url, sentinel and cluster"),
        ("{redis: {url: 'redis://a', cluster: {nodes: [a]}}}", "should be exactly one of url, sentinel and cluster"),
        ("{redis: {url: 'redis://a', db: 1}}", "db is for sentinel; write redis://127.0.0.1:6379/0"),
        ("{redis: {cluster: {nodes: [a]}, db: 1}}", "db is for sentinel; a cluster has one database only"),
        ("{redis: {url: 'redis://a', tls: true}}", "tls is for sentinel and cluster; write rediss:// in the URL"),
        ("{redis: {url: 'redis://a', timeout: 0}}", "should be more than 0"),
        ("{redis: {url: 'redis://a', retries: -1}}", "should be at least 0"),
        ("{redis: {cluster: {nodes: []}}}", "state.redis.cluster.nodes: should have at least 1 entry"),
        ("{redis: {cluster: {nodes: ['a:0']}}}", "'a:0' has no port; write one such as 127.0.0.1:6379"),
        ("{redis: {sentinel: {nodes: [a]}}}", "missing key 'service' in state.redis.sentinel"),
        ("{memcached: ':11211'}", "':11211' has no host; write one such as 127.0.0.1:11211"),
        ("{memcached: {address: a, prefix: 'a b'}}", "state.memcached.prefix: should match pattern"),
        ("{memcached: 5}", "state.memcached: should be HOST:PORT or a mapping"),
        ("{memory: {entries: 0}}", "state.memory.entries: should be at least 1"),
    ],
)
def test_what_is_wrong_is_told_in_its_place(tmp_path: Path, text: str, said: str) -> None:
    found = loaded(tmp_path, text)

    assert found.spec is None
    (problem,) = found.problems
    assert said in str(problem)
    assert problem.position.line == 2


@pytest.mark.parametrize(
    "url",
    (
        "redis://:geheim@a:6379/0",
        "redis://user:geheim@a",
        "http://u:geheim@a",
        "redis://a:6379/0?password=geheim",
        "geheim@a",
    ),
)
@pytest.mark.parametrize("form", ("{redis: '%s'}", "{redis: {url: '%s', timeout: 5}}"))
def test_a_password_in_the_url_is_refused_and_never_shown(tmp_path: Path, url: str, form: str) -> None:
    found = loaded(tmp_path, form % url)
    told = "\n".join(map(found.render, found.problems))

    assert "password: ${REDIS_PASSWORD}" in told or "has no query" in told
    assert "geheim" not in told
    assert "routes.yaml:2:" in told


def test_the_parts_of_a_url() -> None:
    assert redis_address("redis://A") == RedisAddress("a", 6379, 0, tls=False)
    assert redis_address("redis://a/") == RedisAddress("a", 6379, 0, tls=False)
    assert redis_address("rediss://[::1]:7000/12") == RedisAddress("::1", 7000, 12, tls=True)


def test_the_parts_of_an_address() -> None:
    found: list[Any] = [host_and_port(text, 7) for text in ("A", "a:5", "[::1]", "[::1]:5")]
    assert found == [("a", 7), ("a", 5), ("::1", 7), ("::1", 5)]
