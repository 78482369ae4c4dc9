"""Who is let in with a token that was introspected, and what is told to whom."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import pytest
from gateway.plugins.introspection import Introspection

from gateway.exchange import Exchange
from gateway.plugin import ADMITTED, GatewayError, Kind, UpstreamReply
from gateway.telemetry.exposition import expose
from gateway.telemetry.merging import collected
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, FakeUpstream, make_env, make_exchange, make_plugin, run, run_async
from gateway.wire.head import ResponseHead

TOKEN = "tok.en-1234567890"
SECRET = "gateway-secret"
CHALLENGE = 'Bearer realm="edge"'
INACTIVE = UpstreamReply(200, {}, b'{"active": false}')


def said(**members: Any) -> UpstreamReply:
    return UpstreamReply(200, {}, orjson.dumps(members))


ACTIVE = said(active=True, sub="5", scope="items:read", roles=["a", "b"])


class Bench:
    """The plugin with its service, clock and metrics."""

    def __init__(self, *answers: UpstreamReply | GatewayError, **options: Any) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.service = FakeUpstream(answers or [ACTIVE])
        env = make_env(self.clock, self.metrics, upstreams={"auth": self.service}, name="edge")
        place = {"upstream": "auth", "path": "/introspect", "client_id": "gateway", "client_secret": SECRET}
        self.plugin = make_plugin(Introspection, env, **{**place, **options})

    async def ask(self, token: str | None = TOKEN, exchange: Exchange | None = None) -> ResponseHead:
        return await run_async(self.plugin, exchange or asking(token))

    def counted(self) -> dict[str, float]:
        family = self.metrics.counter("gateway_auth_total", "", ("plugin", "result"))
        return {labels[1]: child.value for labels, child in family.children.items() if child.value}


def asking(token: str | None = TOKEN, **headers: str) -> Exchange:
    credentials = {} if token is None else {"Authorization": f"Bearer {token}"}
    return make_exchange("GET", "/items?x=1", {**credentials, **headers})


def challenge(head: ResponseHead) -> str | None:
    return head.headers.get("www-authenticate")


# who is let in


async def test_an_active_token_is_let_in_with_its_identity() -> None:
    bench = Bench(claims_to_headers={"sub": "X-User-Id", "roles": "X-Roles"})
    exchange = asking()

    assert (await bench.ask(exchange=exchange)).status == 200

    assert (exchange.principal, exchange.claims and exchange.claims["scope"]) == ("5", "items:read")
    assert (exchange.headers.get("x-user-id"), exchange.headers.get("x-roles")) == ("5", "a,b")
    assert exchange.headers.get("authorization") == f"Bearer {TOKEN}"
    assert bench.counted() == {"allowed": 1}
    assert set(bench.plugin.identity_headers()) == {"X-User-Id", "X-Roles"}


async def test_a_remembered_token_needs_no_waiting() -> None:
    bench = Bench(claims_to_headers={"sub": "X-User-Id"})
    assert bench.plugin.on_request(asking()) is None
    await bench.ask()
    exchange = asking()

    assert bench.plugin.on_request(exchange) is ADMITTED
    assert (exchange.principal, exchange.headers.get("x-user-id")) == ("5", "5")
    assert run(bench.plugin, asking()).status == 200
    assert len(bench.service.calls) == 1
    assert bench.counted() == {"allowed": 3}


async def test_a_remembered_refusal_needs_none_either() -> None:
    bench = Bench(INACTIVE)
    assert (await bench.ask()).status == 401
    with pytest.raises(GatewayError) as raised:
        bench.plugin.on_request(asking())
    assert raised.value.kind is Kind.UNAUTHENTICATED
    assert len(bench.service.calls) == 1


async def test_who_has_no_token_is_told_the_scheme() -> None:
    bench = Bench()
    head = await bench.ask(None)
    assert (head.status, challenge(head)) == (401, CHALLENGE)
    assert bench.counted() == {"missing": 1}
    assert not bench.service.calls


async def test_an_inactive_token_is_refused() -> None:
    bench = Bench(INACTIVE)
    exchange = asking()
    head = await bench.ask(exchange=exchange)

    told = 'error="invalid_token", error_description="the token does not hold"'
    assert (head.status, challenge(head)) == (401, f"{CHALLENGE}, {told}")
    assert (exchange.principal, exchange.claims) == (None, None)
    assert bench.counted() == {"denied": 1}


async def test_a_token_that_lacks_a_scope_is_forbidden() -> None:
    bench = Bench(scopes=["items:read", "items:write"])
    exchange = asking()
    for _ in range(2):
        head = await bench.ask(exchange=exchange)
        told = 'error="insufficient_scope", scope="items:read items:write"'
        assert (head.status, challenge(head)) == (403, f"{CHALLENGE}, {told}")
    assert exchange.principal is None
    assert bench.counted() == {"denied": 2}
    assert len(bench.service.calls) == 1


@pytest.mark.parametrize(
    ("options", "status"),
    [({"issuers": ["https://a.example"]}, 401), ({"audience": "api"}, 401), ({"audience": ["api", "items"]}, 401)],
)
async def test_a_token_of_or_for_somebody_else_is_refused(options: dict[str, Any], status: int) -> None:
    assert (await Bench(said(active=True, sub="5", iss="b", aud="shop"), **options).ask()).status == status
    good = said(active=True, sub="5", iss="https://a.example", aud=["api"])
    assert (await Bench(good, **options).ask()).status == 200


async def test_a_refresh_token_that_is_called_active_is_kept_out_by_the_audience() -> None:
    refresh = said(active=True, sub="5", scope="items:read", exp=FakeClock().wall() + 3600)
    assert (await Bench(refresh, audience="api").ask()).status == 401


# optional


async def test_without_a_token_a_request_passes_as_nobodys() -> None:
    bench = Bench(optional=True)
    for headers in ({}, {"Authorization": "Basic YTpi"}):
        exchange = asking(None, **headers)
        assert bench.plugin.on_request(exchange) is ADMITTED
        assert (await bench.ask(exchange=exchange)).status == 200
        assert (exchange.principal, exchange.claims) == (None, None)
    assert not bench.service.calls
    assert bench.counted() == {}


async def test_a_wrong_token_never_passes() -> None:
    bench = Bench(INACTIVE, optional=True)
    assert (await bench.ask()).status == 401
    assert (await bench.ask()).status == 401


@pytest.mark.parametrize(
    "field",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer a,b",
        f"Bearer\t{TOKEN}",
        f"bearer\t {TOKEN}",
        f"Bearer,{TOKEN}",
        f"Bearer:{TOKEN}",
        f'Bearer "{TOKEN}"',
        "Bearer " + "a" * 10_000,
    ],
)
@pytest.mark.parametrize("optional", [True, False])
async def test_what_is_no_token_never_passes(field: str, optional: bool) -> None:
    bench = Bench(optional=optional)
    head = await bench.ask(exchange=asking(None, Authorization=field))
    assert head.status == 401
    assert 'error="invalid_token"' in (challenge(head) or "")
    assert not bench.service.calls
    assert bench.counted() == {"denied": 1}


# a service that cannot be asked


FAULTS = [
    GatewayError(Kind.CONNECT_FAILED),
    GatewayError(Kind.RESPONSE_TIMEOUT),
    GatewayError(Kind.UPSTREAM_RESET),
    GatewayError(Kind.UPSTREAM_BODY_TOO_LARGE),
    UpstreamReply(500, {}, b'{"active": true}'),
    UpstreamReply(302, {"location": "/"}, b'{"active": true}'),
    UpstreamReply(401, {}, b'{"error": "invalid_client"}'),
    UpstreamReply(200, {}, b"<html>active</html>"),
    UpstreamReply(200, {}, b'[{"active": true}]'),
    said(active="true", sub="5"),
    said(active=1, sub="5"),
    said(sub="5"),
    said(active=True, exp="tomorrow"),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("optional", [True, False])
async def test_nobody_is_let_in_while_it_cannot_be_asked(fault: Any, optional: bool) -> None:
    bench = Bench(fault, optional=optional)
    exchange = asking()
    head = await bench.ask(exchange=exchange)

    assert (head.status, challenge(head), exchange.principal) == (503, None, None)
    assert exchange.outcome == "auth_unavailable"
    assert bench.counted() == {"error": 1}


async def test_another_status_can_be_wished_for() -> None:
    assert (await Bench(FAULTS[0], status_on_error=403).ask()).status == 403


async def test_what_is_remembered_serves_on_while_it_is_away() -> None:
    bench = Bench(ACTIVE, FAULTS[0])
    assert (await bench.ask()).status == 200
    bench.clock.advance(59)
    assert (await bench.ask()).status == 200
    bench.clock.advance(2)
    assert (await bench.ask()).status == 503


# secrets and spoofs


@pytest.mark.parametrize("value", ["5\r\nX-Admin: 1", "5\nx", "\0"])
async def test_a_claim_is_never_another_header(value: str) -> None:
    bench = Bench(said(active=True, sub=value), claims_to_headers={"sub": "X-User-Id"})
    exchange = asking()
    assert (await bench.ask(exchange=exchange)).status == 401
    assert [name for name, _ in exchange.headers.items()] == ["Host", "Authorization"]


@pytest.mark.parametrize("answer", [ACTIVE, INACTIVE, said(active=True, sub="a\nb"), *FAULTS])
async def test_neither_token_nor_secret_is_told(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(answer, claims_to_headers={"sub": "X-User-Id"}, scopes=["items:none"])
    with caplog.at_level(logging.DEBUG):
        head = await bench.ask()
        with pytest.raises(GatewayError) as raised:
            await bench.plugin.admit(asking())

    [(_, path, _, body), *_] = bench.service.calls
    assert TOKEN in body.decode()
    error = raised.value
    told = [
        path,
        caplog.text,
        repr(head.body),
        repr(list(head.headers.items())),
        expose([collected(bench.metrics)])[0].decode(),
    ]
    told += [repr(error), error.cause, error.detail, repr(error.headers), repr(bench.plugin.options)]
    assert not [text for text in told if TOKEN in text or SECRET in text]


def test_an_upstream_that_is_not_there() -> None:
    with pytest.raises(LookupError, match="nowhere"):
        Bench(upstream="nowhere")


def test_an_instance_serves_all_routes_and_outlives_a_reload_that_keeps_its_upstream() -> None:
    bench = Bench()
    assert bench.plugin.spans_routes
    assert bench.plugin.is_current(bench.plugin.env)
    assert not bench.plugin.is_current(make_env())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"cache": {"ttl": 60}}, "unit"),
        ({"cache": {"max": 1}}, "at least 2"),
        ({"client_auth": "jwt"}, "basic"),
        ({"url": "http://a.example/x"}, "say where the service is"),
        ({"optional": "yes"}, "true or false"),
        ({"insecure": True}, "insecure"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Bench(**options)
