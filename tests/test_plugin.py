"""Mistakes in a plugin class are errors at import, with the way out in the message."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pytest

from gateway.errors import Failure
from gateway.plugin import PHASES, Attempt, Env, Exchange, Plugin, Reply, ResponseHead, UpstreamReply
from gateway.testing import make_env


def define(**members: Any) -> type[Plugin]:
    return type("Mine", (Plugin,), members)


def method(self: Any, exchange: Any) -> None: ...


async def waiting(self: Any, exchange: Any) -> None: ...


def test_what_is_no_method_may_have_any_name() -> None:
    class Mine(Plugin):
        @cached_property
        def starts(self) -> int:
            return 1

        @property
        def on_path(self) -> int:
            return 2

    plugin = Mine(None, make_env())
    assert (plugin.starts, plugin.on_path) == (1, 2)


@pytest.mark.parametrize(
    ("name", "hint"),
    (
        ("on_requst", "did you mean 'on_request'?"),
        ("on_reponse", "did you mean 'on_response'?"),
        ("admitt", "did you mean 'admit'?"),
        ("on_finished", "did you mean 'on_finish'?"),
        ("on_failed", "did you mean 'on_failure'?"),
        ("on_error", "the phases are start, stop, on_request"),
    ),
)
def test_a_misspelt_phase(name: str, hint: str) -> None:
    with pytest.raises(TypeError, match=f"Mine.{name} is not a phase") as caught:
        define(**{name: method})

    assert hint in str(caught.value)


@pytest.mark.parametrize("name", ("snapshot", "reload", "allowed", "_on_requst", "identity_headers"))
def test_other_methods_are_the_plugins_own(name: str) -> None:
    assert define(**{name: method}).overrides("on_request") is False


@pytest.mark.parametrize("name", ("on_request", "on_failure", "on_finish"))
def test_a_plain_phase_may_not_wait(name: str) -> None:
    with pytest.raises(TypeError, match="only `admit` may await during a request"):
        define(**{name: waiting})


def test_admit_is_asynchronous() -> None:
    with pytest.raises(TypeError, match="Mine.admit must be async def"):
        define(admit=method)


@pytest.mark.parametrize(
    ("name", "shape"),
    (
        ("on_response", "(self, exchange, head)"),
        ("on_attempt", "(self, exchange, attempt)"),
        ("on_attempt_end", "(self, exchange, attempt)"),
        ("on_failure", "(self, exchange, failure)"),
    ),
)
def test_a_phase_has_its_arguments(name: str, shape: str) -> None:
    with pytest.raises(TypeError) as caught:
        define(**{name: method})

    assert str(caught.value) == f"Mine.{name} must take {shape}"


def test_a_failure_is_answered_by_exchange_and_failure() -> None:
    def on_failure(self: Any, exchange: Any, failure: Any) -> None: ...

    assert define(on_failure=on_failure).overrides("on_failure")


def test_a_phase_without_the_exchange() -> None:
    def alone(self: Any) -> None: ...

    with pytest.raises(TypeError, match=r"must take \(self, exchange\)"):
        define(on_request=alone)


def test_a_phase_may_have_more_arguments_with_defaults() -> None:
    def more(self: Any, exchange: Any, extra: int = 0) -> None: ...

    assert define(on_request=more).overrides("on_request")


def test_a_phase_is_a_method() -> None:
    with pytest.raises(TypeError, match="is a phase: define it as a method"):
        define(on_request=5)


def test_bodies_are_of_one_side_or_of_both() -> None:
    assert define(needs_body=("request", "response")).needs_body == ("request", "response")
    for wrong in ("both", ("request", "reply")):
        with pytest.raises(TypeError, match="'request' or 'response', not .*; for both write .'request', 'response'."):
            define(needs_body=wrong)


def test_a_plugin_overrides_what_it_defines_or_inherits() -> None:
    parent = define(on_request=method)
    child: type[Plugin] = type("Child", (parent,), {"on_finish": method})

    assert [phase for phase in ("on_request", "on_finish", "on_response") if child.overrides(phase)] == [
        "on_request",
        "on_finish",
    ]


async def test_every_phase_does_nothing_by_itself() -> None:
    plugin, exchange = Plugin(None, make_env()), Exchange("GET", "/", "", None, "")  # type: ignore[arg-type]
    attempt, head = Attempt(1, "", 0.0), ResponseHead

    await plugin.start()
    results = [
        plugin.on_request(exchange),
        await plugin.admit(exchange),
        plugin.on_attempt(exchange, attempt),
        plugin.on_attempt_end(exchange, attempt),  # type: ignore[func-returns-value]
        plugin.on_failure(exchange, Failure(502, "", "5xx")),
        plugin.on_response(exchange, head),  # type: ignore[func-returns-value, arg-type]
        plugin.on_finish(exchange),  # type: ignore[func-returns-value]
    ]
    await plugin.stop()

    plugin.routes_served({"item": ("catalog",)})
    assert results == [None] * 7
    assert tuple(plugin.identity_headers()) == ()
    assert plugin.resends is False
    assert not any(plugin.uses_phase(phase) for phase in PHASES)


def test_an_env_without_a_sink_opener_says_so() -> None:
    full = make_env()
    env = Env(full.clock, full.metrics, full.log, full.shared, full.http_session, full.upstream_client)

    assert env.name == "gateway"
    with pytest.raises(RuntimeError, match="made without open_sink"):
        env.open_sink("stdout")


def test_what_a_plugin_needs_comes_from_one_module() -> None:
    import gateway.plugin

    assert {"Duration", "Env", "Exchange", "Plugin", "Reply", "Secret", "Share", "Size"} <= set(gateway.plugin.__all__)
    assert gateway.plugin.Reply is Reply


def test_an_upstreams_reply_may_be_json() -> None:
    assert UpstreamReply(200, {}, b'{"a": [1]}').json() == {"a": [1]}
    with pytest.raises(ValueError, match="unexpected"):
        UpstreamReply(200, {}, b"<html>").json()
