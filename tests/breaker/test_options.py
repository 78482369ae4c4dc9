"""What the breaker's options may be, and what the circuits make of them."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from gateway.breaker.circuit import Policy
from gateway.breaker.options import BreakerOptions
from gateway.config.document import parse
from gateway.config.options import build_options
from gateway.config.plugin_use import PluginUse


def loaded(text: str) -> tuple[Any, list[str]]:
    root = parse("f.yaml", f"breaker: {text}\n".encode()).root
    assert root is not None
    built, problems = build_options(BreakerOptions, PluginUse.parse(root.plain(), root))
    return built, [str(problem).removeprefix("f.yaml:1:") for problem in problems]


def options(text: str) -> BreakerOptions:
    built, problems = loaded(text)
    assert problems == []
    assert isinstance(built, BreakerOptions)
    return built


def test_nothing_said_is_hystrix() -> None:
    assert options("{}").policy() == Policy()
    assert (options("{}").mode, options("{}").scope, options("{}").half_open.probes) == ("enforce", "route", 1)


def test_everything_said() -> None:
    policy = options(
        "{window: 20s, requests: 5, errors: 20%, sleep: 1m, slow: {over: 500ms, share: 10%}, consecutive: 3,"
        " half_open: {ramp: 30s}}"
    ).policy()

    assert policy == Policy(20.0, 5, 0.2, 60.0, 0.5, 0.1, 3, 1, 30.0)
    assert {type(value) for value in (policy.window, policy.errors, policy.sleep, policy.slow_over, policy.ramp)} == {
        float
    }


def test_slow_calls_have_defaults_and_are_off_without_the_word() -> None:
    assert (options("{slow: {}}").policy().slow_over, options("{slow: {}}").policy().slow_share) == (2.0, 0.8)
    assert options("{}").policy().slow_over == inf


def test_probes() -> None:
    policy = options("{half_open: {probes: 3}}").policy()

    assert (policy.probes, policy.ramp) == (3, None)


@pytest.mark.parametrize(
    ("count", "words"),
    (
        ("[5xx]", {"5xx", "upstream_reset", "upstream_malformed", "upstream_incomplete", "upstream_head_too_large"}),
        ("[timeout]", {"response_timeout", "body_timeout", "total_timeout"}),
        ("[connect]", {"connect_failed", "connect_timeout", "dns_error", "no_endpoint", "queue_full", "overloaded"}),
    ),
)
def test_what_the_words_count(count: str, words: set[str]) -> None:
    counted = options(f"{{count: {count}}}").conditions()

    assert words <= counted.keys()
    assert counted.keys() <= options("{}").conditions().keys()
    assert not words & options("{count: [%s]}" % ("timeout" if "5xx" in count else "5xx")).conditions().keys()


def test_what_says_nothing_about_the_upstream_never_counts() -> None:
    counted = options("{}").conditions()

    assert not {"client_gone", "breaker_open", "plugin_crashed", "internal", "superseded", ""} & counted.keys()
    assert (counted["queue_full"], counted["total_timeout"], counted["5xx"]) == ("full", "timeout", "5xx")


def test_a_stale_answer_is_kept_for_a_while() -> None:
    fallback = options("{fallback: {stale: {for: 5m}}}").fallback
    assert fallback is not None
    assert fallback.stale is not None
    assert (fallback.stale.for_, fallback.stale.size, fallback.is_literal) == (300, 16 << 20, False)


@pytest.mark.parametrize(
    "fallback",
    (
        "{status: 503}",
        "{json: {items: []}}",
        "{headers: {X-A: b}}",
        "{file: sorry.html, status: 503}",
        "{to: standby, stale: {}}",
        "{text: later, stale: {}}",
    ),
)
def test_fallbacks_that_answer(fallback: str) -> None:
    assert options(f"{{fallback: {fallback}}}").fallback is not None


@pytest.mark.parametrize(
    ("text", "problem"),
    (
        ("{window: 0}", "10: window should be more than 0, such as 10s"),
        ("{requests: 0}", "requests should be more than 0"),
        ("{errors: 0%}", "errors should be more than 0, such as 50%"),
        ("{sleep: 0s}", "sleep should be more than 0"),
        ("{consecutive: 0}", "consecutive should be more than 0"),
        ("{slow: {over: 0s}}", "slow: over should be more than 0, such as 2s"),
        ("{slow: {share: 0%}}", "slow: share should be more than 0"),
        ("{half_open: {}}", "half_open: give either probes or ramp, as in {probes: 1} or {ramp: 10s}"),
        ("{half_open: {probes: 1, ramp: 1s}}", "half_open: give either probes or ramp"),
        ("{half_open: {probes: 0}}", "half_open: probes should be more than 0"),
        ("{half_open: {ramp: 0s}}", "half_open: ramp should be more than 0"),
        ("{mode: observ}", "mode: should be 'enforce' or 'observe', not 'observ'; did you mean 'observe'?"),
        ("{count: []}", "nothing would count as a failure; list some of 5xx, timeout, connect"),
        ("{count: [4xx]}", "count[0]: should be '5xx', 'timeout' or 'connect', not '4xx'"),
        ("{scope: host}", "scope: should be 'route', 'upstream' or 'endpoint', not 'host'"),
        ('{name: ""}', "the name is empty; leave it out, or give one"),
        ("{error: 5%}", "unknown key 'error'; did you mean 'errors'?"),
        ("{fallback: {}}", "fallback: a fallback answers with status, headers, json, text or file, or has `to`"),
        ("{fallback: {json: 1, text: a}}", "fallback: json and text are two bodies; keep one"),
        ("{fallback: {json: 1, to: b}}", "fallback: an answer of its own and `to` exclude each other; keep one"),
        ("{fallback: {status: 503, to: b}}", "exclude each other"),
        ("{fallback: {to: b, app: 'c:d'}}", "fallback: `to` and `app` exclude each other; keep one"),
        ("{fallback: {json: 1, app: 'c:d'}}", "fallback: an answer of its own and `app` exclude each other"),
        ("{fallback: {app: c}}", "fallback: 'c' is not module:attribute; write one such as bff.web.handlers:app"),
        ("{fallback: {status: 100}}", "fallback: status should be 200 to 599, not 100"),
        ("{fallback: {status: 204, text: a}}", "an answer with status 204 has no body; leave out text"),
        ("{fallback: {headers: {'a b': c}}}", "'a b' is no header name"),
        ("{fallback: {headers: {Content-Length: '1'}}}", "Content-Length frames the message"),
        ('{fallback: {headers: {A: "b\\r\\nc: d"}}}', "the value of A has a control character"),
        ("{fallback: {stale: {for: 0s}}}", "fallback.stale: for should be more than 0, such as 60s"),
        ("{fallback: {stale: {size: 0}}}", "fallback.stale: size should be more than 0"),
        ("{fallback: {stale: {fro: 1m}}}", "unknown key 'fro' in fallback.stale; did you mean 'for'?"),
        ("{fallback: {stale: {for_: 1m}}}", "unknown key 'for_' in fallback.stale; did you mean 'for'?"),
        ("{fallback: {stale: {for: 60}}}", "fallback.stale.for: '60' has no unit; write 60s"),
    ),
)
def test_mistakes(text: str, problem: str) -> None:
    built, (found,) = loaded(text)

    assert built is None
    assert problem in found
