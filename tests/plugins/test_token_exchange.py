"""What goes upstream in place of a client's token, and what a client is told whose token is not exchanged."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import pytest
from gateway.plugins.introspection import Introspection
from gateway.plugins.token_exchange import TokenExchange

from gateway.auth.exchanger import TOKEN_TYPE
from gateway.exchange import Exchange
from gateway.plugin import ADMITTED, GatewayError, Kind, UpstreamReply
from gateway.telemetry.exposition import expose
from gateway.telemetry.merging import collected
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, FakeUpstream, make_env, make_exchange, make_plugin, run, run_async
from gateway.wire.head import ResponseHead

TOKEN = "tok.en-1234567890"
ISSUED = "iss.ued-0987654321"
SECRET = "gateway-secret"
CHALLENGE = 'Bearer realm="edge"'
ANSWER = {"access_token": ISSUED, "token_type": "Bearer", "issued_token_type": f"{TOKEN_TYPE}access_token"}


def said(status: int = 200, **members: Any) -> UpstreamReply:
    return UpstreamReply(status, {}, orjson.dumps(members))


def refusing(code: str, status: int = 400) -> UpstreamReply:
    return said(status, error=code, error_description=f"of {TOKEN}")


GOOD = said(**ANSWER, expires_in=300)


class Bench:
    """The plugin with its service, clock and metrics."""

    def __init__(self, *answers: UpstreamReply | GatewayError, **options: Any) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.service = FakeUpstream(answers or [GOOD])
        self.env = make_env(self.clock, self.metrics, upstreams={"auth": self.service}, name="edge")
        place = {"upstream": "auth", "path": "/token", "client_id": "gateway", "client_secret": SECRET}
        self.plugin = make_plugin(TokenExchange, self.env, **{**place, "audience": "catalog", **options})

    async def ask(self, exchange: Exchange | None = None) -> ResponseHead:
        return await run_async(self.plugin, exchange or asking())

    def counted(self) -> dict[str, float]:
        family = self.metrics.counter("gateway_auth_total", "", ("plugin", "result"))
        return {labels[1]: child.value for labels, child in family.children.items() if child.value}


def asking(field: str | None = f"Bearer {TOKEN}") -> Exchange:
    return make_exchange("GET", "/items", {} if field is None else {"Authorization": field, "X-Other": "1"})


async def test_the_new_token_goes_upstream_in_place_of_the_clients() -> None:
    bench = Bench()
    exchange = asking()

    assert (await bench.ask(exchange)).status == 200

    assert exchange.headers.get_all("authorization") == [f"Bearer {ISSUED}"]
    assert TOKEN not in exchange.headers.text().decode()  # type: ignore[attr-defined]
    assert exchange.headers.get("x-other") == "1"
    assert bench.counted() == {"allowed": 1}


async def test_a_remembered_token_needs_no_waiting() -> None:
    bench = Bench()
    assert bench.plugin.on_request(asking()) is None
    await bench.ask()
    exchange = asking()

    assert bench.plugin.on_request(exchange) is ADMITTED
    assert exchange.headers.get("authorization") == f"Bearer {ISSUED}"
    assert run(bench.plugin, asking()).status == 200
    assert len(bench.service.calls) == 1


@pytest.mark.parametrize("field", [None, "Basic YTpi", f"Token {TOKEN}"])
async def test_who_has_no_token_is_told_the_scheme(field: str | None) -> None:
    bench = Bench()
    head = await bench.ask(asking(field))
    assert (head.status, head.headers.get("www-authenticate")) == (401, CHALLENGE)
    assert bench.counted() == {"missing": 1}
    assert not bench.service.calls


@pytest.mark.parametrize("field", ["Bearer", "Bearer a b", "Bearer " + "a" * 10_000])
async def test_what_is_no_token_is_refused(field: str) -> None:
    bench = Bench()
    assert (await bench.ask(asking(field))).status == 401
    assert bench.counted() == {"denied": 1}
    assert not bench.service.calls


@pytest.mark.parametrize(
    ("code", "status", "challenge"),
    [
        ("invalid_request", 401, f'{CHALLENGE}, error="invalid_token", error_description="the token is not accepted"'),
        ("invalid_grant", 401, f'{CHALLENGE}, error="invalid_token", error_description="the token is not accepted"'),
        ("invalid_target", 403, None),
        ("invalid_scope", 403, f'{CHALLENGE}, error="insufficient_scope", scope="items:read"'),
    ],
)
async def test_a_token_that_is_not_exchanged(code: str, status: int, challenge: str | None) -> None:
    bench = Bench(refusing(code), scope="items:read")
    exchange = asking()
    head = await bench.ask(exchange)

    assert (head.status, head.headers.get("www-authenticate")) == (status, challenge)
    assert bench.counted() == {"denied": 1}


FAULTS = [
    GatewayError(Kind.CONNECT_FAILED),
    GatewayError(Kind.RESPONSE_TIMEOUT),
    GatewayError(Kind.UPSTREAM_RESET),
    refusing("invalid_client", 401),
    refusing("invalid_client"),
    refusing("invalid_grant", 403),
    refusing("unauthorized_client"),
    refusing("something_else"),
    UpstreamReply(400, {}, b"<html>invalid_grant</html>"),
    UpstreamReply(500, {}, GOOD.body),
    UpstreamReply(302, {"location": "/"}, GOOD.body),
    UpstreamReply(200, {}, b"<html></html>"),
    said(error="invalid_grant"),
    said(**{**ANSWER, "access_token": f"{ISSUED}\r\nX-Admin: 1"}),
    said(**{**ANSWER, "token_type": "DPoP"}),
    said(**{**ANSWER, "token_type": "N_A"}),
    said(**{**ANSWER, "issued_token_type": f"{TOKEN_TYPE}refresh_token"}),
    said(**ANSWER, expires_in="300"),
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_is_passed_on_while_it_cannot_be_asked(fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(fault)
    exchange = asking()
    with caplog.at_level(logging.DEBUG):
        head = await bench.ask(exchange)

    assert (head.status, exchange.outcome) == (503, "auth_unavailable")
    assert bench.counted() == {"error": 1}
    assert "the token service at /token of auth cannot be used" in caplog.text


async def test_another_status_can_be_wished_for() -> None:
    assert (await Bench(FAULTS[0], status_on_error=502).ask()).status == 502


@pytest.mark.parametrize("answer", [GOOD, refusing("invalid_grant"), refusing(TOKEN), *FAULTS])
async def test_neither_token_nor_secret_is_told(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(answer)
    with caplog.at_level(logging.DEBUG):
        head = await bench.ask()

    told = [
        caplog.text,
        repr(head.body),
        repr(list(head.headers.items())),
        expose([collected(bench.metrics)])[0].decode(),
    ]
    told += [repr(bench.plugin.options), bench.service.calls[0][1]]
    assert not [text for text in told if any(secret in text for secret in (TOKEN, ISSUED, SECRET))]


async def test_the_token_was_introspected_first() -> None:
    """Listed before, another plugin sees the client's own token, and its identity stays."""
    bench = Bench(said(active=True, sub="5"), GOOD)
    place = {"upstream": "auth", "path": "/introspect", "client_id": "gateway", "client_secret": SECRET}
    exchange = asking()

    assert (await run_async([make_plugin(Introspection, bench.env, **place), bench.plugin], exchange)).status == 200

    assert [TOKEN in body.decode() for *_, body in bench.service.calls] == [True, True]
    assert (exchange.principal, exchange.headers.get("authorization")) == ("5", f"Bearer {ISSUED}")


def test_an_upstream_that_is_not_there() -> None:
    with pytest.raises(LookupError, match="nowhere"):
        Bench(upstream="nowhere")


def test_an_instance_serves_all_routes_and_outlives_a_reload_that_keeps_its_upstream() -> None:
    bench = Bench()
    assert bench.plugin.spans_routes
    assert bench.plugin.is_current(bench.env)
    assert not bench.plugin.is_current(make_env())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"cache": {"max": 1}}, "at least 2"),
        ({"scope": ["a b"]}, "no scope"),
        ({"requested_token_type": "opaque"}, "no token type"),
        ({"optional": True}, "optional"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Bench(**options)
