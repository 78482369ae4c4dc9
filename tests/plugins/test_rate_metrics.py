"""What each route and each upstream served."""

from __future__ import annotations

import pytest
from gateway.plugins.rate_metrics import RateMetrics

from gateway.errors import GatewayError, Kind
from gateway.exchange import Reply
from gateway.plugin import Plugin
from gateway.telemetry.exposition import expose
from gateway.telemetry.merging import collected
from gateway.telemetry.metrics import Metrics
from gateway.testing import Upstream, make_env, make_exchange, make_plugin, run


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def plugin(metrics: Metrics) -> RateMetrics:
    return make_plugin(RateMetrics, make_env(metrics=metrics))


def test_requests_are_counted_by_route_method_and_code(plugin: RateMetrics, metrics: Metrics) -> None:
    run(plugin, make_exchange("GET", "/", route="item"))
    run(plugin, make_exchange("GET", "/", route="item"))
    run(plugin, make_exchange("POST", "/", route="item"), Reply(404))
    run(plugin, make_exchange("BREW", "/", route="-"))

    text = expose([collected(metrics)])[0].decode()
    assert 'gateway_requests_total{code="200",method="GET",route="item"} 2.0' in ordered(text)
    assert 'gateway_requests_total{code="404",method="POST",route="item"} 1.0' in ordered(text)
    assert 'gateway_requests_total{code="200",method="other",route="-"} 1.0' in ordered(text)
    assert "BREW" not in text


def ordered(text: str) -> str:
    return text.replace('{route="item",method="GET",code="200"}', '{code="200",method="GET",route="item"}')


def test_overhead_is_what_was_not_spent_at_the_upstream(plugin: RateMetrics, metrics: Metrics) -> None:
    exchange = make_exchange(route="item")
    exchange.started, exchange.ended, exchange.upstream_seconds, exchange.status = 100.0, 100.5, 0.3, 200

    plugin.on_finish(exchange)

    durations = metrics.histogram("gateway_request_duration_seconds", "", ("route",)).labels("item")
    overheads = metrics.histogram("gateway_overhead_seconds", "", ("route",)).labels("item")
    assert [durations.sum, overheads.sum] == pytest.approx([0.5, 0.2])


def test_figures_of_routes_and_upstreams(plugin: RateMetrics) -> None:
    run(plugin, make_exchange(route="item", upstream="catalog"), Reply(200), seconds=0.1)
    run(plugin, make_exchange(route="item", upstream="catalog"), Reply(503), seconds=0.3)

    snapshot = plugin.snapshot(plugin.env.clock.now())

    assert set(snapshot) == {"routes", "upstreams"}
    for figures in (snapshot["routes"]["item"], snapshot["upstreams"]["catalog"]):
        assert (figures["calls"], figures["errors"], figures["error_rate"]) == (2, 1, 0.5)
        assert figures["latency_avg_ms"] == pytest.approx(200)
        assert figures["latency_max_ms"] == pytest.approx(300)
        assert (figures["rate_1m"], figures["rate_5m"]) == (pytest.approx(2 / 60), pytest.approx(2 / 300))


@pytest.mark.parametrize(
    ("upstream", "errors"),
    (
        (Reply(200), 0),
        (Reply(404), 0),
        (Reply(500), 1),
        (GatewayError(Kind.UPSTREAM_RESET), 1),
        (GatewayError(Kind.RESPONSE_TIMEOUT), 1),
        (GatewayError(Kind.BODY_TOO_LARGE), 0),
        (GatewayError(Kind.CLIENT_GONE), 0),
    ),
)
def test_what_counts_as_an_error(plugin: RateMetrics, upstream: Upstream, errors: int) -> None:
    run(plugin, make_exchange(route="item", upstream="catalog"), upstream)

    snapshot = plugin.snapshot(plugin.env.clock.now())
    assert snapshot["routes"]["item"]["errors"] == errors
    assert snapshot["upstreams"]["catalog"]["errors"] == errors


def test_an_answer_that_broke_off_is_an_error_whatever_its_status(plugin: RateMetrics) -> None:
    exchange = make_exchange(route="item")
    exchange.status, exchange.outcome = 200, "body_timeout"

    plugin.on_finish(exchange)

    assert plugin.snapshot(0.0)["routes"]["item"]["errors"] == 1


def test_what_reached_no_upstream_is_no_call_of_one(plugin: RateMetrics) -> None:
    class Closed(Plugin):
        def on_request(self, exchange: object) -> Reply:
            return Reply(503)

    run([plugin, Closed(None, plugin.env)], make_exchange(route="item", upstream="catalog"))

    snapshot = plugin.snapshot(plugin.env.clock.now())
    assert snapshot["routes"]["item"]["errors"] == 1
    assert snapshot["upstreams"] == {}


def test_frontends_are_counted_apart(plugin: RateMetrics, metrics: Metrics) -> None:
    for frontend in ("", "mobile", "mobile"):
        run(plugin, make_exchange(route="item", frontend=frontend))

    text = expose([collected(metrics)])[0].decode()
    assert 'gateway_requests_total{code="200",method="GET",route="item"} 1.0' in text
    assert 'gateway_requests_total{code="200",frontend="mobile",method="GET",route="item"} 2.0' in text
    figures = plugin.snapshot(0.0)["routes"]
    assert {name: found["calls"] for name, found in figures.items()} == {"item": 1, "mobile/item": 2}


def test_upstreams_that_are_gone_leave_their_figures_to_the_route(plugin: RateMetrics) -> None:
    now = plugin.env.clock.now()
    for number in range(20):
        plugin.routes_served({"item": [f"catalog-{number}", "users"], "page": []})
        run(plugin, make_exchange(route="item", upstream=f"catalog-{number}"), Reply(503), seconds=0.1)
        run(plugin, make_exchange(route="item", upstream="users"), seconds=0.3)
    plugin.routes_served({"item": ["users"], "page": []})

    snapshot = plugin.snapshot(now)

    assert list(snapshot["upstreams"]) == ["users"]
    assert snapshot["upstreams"]["users"]["calls"] == 20
    item = snapshot["routes"]["item"]
    assert (item["calls"], item["errors"], item["rate_1m"]) == (40, 20, 40 / 60)
    assert (item["latency_avg_ms"], item["latency_max_ms"]) == (pytest.approx(200), pytest.approx(300))
    assert (len(plugin._traffic), len(plugin._meters)) == (2, 1)


def test_what_was_under_way_when_its_upstream_went_is_not_kept_for_ever(plugin: RateMetrics) -> None:
    plugin.routes_served({"item": ["old"]})
    plugin.routes_served({"item": ["new"]})
    run(plugin, make_exchange(route="item", upstream="old"))
    assert "old" in plugin.snapshot(None)["upstreams"]

    plugin.routes_served({"item": ["new"]})

    assert "old" not in plugin.snapshot(None)["upstreams"]
    assert plugin.snapshot(None)["routes"]["item"]["calls"] == 1


def test_an_upstream_that_comes_back_goes_on(plugin: RateMetrics) -> None:
    for names in (["old"], ["new"], ["old"]):
        plugin.routes_served({"item": names})
    run(plugin, make_exchange(route="item", upstream="old"))

    plugin.routes_served({"item": ["old"]})

    assert plugin.snapshot(None)["upstreams"]["old"]["calls"] == 1


def test_totals_hold_what_routes_that_are_gone_have_served(plugin: RateMetrics) -> None:
    plugin.routes_served({"item": [], "page": []})
    run(plugin, make_exchange(route="item"), Reply(503))
    run(plugin, make_exchange(route="page"))
    run(plugin, make_exchange(route="-"), Reply(404))

    plugin.routes_served({"page": []})

    assert set(plugin.snapshot(None)["routes"]) == {"page", "-"}
    assert plugin.totals() == (3, 1)
