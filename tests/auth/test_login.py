"""Where sessions begin and end."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import pytest

from gateway.auth.auth_service import AuthService
from gateway.auth.cookies import SessionCookie
from gateway.auth.csrf import CsrfGuard
from gateway.auth.login import Doors
from gateway.auth.session_options import LoginOptions, SessionOptions
from gateway.auth.sessions import Session, Sessions, session_key
from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange, Reply
from gateway.plugin import UpstreamReply
from gateway.state.memory import MemoryShared
from gateway.testing import FakeClock, FakeUpstream, make_exchange

ANSWER = {"sub": "1", "access_token": "opaque-at", "refresh_token": "opaque-rt"}


class Bench:
    """The doors, and what is behind them."""

    def __init__(self, answer: UpstreamReply | None = None, **headers: str) -> None:
        clock = FakeClock()
        options = SessionOptions(LoginOptions("auth"))
        self.upstream = FakeUpstream([answer or UpstreamReply(200, {}, orjson.dumps(ANSWER))])
        self.sessions = Sessions(MemoryShared(clock), clock, "s", 600.0, 3600.0, headers)
        self.cookie = SessionCookie(options, "gate")
        service = AuthService(options.login, self.upstream, logging.getLogger("gateway.test"))
        self.doors = Doors(service, self.sessions, self.cookie, CsrfGuard([], secure=True))

    async def log_in(self, brought: bytes | None = None, exchange: Exchange | None = None) -> tuple[Reply, bytes]:
        reply = await self.doors.log_in(exchange or asking("/login"), brought)
        (cookie,) = reply.cookies
        session_id = cookie.partition("=")[2].partition(";")[0]
        assert cookie == self.cookie.given(session_id)
        key = session_key(session_id)
        assert key is not None
        return reply, key

    async def session(self, key: bytes) -> Session | None:
        return await self.sessions.find(key)


def asking(path: str, **fields: str) -> Exchange:
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return make_exchange("POST", path, {"Content-Type": "application/json", **named}, b"{}")


async def test_the_browser_hears_who_it_is_and_no_token() -> None:
    exchange = asking("/login")
    reply, _ = await Bench().log_in(exchange=exchange)

    body = orjson.loads(reply.body)
    assert body.keys() == {"sub", "csrf", "expires_in"}
    assert (reply.status, body["sub"], body["expires_in"]) == (200, "1", 3600)
    assert reply.headers == {"Content-Type": "application/json", "Cache-Control": "no-store"}
    assert "opaque" not in repr((reply.body, reply.headers, reply.cookies))
    assert exchange.principal == "1"
    assert body["csrf"] not in repr(reply.cookies)


async def test_the_csrf_token_is_the_sessions() -> None:
    bench = Bench()
    reply, key = await bench.log_in()
    session = await bench.session(key)

    assert session is not None
    assert orjson.loads(reply.body)["csrf"] == session.csrf


async def test_the_session_that_was_brought_ends_and_its_id_is_not_taken_over() -> None:
    bench = Bench()
    _, planted = await bench.log_in()

    _, key = await bench.log_in(brought=planted)

    assert key != planted
    assert await bench.session(planted) is None
    assert await bench.session(key) is not None


async def test_an_id_that_the_client_made_up_begins_nothing() -> None:
    bench = Bench()
    made_up = session_key("a" * 43)
    assert made_up is not None

    _, key = await bench.log_in(brought=made_up)

    assert key != made_up
    assert await bench.session(made_up) is None


async def test_a_login_that_fails_leaves_the_session_that_was_there() -> None:
    bench = Bench()
    _, key = await bench.log_in()
    bench.upstream.answers = (UpstreamReply(401, {"content-type": "text/plain"}, b"wrong"),)

    reply = await bench.doors.log_in(asking("/login"), key)

    assert (reply.status, reply.body, reply.cookies) == (401, b"wrong", ())
    assert reply.headers["WWW-Authenticate"] == bench.cookie.challenge
    assert await bench.session(key) is not None


async def test_a_page_of_another_site_logs_nobody_in() -> None:
    bench = Bench()
    with pytest.raises(GatewayError) as caught:
        await bench.doors.log_in(asking("/login", Sec_Fetch_Site="cross-site"), None)

    assert caught.value.kind is Kind.FORBIDDEN
    assert bench.upstream.calls == []


async def test_claims_that_cannot_be_headers_log_nobody_in() -> None:
    bench = Bench(UpstreamReply(200, {}, orjson.dumps({"sub": "a\r\nX-Admin: 1"})), sub="X-User")
    with pytest.raises(GatewayError) as caught:
        await bench.doors.log_in(asking("/login"), None)

    assert caught.value.kind is Kind.AUTH_UNAVAILABLE
    assert "control character" in caught.value.cause
    assert "X-Admin" not in caught.value.cause


@pytest.mark.parametrize("proof", ["token", "same-origin"])
async def test_log_out(proof: str) -> None:
    bench = Bench()
    reply, key = await bench.log_in()
    fields: dict[str, Any] = {"Sec_Fetch_Site": "same-origin"}
    if proof == "token":
        fields = {"X_CSRF_Token": orjson.loads(reply.body)["csrf"]}

    gone = await bench.doors.log_out(asking("/logout", **fields), key)

    assert (gone.status, gone.cookies, gone.headers) == (204, (bench.cookie.cleared,), {"Cache-Control": "no-store"})
    assert await bench.session(key) is None


async def test_a_page_of_another_site_logs_nobody_out() -> None:
    bench = Bench()
    _, key = await bench.log_in()
    with pytest.raises(GatewayError) as caught:
        await bench.doors.log_out(asking("/logout", Sec_Fetch_Site="cross-site"), key)

    assert caught.value.kind is Kind.FORBIDDEN
    assert await bench.session(key) is not None


@pytest.mark.parametrize("session_id", [None, "a" * 43])
async def test_log_out_without_a_session(session_id: str | None) -> None:
    bench = Bench()
    key = session_key(session_id) if session_id is not None else None

    gone = await bench.doors.log_out(asking("/logout"), key)

    assert (gone.status, gone.cookies) == (204, (bench.cookie.cleared,))
