"""Access: refused is 403 without a reason, and observing refuses nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from gateway.plugins.access import Access

from gateway.exchange import Exchange
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, make_env, make_exchange, make_plugin, run
from gateway.wire.head import ResponseHead

DENY = [{"cidr": ["192.0.2.0/24"]}, {"methods": ["DELETE"]}]
ALLOW = [{"roles": ["admin"]}, {"methods": ["GET"], "scopes": ["items:read"], "claims": {"realm.id": [7, 8]}}]


class Bench:
    """A plugin with its clock and its metrics."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.plugin = make_plugin(Access, make_env(self.clock, self.metrics), **options)

    def ask(self, method: str = "GET", **fields: Any) -> ResponseHead:
        return run(self.plugin, asking(method, **fields))

    def counted(self) -> dict[str, float]:
        family = self.metrics.counter("gateway_auth_total", "", ("plugin", "result"))
        assert {plugin for plugin, _ in family.children} == {"access"}
        return {result: child.value for (_, result), child in family.children.items() if child.value}


def asking(method: str = "GET", **fields: Any) -> Exchange:
    return make_exchange(method, "/items", **{"client_ip": "198.51.100.1", **fields})


def test_who_may_and_who_may_not() -> None:
    bench = Bench(deny=DENY, allow=ALLOW)
    admin: dict[str, Any] = {"principal": "1", "claims": {"roles": ["admin"]}}
    reader: dict[str, Any] = {"principal": "2", "claims": {"scope": "items:read", "realm": {"id": 7}}}

    assert bench.ask(**admin).status == bench.ask("POST", **admin).status == bench.ask(**reader).status == 200
    assert bench.ask("POST", **reader).status == bench.ask().status == 403
    assert bench.ask("DELETE", **admin).status == bench.ask(client_ip="192.0.2.9", **admin).status == 403
    assert bench.counted() == {"allowed": 3, "denied": 4}


@pytest.mark.parametrize("address", ("192.0.2.9", "::ffff:192.0.2.9", "::FFFF:c000:0209", "0:0:0:0:0:ffff:192.0.2.9"))
def test_a_denied_address_is_denied_in_every_form(address: str) -> None:
    assert Bench(deny=DENY).ask(client_ip=address).status == 403
    assert Bench(deny=[{"cidr": ["::ffff:192.0.2.0/120"]}]).ask(client_ip=address).status == 403


def test_refusals_do_not_tell_the_rule() -> None:
    bench = Bench(deny=DENY, allow=ALLOW)
    bodies = {bench.ask("DELETE").body, bench.ask(client_ip="192.0.2.9").body, bench.ask().body}
    details = {body.split(b'"instance"')[0] for body in bodies if body is not None}

    (detail,) = details
    assert detail.endswith(b'"status":403,"detail":"Access is forbidden",')


def test_there_is_no_challenge_where_an_identity_would_help() -> None:
    head = Bench(allow=[{"roles": ["admin"]}]).ask(peer_trusted=True)

    assert (head.status, head.headers.get("www-authenticate")) == (403, None)
    assert head.headers.get("proxy-status") is None


def test_observing_refuses_nothing() -> None:
    bench = Bench(deny=DENY, allow=ALLOW, mode="observe")

    assert [bench.ask("DELETE").status, bench.ask().status] == [200, 200]
    assert bench.ask(claims={"roles": ["admin"]}).status == 200
    assert bench.counted() == {"observed": 2, "allowed": 1}


def test_observing_logs_each_rule_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(deny=DENY, allow=ALLOW, mode="observe")
    for _ in range(3):
        for method in ("GET", "DELETE"):
            bench.ask(method)
        bench.clock.advance(0.4)
    assert [record.getMessage() for record in caplog.records] == [
        "access would refuse GET on test from 198.51.100.1, by allow",
        "access would refuse DELETE on test from 198.51.100.1, by deny[1]",
    ]
    bench.ask()

    assert len(caplog.records) == 3


def test_enforcing_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Bench(allow=ALLOW).ask()

    assert caplog.records == []


def test_only_one_phase_is_used() -> None:
    plugin = Bench(allow=ALLOW).plugin

    assert plugin.uses_phase("on_request")
    assert not any(map(plugin.uses_phase, ("admit", "on_response", "on_finish")))


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({}, "neither allow nor deny is there .*deny"),
        ({"allow": []}, "allow lists no rule"),
        ({"allow": [{}]}, "without parts"),
        ({"deny": [{"methods": []}]}, "methods is empty"),
        ({"deny": [{"methods": ["get"]}]}, "write GET"),
        ({"deny": [{"cidr": ["10.0.0.1/8"]}]}, "write 10.0.0.0/8"),
        ({"deny": [{"cidr": ["::ffff:10.0.0.1/104"]}]}, "has host bits set"),
        ({"deny": [{"cidr": ["10.0.0.0/33"]}]}, r"deny\[0\].cidr\[0\]: '10.0.0.0/33' is not a network"),
        ({"deny": [{"cidr": ["somewhere"]}]}, "is not a network"),
        ({"deny": [{"cidr": "10.0.0.0/8"}]}, "should be a list"),
        ({"deny": [{"ip": ["10.0.0.0/8"]}]}, "unknown key 'ip'"),
        ({"allow": [{"anonymous": True, "scopes": ["a"]}]}, "anonymous and has scopes"),
        ({"allow": [{"claims": {"a": {"b": 1}}}]}, "claims"),
        ({"allow": [{"claims": {"a": []}}]}, "claims.a is empty"),
        ({"allow": [{"anonymous": True}], "mode": "warn"}, "observe"),
    ),
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bench(**options)
