"""Requests with keys: who is let in as whom, what goes upstream, and what is refused."""

from __future__ import annotations

import logging
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from gateway.plugins.api_key import ApiKeyCheck

from gateway.auth.claims import consumer_of, scopes_of
from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange
from gateway.plugin import ADMITTED, SharedUnavailable
from gateway.state.memory import MemoryShared
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, make_env, make_exchange, make_plugin, run
from gateway.wire.head import ResponseHead

KEY = "Zk3-this-is-long-and-random-enough"
OTHER = "kY8-so-is-this-one-of-the-office"


def entry(key: str = KEY, consumer: str = "shop", **fields: Any) -> dict[str, Any]:
    return {"hash": f"sha256:{sha256(key.encode()).hexdigest()}", "consumer": consumer, **fields}


class Store(MemoryShared):
    """Shared state that can be `down`."""

    down = False

    async def add(self, key: str, amount: int = 1, ttl: float | None = None) -> int:
        if self.down:
            raise SharedUnavailable("no answer")
        return await super().add(key, amount, ttl)


class Bench:
    """A plugin with its clock, its store and its metrics."""

    def __init__(self, folder: Path = Path(), **options: Any) -> None:
        self.clock = FakeClock(wall=20_000 * 86_400.0)
        self.metrics = Metrics()
        self.store = Store(self.clock)
        self.env = replace(make_env(self.clock, self.metrics), folder=folder, shared=self.store)
        self.plugin = make_plugin(ApiKeyCheck, self.env, **({} if "file" in options else {"keys": [entry()]}) | options)

    def ask(self, *keys: str, header: str = "X-Api-Key") -> tuple[ResponseHead, Exchange]:
        exchange = make_exchange("GET", "/", [(header, key) for key in keys])
        return run(self.plugin, exchange), exchange

    def status(self, *keys: str, header: str = "X-Api-Key") -> int:
        return self.ask(*keys, header=header)[0].status

    def counted(self) -> dict[str, float]:
        family = self.metrics.counter("gateway_auth_total", "", ("plugin", "result"))
        assert {plugin for plugin, _ in family.children} == {"api_key"}
        return {result: child.value for (_, result), child in family.children.items() if child.value}


def test_a_known_key_is_let_in_as_its_consumer() -> None:
    bench = Bench(keys=[entry(scopes=["items:read", "items:write"]), entry(OTHER, "office")])
    head, exchange = bench.ask(KEY)

    assert (head.status, exchange.principal, consumer_of(exchange)) == (200, "shop", "shop")
    assert scopes_of(exchange.claims or {}) == {"items:read", "items:write"}
    assert exchange.headers.get_all("x-consumer") == ["shop"]
    assert exchange.headers.get_all("x-api-key") == [], "the key went upstream"
    assert bench.ask(OTHER)[1].principal == "office"
    assert bench.counted() == {"allowed": 2}


def test_the_key_may_go_on() -> None:
    assert Bench(forward=True).ask(KEY)[1].headers.get_all("x-api-key") == [KEY]


def test_the_headers_can_have_other_names() -> None:
    bench = Bench(header="apikey", headers={"consumer": "X-App"})
    _, exchange = bench.ask(KEY, header="ApiKey")

    assert exchange.headers.get("x-app") == "shop"
    assert exchange.headers.get("apikey") is exchange.headers.get("x-consumer") is None
    assert tuple(bench.plugin.identity_headers()) == ("X-App",)
    assert tuple(Bench(headers={}).plugin.identity_headers()) == ()


def test_without_a_key_the_answer_says_what_is_needed() -> None:
    bench = Bench()
    head, exchange = bench.ask()

    assert (head.status, head.headers.get("www-authenticate")) == (401, 'ApiKey realm="gateway"')
    assert b"an API key is needed, in X-Api-Key" in (head.body or b"")
    assert (exchange.principal, exchange.claims) == (None, None)
    assert bench.counted() == {"missing": 1}


@pytest.mark.parametrize(
    "given",
    (
        "",
        KEY.lower(),
        KEY.upper(),
        KEY[:-1],
        f"{KEY},{KEY}",
        f"{KEY};",
        f"{KEY}\0",
        f"\0{KEY}",
        entry()["hash"],
        entry()["hash"][7:],
        "k" * 100_000,
        "\xff",
    ),
)
@pytest.mark.parametrize("optional", (False, True))
def test_a_wrong_key_never_passes(given: str, optional: bool) -> None:
    bench = Bench(optional=optional)
    head, exchange = bench.ask(given)

    assert (head.status, head.headers.get("www-authenticate")) == (401, 'ApiKey realm="gateway"')
    assert exchange.principal is None
    assert bench.counted() == {"denied": 1}
    assert given == "" or given.encode("latin-1") not in (head.body or b"")


@pytest.mark.parametrize("keys", ((KEY, KEY), (KEY, "x"), ("x", KEY), ("", KEY)))
@pytest.mark.parametrize("optional", (False, True))
def test_two_keys_are_refused(keys: tuple[str, ...], optional: bool) -> None:
    bench = Bench(optional=optional)

    assert bench.status(*keys) == 400
    assert bench.counted() == {"denied": 1}


def test_who_brings_none_may_pass_as_nobody() -> None:
    bench = Bench(optional=True)
    head, exchange = bench.ask()

    assert (head.status, exchange.principal, exchange.claims) == (200, None, None)
    assert exchange.headers.get("x-consumer") is None
    assert bench.counted() == {}
    assert Bench(optional=True, keys=[entry(quota="1/d")]).status() == 200, "nobody has no quota"


@pytest.mark.parametrize("name", ("X_Api_Key", "x-api_key", "X_API-KEY"))
def test_another_spelling_is_no_key_and_does_not_pass(name: str) -> None:
    assert Bench().status(KEY, header=name) == 401
    head, exchange = Bench(optional=True, forward=True).ask(KEY, header=name)
    assert (head.status, exchange.principal, exchange.headers.get_all(name)) == (200, None, [])
    exchange = make_exchange("GET", "/", [(name, OTHER), ("X-Api-Key", KEY)])
    assert run(Bench(forward=True).plugin, exchange).status == 200
    assert (exchange.principal, exchange.headers.get_all(name)) == ("shop", [])


def test_a_key_ends() -> None:
    bench = Bench(keys=[entry(expires="2024-10-05"), entry(OTHER)])
    bench.clock.advance(86_399)
    assert bench.status(KEY) == 200
    bench.clock.advance(1)

    assert (bench.status(KEY), bench.status(OTHER)) == (401, 200)


# quotas


def test_a_quota_is_the_consumers_whichever_key_it_uses() -> None:
    bench = Bench(keys=[entry(quota="3/d"), entry("second", quota="3/d"), entry(OTHER, "office")])

    assert [bench.status(key) for key in (KEY, "second", KEY, "second", KEY)] == [200, 200, 200, 429, 429]
    assert bench.status(OTHER) == 200
    head, exchange = bench.ask(KEY)
    assert (head.headers.get("retry-after"), exchange.outcome) == ("86400", "rate_limited")
    assert bench.counted() == {"allowed": 4, "denied": 3}
    bench.clock.advance(86_400)
    assert bench.status(KEY) == 200


def test_only_a_consumer_with_a_quota_waits_for_the_store() -> None:
    bench = Bench(keys=[entry(quota="3/d"), entry(OTHER, "office")])

    assert bench.plugin.on_request(make_exchange(headers={"X-Api-Key": KEY})) is None
    assert bench.plugin.on_request(make_exchange(headers={"X-Api-Key": OTHER})) is ADMITTED
    assert bench.plugin.uses_phase("admit")
    assert not Bench().plugin.uses_phase("admit")
    assert not bench.plugin.uses_phase("on_response")


def test_a_quota_that_is_known_to_be_used_up_is_refused_without_the_store() -> None:
    bench = Bench(keys=[entry(quota="1/d")])
    assert [bench.status(KEY), bench.status(KEY)] == [200, 429]
    bench.store.down = True

    with pytest.raises(GatewayError) as caught:
        bench.plugin.on_request(make_exchange(headers={"X-Api-Key": KEY}))
    assert caught.value.kind is Kind.RATE_LIMITED


@pytest.mark.parametrize(("choice", "status"), (("open", 200), ("closed", 503)))
def test_without_the_store_it_is_as_the_options_say(choice: str, status: int) -> None:
    bench = Bench(keys=[entry(quota="1/d")], on_store_error=choice)
    bench.store.down = True
    head, exchange = bench.ask(KEY)

    assert head.status == status
    assert exchange.outcome == ("answered" if status == 200 else "limiter_unavailable")
    assert bench.status("wrong") == 401, "who may ask has nothing to do with the store"
    assert bench.counted() == {"error": 1, "denied": 1}


def test_a_wrong_key_takes_nothing_from_the_quota() -> None:
    bench = Bench(keys=[entry(quota="1/d")])

    assert [bench.status("wrong"), bench.status(KEY, KEY), bench.status(), bench.status(KEY)] == [401, 400, 401, 200]


# files, options, secrets


def test_keys_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(f"keys: [{{hash: '{entry()['hash']}', consumer: shop}}]")
    bench = Bench(tmp_path, file="keys.yaml", keys=[entry(OTHER, "office")])

    assert (bench.ask(KEY)[1].principal, bench.ask(OTHER)[1].principal) == ("shop", "office")
    assert bench.plugin.is_current(bench.env)
    file.write_text(f"# another spelling\nkeys:\n  - consumer: shop\n    hash: {entry()['hash']}\n")
    assert bench.plugin.is_current(bench.env)
    file.write_text(f"keys: [{{hash: '{entry('new')['hash']}', consumer: shop}}]")
    assert not bench.plugin.is_current(bench.env)
    file.write_text("keys: [")
    assert not bench.plugin.is_current(bench.env)
    file.unlink()
    assert not bench.plugin.is_current(bench.env)
    assert Bench().plugin.is_current(bench.env)


def test_a_key_of_the_file_that_is_listed_too(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text(f"keys: [{{hash: '{entry()['hash']}', consumer: shop}}]")
    with pytest.raises(ValueError, match="a key of shop is there twice, the other one for office"):
        Bench(tmp_path, file="keys.yaml", keys=[entry(consumer="office")])


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"keys": []}, "no key would be known"),
        ({"keys": [{"hash": KEY, "consumer": "shop"}]}, "sha256sum"),
        ({"keys": [entry(quota="many")]}, "not a rate"),
        ({"keys": [entry(expires="soon")]}, "no date"),
        ({"keys": [{**entry(), "key": KEY}]}, "unknown key 'key'"),
        ({"keys": [entry(), entry()]}, "there twice"),
        ({"header": "X-Forwarded-Key"}, "gateway's own"),
        ({"headers": {"user": "X-User"}}, "consumer"),
        ({"on_store_error": "local"}, "open"),
        ({"file": "nowhere.yaml"}, "'nowhere.yaml' cannot be read"),
    ),
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Bench(**options)

    assert KEY not in str(caught.value)


def test_no_key_is_in_logs_and_reprs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bench = Bench(keys=[entry(quota="1/d")])
    shown = [repr(bench.plugin.options), str(bench.plugin.options)]
    for keys in ((KEY,), (KEY,), ("wrong-key",), (KEY, KEY)):
        head, exchange = bench.ask(*keys)
        shown += [repr(head), repr(exchange), str(head.body), repr(exchange.claims)]
    text = "".join([*shown, caplog.text])

    assert [found for found in (KEY, "wrong-key", entry()["hash"][7:]) if found in text] == []
