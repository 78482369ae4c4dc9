"""Breakers of parts, and a breaker that guards a composition as a whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.breaker.circuit import Circuit
from gateway.live import LiveExchange
from gateway.testing import make_head
from tests.support.compositions import Client, Stage, compiled, config_of, staged
from tests.support.polling import eventually

PARTS = "a: {from: catalog, path: /a, required: true, timeout: 5s}\nb: {from: users, path: /b}"
GUARDED = "plugins: [{breaker: {consecutive: 2, sleep: 60s%s}}]"


def circuits(stage: Stage) -> dict[str, Circuit]:
    found: dict[str, Circuit] = {}
    for route in stage.table.router.routes:
        chains = [route.chain, *(part.chain for part in stage.action.plan.parts)]
        for plugin in (plugin for chain in chains for plugin in chain.plugins):
            found.update(getattr(plugin, "breakers", dict)())
    return found


def checked(stage: Stage) -> None:
    stage.check()
    assert [circuit.in_flight for circuit in circuits(stage).values()] == [0] * len(circuits(stage))


# a part's own


async def test_a_part_that_is_spared(tmp_path: Path) -> None:
    stage = staged(tmp_path, "a: {from: catalog, path: /a, breaker: {consecutive: 2, sleep: 60s}}")
    for _ in range(3):
        client = stage.ask()
        if len(stage.asked) < 3 and stage.asked and not client.status:
            stage.asked[-1].answer(status=503)
    assert len(stage.asked) == 2
    assert (client.status, client.data, client.get("x-gateway-completed")) == (200, {}, "false")
    assert {name: circuit.state for name, circuit in circuits(stage).items()} == {"page/a": "open"}
    checked(stage)


async def test_a_required_part_that_is_spared(tmp_path: Path) -> None:
    stage = staged(tmp_path, "a: {from: catalog, path: /a, required: true, breaker: {consecutive: 1, sleep: 60s}}")
    stage.ask()
    stage.asked[0].fail()
    client = stage.ask()
    assert (client.status, client.get("retry-after")) == (503, "60")
    checked(stage)


@pytest.mark.parametrize("opened", [False, True])
async def test_a_parts_fallback_is_its_answer(tmp_path: Path, opened: bool) -> None:
    part = "a: {from: catalog, path: /a, breaker: {consecutive: %d, sleep: 60s, fallback: {json: {n: 5}}}, pick: n}"
    stage = staged(tmp_path, part % (1 if opened else 9))
    for _ in range(2):
        client = stage.ask()
        if stage.asked and not client.status:
            stage.asked[-1].fail()
        assert (client.status, client.body) == (200, b'{"a":5}')
    assert len(stage.asked) == (1 if opened else 2)
    checked(stage)


async def test_a_parts_last_good_answer_is_one_persons(tmp_path: Path) -> None:
    part = "a: {from: catalog, path: /a, breaker: {consecutive: 9, fallback: {stale: {}}}}"
    stage = staged(tmp_path, part)

    def known(name: str) -> Any:
        def know(exchange: LiveExchange) -> None:
            exchange.principal = name

        return know

    for name, answer in (("ann", "ann's"), ("ann", None), ("bob", None)):
        client = stage.ask(change=known(name))
        if answer is not None:
            stage.asked[-1].receiver.response(whole(b'"ann\'s"'), b'"ann\'s"', True)
        else:
            stage.asked[-1].fail()
        assert client.data == ({"a": "ann's"} if name == "ann" else {})
    checked(stage)


def whole(body: bytes) -> Any:
    """A head whose body is known to be whole."""
    return make_head(200, {"Content-Length": str(len(body))})


# the route's


def fail(stage: Stage, how: str) -> Client:
    """One request whose required part fails."""
    client = stage.ask()
    asked = next(asked for asked in reversed(stage.asked) if asked.target == "/a")
    if how == "status":
        asked.answer(status=500)
    elif how == "rubbish":
        asked.answer(b"rubbish")
    elif how == "refused":
        asked.answer(status=404)
    else:
        asked.fail()
    return client


@pytest.mark.parametrize("how", ["status", "rubbish", "reset"])
async def test_failures_of_a_composition_open_its_breaker(tmp_path: Path, how: str) -> None:
    stage = staged(tmp_path, PARTS, route=GUARDED % "")
    assert [fail(stage, how).status for _ in range(2)] == [502, 502]
    (circuit,) = circuits(stage).values()
    assert (circuit.name, circuit.state) == ("page", "open")
    asked = len(stage.asked)
    client = stage.ask()
    assert (client.status, client.get("retry-after")) == (503, "60")
    assert len(stage.asked) == asked, "nobody is asked"
    checked(stage)


@pytest.mark.parametrize("how", ["refused", "optional", "good"])
async def test_what_is_no_failure_of_a_composition(tmp_path: Path, how: str) -> None:
    stage = staged(tmp_path, PARTS, route=GUARDED % "")
    for _ in range(3):
        if how == "refused":
            assert fail(stage, how).status == 404
            continue
        client = stage.ask()
        stage.asked[-1].answer(1) if how == "good" else stage.asked[-1].fail()
        stage.asked[-2].answer(1)
        assert client.status == 200
    (circuit,) = circuits(stage).values()
    assert circuit.state == "closed"
    assert circuit.window.totals(0.0)["success"] == 3
    checked(stage)


async def test_clients_alone_do_not_open_it(tmp_path: Path) -> None:
    stage = staged(tmp_path, 'a: {from: catalog, path: "/a/{query.x}", required: true}', route=GUARDED % "")
    assert [stage.ask().status for _ in range(5)] == [400] * 5
    client = stage.ask("/p/1?x=1")
    (composition,) = stage.action._subrequests.keeper.owners
    stage.proxy.client_gone(composition.exchange)
    assert not client.status
    (circuit,) = circuits(stage).values()
    assert (circuit.state, sum(circuit.window.totals(0.0).values())) == ("closed", 0)
    checked(stage)


async def test_time_counts(tmp_path: Path) -> None:
    parts = PARTS.replace("5s", "20ms")
    stage = staged(tmp_path, parts, route=(GUARDED % ", count: [timeout]").replace("2", "1", 1))
    client = stage.ask()
    await eventually(lambda: bool(client.status))
    assert client.status == 504
    assert next(iter(circuits(stage).values())).state == "open"
    checked(stage)


async def test_it_closes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = staged(tmp_path, PARTS, route=GUARDED % "")
    for _ in range(2):
        fail(stage, "status")
    (circuit,) = circuits(stage).values()
    clock: Any = stage.table.router.routes[0].chain.plugins[0].env.clock
    clock.advance(61)
    client = stage.ask()
    assert stage.ask().status == 503, "one probe at a time"
    stage.asked[-1].answer(1)
    stage.asked[-2].answer(1)
    assert (client.status, circuit.state) == (200, "closed")
    checked(stage)


@pytest.mark.parametrize("opened", [False, True])
async def test_its_fallback_answers(tmp_path: Path, opened: bool) -> None:
    stage = staged(tmp_path, PARTS, route=GUARDED % ", fallback: {status: 203, json: {a: none}}")
    for _ in range(3 if opened else 1):
        client = stage.ask()
        if not client.status:
            stage.of("/a").fail()
        assert (client.status, client.body, client.get("gateway-fallback")) == (203, b'{"a":"none"}', "static")
    assert len(stage.asked) == (4 if opened else 2)
    assert all(asked.left for asked in stage.asked if asked.target == "/b"), "nothing goes on behind its back"
    checked(stage)


async def test_its_last_good_answer(tmp_path: Path) -> None:
    stage = staged(tmp_path, PARTS, route=GUARDED % ", fallback: {stale: {}}")
    client = stage.ask()
    stage.asked[1].fail()
    stage.asked[0].answer(1)
    assert client.get("x-gateway-completed") == "false"
    assert fail(stage, "reset").status == 502, "an answer that lacks something is not kept"
    client = stage.ask()
    stage.asked[-1].answer(2)
    stage.asked[-2].answer(1)
    good = client.body
    for _ in range(3):
        client = stage.ask()
        if not client.status:
            stage.of("/a").fail()
        assert (client.status, client.body, client.get("gateway-fallback")) == (200, good, "stale")
    checked(stage)


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("trusted", [False, True])
async def test_another_upstream_in_its_place(tmp_path: Path, opened: bool, trusted: bool) -> None:
    stage = staged(tmp_path, PARTS, route=GUARDED % ", fallback: {to: users}")
    for number in range(3 if opened else 1):
        client = stage.ask("/p/42?x=1", "POST", b"body", trusted, x_forwarded_for="203.0.113.9", cookie="c")
        if number < 2:
            stage.of("/a").fail()
        whole_request = stage.asked[-1]
        assert (whole_request.port, whole_request.target, whole_request.method) == (3, "/p/42?x=1", "POST")
        assert whole_request.all("cookie") == ["c"]
        assert len(whole_request.all("forwarded")) == len(whole_request.all("via")) == 1
        assert whole_request.all("x-forwarded-for") == []
        whole_request.answer(b"monolith")
        assert (client.status, client.body, client.get("gateway-fallback")) == (200, b"monolith", "upstream")
    assert len(stage.asked) == (7 if opened else 3)
    checked(stage)


async def test_another_upstream_has_its_own_time(tmp_path: Path) -> None:
    def began_long_ago(exchange: LiveExchange) -> None:
        exchange.started -= 100

    stage = staged(tmp_path, PARTS, route=GUARDED % ", fallback: {to: users}")
    users = stage.upstreams["users"]
    users.timeouts = replace(users.timeouts, total=30.0)
    client = stage.ask(change=began_long_ago)
    stage.of("/a").fail()
    assert 29_000 < int(stage.of("/p/42").all("x-request-deadline-ms")[0]) <= 30_000
    stage.of("/p/42").answer(1)
    assert client.status == 200
    checked(stage)


async def test_breakers_of_one_name(tmp_path: Path) -> None:
    parts = "a: {from: catalog, path: /a, breaker: {name: one}}\nb: {from: users, path: /b, breaker: {name: one}}"
    generation, problems = compiled(tmp_path, config_of(parts))
    assert generation is not None, problems
    generation, problems = compiled(tmp_path, config_of(parts, route="plugins: [breaker: {name: one, requests: 3}]"))
    assert generation is None
    assert "two plugins 'breaker' are named 'one'" in "".join(problems)
