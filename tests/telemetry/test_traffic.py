"""The figures of `/api/routes`, for one worker and for many."""

from __future__ import annotations

from gateway.telemetry.traffic import FAILURES, Traffic, merged


def test_figures_are_what_was_added() -> None:
    traffic = Traffic()

    traffic.add(100.0, 0.010, False)
    traffic.add(100.0, 0.030, True)

    assert traffic.figures(100.0) == {
        "calls": 2,
        "errors": 1,
        "error_rate": 0.5,
        "latency_avg_ms": 20.0,
        "latency_max_ms": 30.0,
        "rate_1m": 2 / 60,
        "rate_5m": 2 / 300,
    }


def test_without_a_time_there_are_no_rates() -> None:
    traffic = Traffic()
    traffic.add(100.0, 0.010, False)

    assert traffic.figures(None) == {**traffic.figures(100.0), "rate_1m": 0.0, "rate_5m": 0.0}


def test_the_upstreams_part_of_the_latency() -> None:
    traffic = Traffic()
    traffic.add(100.0, 0.010, False, 0.004)
    traffic.add(100.0, 0.030, True, 0.008)
    figures = traffic.figures(100.0)

    assert traffic.upstream_figures(figures) == {**figures, "latency_avg_ms": 6.0, "latency_max_ms": 8.0}


def test_nothing_yet_is_zeros() -> None:
    assert set(Traffic().figures(100.0).values()) == {0}


def test_workers_are_merged_by_their_calls() -> None:
    one, two = Traffic(), Traffic()
    one.add(100.0, 0.010, False)
    for _ in range(3):
        two.add(100.0, 0.050, True)

    both = merged([one.figures(100.0), two.figures(100.0)])

    assert (both["calls"], both["errors"], both["error_rate"]) == (4, 3, 0.75)
    assert (round(both["latency_avg_ms"]), both["latency_max_ms"], both["rate_1m"]) == (40, 50.0, 4 / 60)


def test_merging_nothing_is_zeros() -> None:
    assert set(merged([]).values()) == {0}


def test_a_clients_mistake_is_no_failure() -> None:
    assert FAILURES.isdisjoint({"answered", "local", "client_gone", "no_route", "body_too_large"})
    assert {"upstream_reset", "body_timeout", "plugin_crashed", "queue_full"} <= FAILURES


def test_one_takes_over_what_another_has_served() -> None:
    mine, other = Traffic(), Traffic()
    mine.add(100.0, 0.010, False)
    other.add(70.0, 0.030, True, 0.020)

    mine.absorb(other, 100.0)

    figures = mine.figures(100.0)
    assert (figures["calls"], figures["errors"], figures["latency_max_ms"]) == (2, 1, 30.0)
    assert (figures["rate_1m"], figures["rate_5m"]) == (2 / 60, 2 / 300)
    assert mine.upstream_figures(figures)["latency_max_ms"] == 0.0
    assert other.figures(100.0)["calls"] == 1
