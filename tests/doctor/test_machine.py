"""The machine's checks, each at both sides of its border."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.doctor.machine import CLIENT_BYTES, WORKER_BYTES, MachineFacts, check_machine
from gateway.doctor.needs import Needs

NEEDS = Needs(
    workers=2, clients=1000, listeners=1, upstreams=100, store=0, files=0, address="10.0.0.1:80", to_address=60
)
SURELY, AT_MOST = NEEDS.surely, NEEDS.at_most
MEMORY = 2 * WORKER_BYTES + 1000 * CLIENT_BYTES
WELL = MachineFacts(
    soft_files=AT_MOST,
    hard_files=AT_MOST,
    somaxconn=4096,
    syn_backlog=128,
    syn_cookies=1,
    local_ports=(32768, 60999),
    loop="0.23",
    builds={"yarl": True, "multidict": True},
    synchronised=True,
    clock_source="tsc",
    memory=MEMORY,
)


def level(check: str, **facts: Any) -> str:
    """The worst of what the check says of a machine that is well but for `facts`."""
    found = [one.level for one in check_machine(replace(WELL, **facts), NEEDS) if one.check == check]
    return max(found, key=("ok", "warning", "failed").index) if found else ""


def test_a_machine_that_is_well() -> None:
    found = check_machine(WELL, NEEDS)
    assert {one.level for one in found} == {"ok"}
    assert not any(one.means or one.remedy for one in found)
    assert [one.check for one in found] == [
        *("Python", "loop", "parsers", "hot path", "open files", "backlog", "local ports", "CPU", "memory", "clock")
    ]


@pytest.mark.parametrize(
    ("check", "facts", "expected"),
    [
        ("Python", {"python": (3, 10, 99)}, "failed"),
        ("Python", {"python": (3, 11, 0)}, "ok"),
        ("Python", {"free_threaded": True}, "warning"),
        ("Python", {"debugging": True}, "warning"),
        ("loop", {"loop": None}, "failed"),
        ("loop", {"loop": ""}, "ok"),
        ("parsers", {"builds": {"yarl": None}}, "failed"),
        ("parsers", {"builds": {"yarl": False}}, "warning"),
        ("parsers", {"builds": {"yarl": True}}, "ok"),
        ("open files", {"soft_files": SURELY - 1}, "failed"),
        ("open files", {"soft_files": SURELY}, "warning"),
        ("open files", {"soft_files": AT_MOST - 1}, "warning"),
        ("open files", {"soft_files": AT_MOST}, "ok"),
        ("open files", {"soft_files": None}, ""),
        ("backlog", {"somaxconn": 2047}, "warning"),
        ("backlog", {"somaxconn": 2048}, "ok"),
        ("backlog", {"syn_cookies": 0, "syn_backlog": 2047}, "warning"),
        ("backlog", {"syn_cookies": 0, "syn_backlog": 2048}, "ok"),
        ("backlog", {"somaxconn": None}, ""),
        ("local ports", {"local_ports": (1, 119)}, "warning"),
        ("local ports", {"local_ports": (1, 120)}, "ok"),
        ("local ports", {"local_ports": None}, ""),
        ("CPU", {"cores": 3, "quota": 2.0}, "warning"),
        ("CPU", {"cores": 2, "quota": 2.0}, "ok"),
        ("CPU", {"cores": 2, "quota": 1.1}, "ok"),
        ("CPU", {"cores": 2, "quota": 1.0}, "warning"),
        ("CPU", {"cores": 1, "quota": 0.1}, "ok"),
        ("memory", {"memory": MEMORY - 1}, "warning"),
        ("memory", {"memory": MEMORY}, "ok"),
        ("memory", {"memory": None}, ""),
        ("clock", {"synchronised": False}, "warning"),
        ("clock", {"synchronised": None}, "ok"),
        ("clock", {"clock_source": "hpet"}, "warning"),
        ("clock", {"clock_source": None}, "ok"),
        ("clock", {"monotonic": False}, "failed"),
    ],
)
def test_the_border(check: str, facts: dict[str, Any], expected: str) -> None:
    assert level(check, **facts) == expected


def test_what_is_not_well_says_what_comes_of_it_and_what_to_type() -> None:
    bad = MachineFacts(
        soft_files=16, hard_files=16, somaxconn=128, local_ports=(1, 2), python=(3, 9, 0), loop=None,
        builds={"yarl": None, "multidict": False}, synchronised=False, monotonic=False, clock_source="hpet",
        cores=8, quota=1.0, memory=1,
    )  # fmt: skip
    found = [one for one in check_machine(bad, NEEDS) if one.check != "hot path"]
    assert len(found) == 12
    assert all(one.level != "ok" and one.means and one.remedy for one in found), found


def test_fewer_connections_are_offered_where_they_would_do() -> None:
    others = AT_MOST - NEEDS.clients
    facts = replace(WELL, soft_files=others + 400)
    (finding,) = [one for one in check_machine(facts, NEEDS) if one.check == "open files"]
    assert finding.remedy == (
        f"ulimit -n {AT_MOST}",
        "or less in routes.yaml: limits: {connections: 400}",
    )
    (finding,) = [one for one in check_machine(replace(WELL, soft_files=others), NEEDS) if one.check == "open files"]
    assert finding.remedy == (f"ulimit -n {AT_MOST}",)


def test_more_ports_than_there_are() -> None:
    needs = replace(NEEDS, to_address=40_000)
    (finding,) = [one for one in check_machine(WELL, needs) if one.check == "local ports"]
    assert "max_connections of the upstream at 10.0.0.1:80" in finding.remedy[0]


def test_switches_that_turn_compiled_halves_off() -> None:
    facts = replace(WELL, builds={"yarl": False}, switches=("YARL_NO_EXTENSIONS",))
    (finding,) = [one for one in check_machine(facts, NEEDS) if one.check == "parsers"]
    assert finding.remedy == ("unset YARL_NO_EXTENSIONS",)
