"""Pipes to an application: used again when they are free, never by two at once, and bounded."""

from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from gateway.application.pool import LIMITS, ApplicationPool, ServerEnd
from gateway.errors import GatewayError, Kind
from gateway.testing import make_exchange
from gateway.wire.head import ResponseHead
from gateway.wire.upstream_connection import UpstreamConnection
from tests.support.polling import eventually

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
NAME: ContextVar[str] = ContextVar("NAME", default="-")


class Asking:
    """Receives one answer."""

    def __init__(self, client_ip: str = "192.0.2.7") -> None:
        self.exchange = make_exchange(client_ip=client_ip)
        self.connection: UpstreamConnection | None = None
        self.body = b""
        self.ended = False
        self.error: GatewayError | None = None

    def connected(self, connection: UpstreamConnection) -> None:
        self.connection = connection

    def interim(self, head: ResponseHead) -> None:
        raise AssertionError(head)

    def response(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        self.response_body(body, ended)

    def response_body(self, body: bytes, ended: bool) -> None:
        self.body += body
        self.ended = ended

    def failed(self, error: GatewayError, stale: bool) -> None:
        self.error = error

    def pause_sending(self) -> None:
        pass

    def resume_sending(self) -> None:
        pass


async def handle(request: web.BaseRequest) -> web.Response:
    assert isinstance(request.transport, ServerEnd)
    assert request.transport.exchange is not None
    return web.Response(text=f"{request.remote} {request.transport.exchange.client_ip} {NAME.get()}")


def opened(most: int = 2, queue: int = 1) -> ApplicationPool:
    pool = ApplicationPool("bff.Web:app")
    pool.limits = replace(LIMITS, max_connections=most, max_queue=queue)
    pool.open(web.Server(handle, access_log=None))
    return pool


def take(pool: ApplicationPool, asking: Asking, **options: Any) -> UpstreamConnection:
    connection = pool.take(asking, 0.0, **options)
    assert connection is not None
    return connection


async def ask(pool: ApplicationPool, asking: Asking) -> None:
    take(pool, asking).send(REQUEST, True, False, False)
    await eventually(lambda: asking.ended)


async def test_a_free_pipe_is_used_again() -> None:
    pool = opened()
    assert (pool.address, pool.origin) == ("bff.web:app", "app://bff.Web:app")
    for client_ip in ("192.0.2.1", "192.0.2.2"):
        asking = Asking(client_ip)
        await ask(pool, asking)
        assert asking.body == f"{client_ip} {client_ip} -".encode()
    assert (len(pool.connections), pool.active) == (1, 0)
    end = pool.idle[0].transport.peer  # type: ignore[union-attr]
    assert end.exchange is None, "nothing that outlives a request points at it"
    pool.close()
    assert not pool.connections


async def test_handlers_run_in_the_context_of_the_start() -> None:
    token = NAME.set("start")
    pool = opened()
    NAME.reset(token)
    asking = Asking()
    await ask(pool, asking)
    assert asking.body.endswith(b" start")
    pool.close()


async def test_more_than_it_may_have_wait_for_one_that_is_free() -> None:
    pool = opened(most=1)
    first, second, third = Asking(), Asking("192.0.2.8"), Asking()
    connection = take(pool, first)
    assert pool.take(second, 0.0, fresh=True) is None
    assert pool.waits(second)
    with pytest.raises(GatewayError) as caught:
        pool.take(third, 0.0)
    assert caught.value.kind is Kind.QUEUE_FULL
    connection.send(REQUEST, True, False, False)
    await eventually(lambda: first.ended)
    assert second.connection is connection
    connection.send(REQUEST, True, False, False)
    await eventually(lambda: second.ended)
    assert second.body.startswith(b"192.0.2.8 192.0.2.8")
    pool.close()


async def test_one_that_waits_gets_a_new_pipe_when_another_is_lost() -> None:
    pool = opened(most=1)
    first, second = Asking(), Asking()
    connection = take(pool, first)
    assert pool.take(second, 0.0) is None
    connection.abort()
    assert second.connection not in (None, connection)
    third = Asking()
    assert pool.take(third, 0.0) is None
    pool._server = None
    assert second.connection is not None
    second.connection.abort()
    assert third.error is not None
    assert third.error.kind is Kind.CONNECT_FAILED


async def test_a_pipe_whose_handler_goes_on_is_not_free() -> None:
    pool = opened()
    asking = Asking()
    connection = take(pool, asking)
    end = connection.transport.peer  # type: ignore[union-attr]
    end.busy = True
    connection.send(REQUEST, True, False, False)
    await eventually(lambda: asking.ended)
    assert (pool.idle, pool.active) == ([], 1)
    pool.handled(end)
    assert (pool.idle, end.busy) == ([connection], False)
    pool.idle.clear()
    end.free = connection
    connection.abort()
    pool.handled(end)
    assert pool.idle == []
    pool.close()


async def test_one_that_is_asked_anew_opens_a_pipe_beside_a_free_one() -> None:
    pool = opened()
    await ask(pool, Asking())
    take(pool, Asking(), fresh=True)
    assert (len(pool.connections), len(pool.idle)) == (2, 1)
    pool.sweep(pool.idle[0].idle_since + 61)
    assert (len(pool.connections), len(pool.idle)) == (1, 0)
    pool.close()
    (left,) = pool.connections
    left.abort()


async def test_one_that_does_not_run_has_none() -> None:
    pool = ApplicationPool("a:b")
    with pytest.raises(GatewayError) as caught:
        pool.take(Asking(), 0.0)
    assert (caught.value.kind, caught.value.cause) == (Kind.CONNECT_FAILED, "the application a:b does not run")
