"""What a limit may be told, and how a mistake is answered."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.document import parse
from gateway.config.options import build_options
from gateway.config.plugin_use import PluginUse
from gateway.limits.gcra import Policy
from gateway.limits.options import ConcurrencyLimitOptions, RateLimitOptions, parts_of
from gateway.limits.rate import Rate


def loaded(text: str, options: type = RateLimitOptions) -> tuple[Any, list[str]]:
    root = parse("f.yaml", f"limit: {text}\n".encode()).root
    assert root is not None
    built, problems = build_options(options, PluginUse.parse(root.plain(), root))
    return built, [str(problem) for problem in problems]


def policies(text: str) -> list[tuple[Policy, tuple[str, ...]]]:
    built, problems = loaded(text)
    assert problems == []
    return [(limit.policy(), parts_of(limit.by)) for limit in built.limits()]


def test_a_rate_is_enough() -> None:
    built, _ = loaded("{rate: 100/s}")
    assert policies("{rate: 100/s}") == [(Policy("default", Rate(100, 1.0), 100, 1), ("client_ip",))]
    assert (built.mode, built.store, built.on_store_error, built.algorithm) == ("enforce", "local", "local", "gcra")
    assert built.styles() == ("draft",)


def test_everything_said() -> None:
    text = "{rate: 5/m, burst: 9, by: [consumer, 'header:X-Tenant'], cost: 3, name: search, headers: [draft, legacy]}"
    assert policies(text) == [(Policy("search", Rate(5, 60.0), 9, 3), ("consumer", "header:X-Tenant"))]
    assert loaded(text)[0].styles() == ("draft", "legacy")
    assert loaded("{rate: 5/m, headers: []}")[0].styles() == ()


def test_several_at_once() -> None:
    text = "{policies: [{name: second, rate: 10/s}, {name: day, rate: 5000/d, by: 'claim:org.id', burst: 50, cost: 2}]}"
    assert policies(text) == [
        (Policy("second", Rate(10, 1.0), 10, 1), ("client_ip",)),
        (Policy("day", Rate(5000, 86400.0), 50, 2), ("claim:org.id",)),
    ]


def test_spring_tells_what_spring_tells() -> None:
    built, problems = loaded("{rate: 10/s, store: redis, algorithm: spring}")
    assert (built.styles(), problems) == (("legacy",), [])
    assert loaded("{rate: 10/s, store: redis, algorithm: spring, headers: [draft]}")[0].styles() == ("draft",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "there is no rate; write one such as `rate: 100/s`"),
        ("{rate: 100}", "write 100/s"),
        ("{rate: 5/s, burst: 0}", "burst: at least 1 has to pass at once, not 0"),
        ("{rate: 5/s, cost: 0}", "cost: a request takes at least 1, not 0"),
        ("{rate: 5/s, cost: 6}", "no request could pass, for each costs 6; write `burst: 6` or more"),
        ("{rate: 5/s, by: ip}", "by: 'ip' is nothing to count by; write client_ip, principal"),
        ("{rate: 5/s, by: 'header:'}", "by: 'header:' is nothing to count by"),
        ("{rate: 5/s, by: 'header:a b'}", "nothing to count by"),
        ("{rate: 5/s, by: []}", "by: the list is empty; write client_ip"),
        ("{rate: 5/s, name: 'a\"b'}", "goes into a header; write one such as per-minute"),
        ("{rate: 5/s, name: ''}", "goes into a header"),
        ("{rate: 5/s, policies: [{rate: 1/s}]}", "`policies` has them all"),
        ("{by: route, policies: [{rate: 1/s}]}", "`policies` has them all"),
        ("{policies: [{rate: 1/s}, {rate: 2/s}]}", "two policies are named 'default'"),
        ("{rate: 5/s, algorithm: spring}", "add `store: redis`"),
        ("{rate: 5/m, algorithm: spring, store: redis}", "write a rate such as 100/s"),
        (
            "{policies: [{rate: 1/s, name: a}, {rate: 2/s, name: b}], algorithm: spring, store: redis}",
            "knows one limit only",
        ),
        ("{rate: 5/s, store: memcached}", "should be 'local' or 'redis'"),
        ("{rate: 5/s, headers: [old]}", "'draft' or 'legacy'"),
        ("{rate: 5/s, brust: 3}", "did you mean 'burst'?"),
    ],
)
def test_a_mistake_says_what_to_write(text: str, message: str) -> None:
    built, problems = loaded(text)
    assert built is None
    assert any(message in problem for problem in problems), problems


def test_a_minute_may_hold_whole_seconds_for_spring() -> None:
    assert loaded("{rate: 120/m, algorithm: spring, store: redis}")[1] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "limit"),
        ("{limit: 0}", "limit: at least 1 request has to pass, not 0"),
        ("{limit: 1, status: 200}", "status: a refusal is 429 or 503"),
        ("{limit: 1, by: me}", "nothing to count by"),
    ],
)
def test_mistakes_at_a_limit_of_concurrency(text: str, message: str) -> None:
    assert any(message in problem for problem in loaded(text, ConcurrencyLimitOptions)[1])


def test_options_are_equal_when_they_say_the_same() -> None:
    assert loaded("{rate: 60/m, by: [route]}")[0] == loaded("{rate: 60/m, by: [route]}")[0]
    assert loaded("{rate: 60/m}")[0] != loaded("{rate: 61/m}")[0]
