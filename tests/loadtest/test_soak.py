"""What the soak concludes from its numbers."""

from collections import Counter

import pytest

from loadtest.soak.clients import CLIENTS
from loadtest.soak.upstreams import BEHAVIOURS, FAULTY
from loadtest.soak.verdict import MIB, client_faults, in_flight, left_behind, memory_fault, memory_growth, metric

METRICS = """# HELP gateway_active_requests under way
# TYPE gateway_active_requests gauge
gateway_active_requests 0.0
gateway_connections{side="client",state="active"} 0.0
gateway_connections{side="client",state="idle"} 4.0
gateway_connections{side="upstream",state="active"} 0
gateway_connections{side="upstream",state="idle"} 7
"""
UPSTREAMS = {"upstreams": [{"name": "main", "endpoints": [{"address": "127.0.0.1:1", "active": 0, "idle": 3}]}]}


def test_a_metric_is_summed_over_what_fits():
    assert metric(METRICS, "gateway_connections", state="idle") == 11.0
    assert metric(METRICS, "gateway_active_requests") == 0.0
    assert metric(METRICS, "gateway_active") is None


def test_counts_are_found_wherever_they_are():
    document = {"a": [{"in_flight": 2, "max_queue": 9, "name": "x"}], "pool": {"queued": 1, "active": True}}
    assert in_flight(document) == {"a[0].in_flight": 2.0, "pool.queued": 1.0}


def test_nothing_is_left_behind():
    assert left_behind(METRICS, UPSTREAMS) == []


def test_what_is_left_behind_is_named():
    metrics = METRICS.replace("gateway_active_requests 0.0", "gateway_active_requests 2")
    upstreams = {"main": {"active": 1}}
    assert left_behind(metrics, upstreams) == ["gateway_active_requests is 2", "/api/upstreams: main.active is 1"]


def test_what_is_not_counted_is_a_fault():
    lines = left_behind("", {})
    assert len(lines) == 4
    assert lines[0] == "gateway_active_requests is not reported"


def grown(by):
    return [(float(second), 50 * MIB + (by * second) // 600) for second in range(601)]


def test_flat_memory_is_no_fault():
    assert memory_growth(grown(0)) == 0
    assert memory_fault(grown(0)) is None


def test_growing_memory_is_a_fault():
    assert memory_growth(grown(60 * MIB)) == pytest.approx(30 * MIB, rel=0.01)
    assert "in the second half" in str(memory_fault(grown(60 * MIB)))


def test_growth_while_warming_up_is_none():
    samples = [(float(second), (20 if second < 100 else 80) * MIB) for second in range(601)]
    assert memory_fault(samples) is None


def test_a_short_run_says_nothing_of_memory():
    assert memory_growth([(0.0, 1), (60.0, 100 * MIB)]) is None


@pytest.mark.parametrize(
    ("tally", "faults"),
    (
        ({"good answers": 5000, "wrong answer 503 to good": 2, "cut: cut": 9}, []),
        (
            {"good answers": 10, "wrong answer 503 to good": 2},
            ["well-behaved clients: wrong answer 503 to good, 2 times"],
        ),
        ({"good answers": 10, "half a head: never ended": 1}, ["half a head: never ended: 1 times"]),
        ({}, ["not one good answer"]),
    ),
)
def test_clients_faults(tally, faults):
    assert client_faults(Counter(tally)) == faults


def test_every_faulty_behaviour_exists_and_shares_are_positive():
    assert set(FAULTY) < set(BEHAVIOURS)
    assert all(share > 0 for share in CLIENTS.values())
