"""The answer of a composition: its status, its fields, and what it tells of parts that are missing."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from gateway.answers.conditional import entity_tag
from gateway.compose.answer import composed, verdict
from gateway.compose.plan import Part, Plan
from gateway.compose.results import Result, invalid, refused
from gateway.compose.template import Scope, TargetTemplate
from gateway.errors import GatewayError, Kind
from gateway.testing import make_exchange

TARGET = TargetTemplate("/", Scope(frozenset(), {}))
CAME, SKIPPED, ABSENT, STANDS_IN = Result("came", 1), Result("skipped"), Result("absent"), Result("stands_in", [])


def plan_of(*names: str, **options: Any) -> Plan:
    parts = tuple(Part(name, number, f"r/{name}", "up", TARGET, key=name) for number, name in enumerate(names))
    return Plan("r", parts, **options)


def failures(plan: Plan, *numbers: int) -> list[tuple[Part, GatewayError]]:
    return [(plan.parts[number], invalid(plan.parts[number], f"failed {number}")) for number in numbers]


@pytest.mark.parametrize(
    ("policy", "results", "failed", "verdict_of"),
    [
        ("required", (ABSENT, ABSENT), (0, 1), None),
        ("any", (ABSENT, CAME), (0,), None),
        ("any", (ABSENT, STANDS_IN), (0, 1), 0),
        ("any", (ABSENT, SKIPPED), (0,), 0),
        ("any", (SKIPPED, SKIPPED), (), None),
        ("all", (CAME, CAME), (), None),
        ("all", (CAME, SKIPPED), (), None),
        ("all", (CAME, ABSENT), (1,), 1),
        ("all", (CAME, STANDS_IN), (1,), 1),
        ("all", (CAME, CAME), (0,), None),
        ("all", (CAME, ABSENT), (0, 1), 1),
    ],
)
def test_the_verdict(policy: Any, results: tuple[Result, ...], failed: tuple[int, ...], verdict_of: int | None) -> None:
    plan = plan_of("a", "b", status=policy)
    found = failures(plan, *failed)
    told = verdict(plan, results, found)
    assert told is (None if verdict_of is None else next(error for part, error in found if part.number == verdict_of))


def test_a_whole_answer() -> None:
    plan = plan_of("b", "a", headers=(("Content-Type", "application/json"), ("Cache-Control", "max-age=5")))
    reply = composed(plan, make_exchange(), [CAME, SKIPPED], [])
    assert (reply.status, reply.body) == (200, b'{"b":1}')
    assert reply.headers == {
        "Content-Type": "application/json",
        "Cache-Control": "max-age=5",
        "X-Gateway-Completed": "true",
        "Server-Timing": "b;dur=0.0, a;dur=0.0;desc=skipped",
        "ETag": entity_tag(b'{"b":1}'),
    }


def test_an_answer_that_lacks_something() -> None:
    plan = plan_of("a", "b", headers=(("cache-control", "max-age=5"),), errors="errors")
    found = [(plan.parts[0], refused(plan.parts[0], 404)), *failures(plan, 1)]
    absent = Result("absent")
    absent.seconds = 0.25
    reply = composed(plan, make_exchange(), [absent, STANDS_IN], found)
    assert reply.body == (
        b'{"b":[],"errors":[{"part":"a","status":404,"type":"part_refused","detail":"the part \'a\' was refused"},'
        b'{"part":"b","status":502,"type":"part_invalid","detail":"the part \'b\' is unusable"}]}'
    )
    assert (reply.headers["Cache-Control"], "cache-control" in reply.headers) == ("no-store", False)
    assert reply.headers["X-Gateway-Completed"] == "false"
    assert reply.headers["Server-Timing"] == "a;dur=250.0;desc=failed, b;dur=0.0;desc=stands-in"
    assert b"errors" not in composed(plan, make_exchange(), [CAME, CAME], []).body


def test_what_is_told_of_a_failure_shows_no_cause() -> None:
    plan = plan_of("a", errors="errors")
    error = GatewayError(Kind.CONNECT_FAILED, "the part 'a' is missing", "10.0.0.7:80 refused")
    assert b"10.0.0.7" not in composed(plan, make_exchange(), [ABSENT], [(plan.parts[0], error)]).body


def test_timing_can_be_left_out() -> None:
    assert "Server-Timing" not in composed(plan_of("a", timing=False), make_exchange(), [CAME], []).headers


@pytest.mark.parametrize(
    ("method", "asked", "status"),
    [("GET", "tag", 304), ("HEAD", "tag", 304), ("GET", "*", 304), ("GET", '"other"', 200), ("POST", "tag", 200)],
)
def test_what_the_client_has_already(method: str, asked: str, status: int) -> None:
    tag = entity_tag(b'{"a":1}')
    plan = plan_of("a", headers=(("Content-Type", "application/json"), ("Vary", "Accept")))
    exchange = make_exchange(method, headers={"If-None-Match": asked.replace("tag", tag)})
    reply = composed(plan, exchange, [CAME], [])
    assert reply.status == status
    assert ("ETag" in reply.headers) is (method != "POST")
    if status == 304:
        assert (reply.body, reply.headers["Vary"], "Content-Type" in reply.headers) == (b"", "Accept", False)


def test_each_collision_is_logged_once_and_so_many_at_most(caplog: pytest.LogCaptureFixture) -> None:
    parts = tuple(Part(name, number, f"r/{name}", "up", TARGET) for number, name in enumerate("ab"))
    plan = Plan("r", parts, merge="shallow")
    value = {f"k{number}": 1 for number in range(150)}
    with caplog.at_level(logging.WARNING, "gateway.compose"):
        for _ in range(3):
            composed(plan, make_exchange(), [Result("came", value), Result("came", value)], [])
    assert len(caplog.records) == len(plan.collided) == 100
