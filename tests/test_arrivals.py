"""What is settled of a request before it is routed."""

from __future__ import annotations

from gateway.wire.client_settings import HttpsRedirect
from tests.support.certificates import vouched
from tests.support.gateways import gateway, make_settings, request
from tests.support.handshakes import shown
from tests.support.polling import eventually
from tests.support.raw_upstream import answering, upstream

FORGED = b"X-Client: CN=root"


async def test_who_has_shown_a_certificate_is_known() -> None:
    settings = make_settings(client_headers=(("subject", "X-Client"),), identity_headers=["X-Client"])
    async with (
        upstream(answering) as service,
        gateway(service.port, settings=settings) as running,
        running.client() as client,
    ):
        assert (await client.ask(request("/1", FORGED))).status == 200
        (connection,) = running.listener.connections
        assert not connection.unusual
        connection.certificate = shown(vouched("ada").der)
        running.listener.adopt(settings)
        for _ in range(2):
            assert (await client.ask(request("/2", FORGED))).status == 200
        running.listener.adopt(make_settings(identity_headers=["X-Client"]))
        assert (await client.ask(request("/3", FORGED))).status == 200
    assert [one.get("x-client") for one in service.requests] == [None, "CN=ada", "CN=ada", None]
    certificates = [one.client_certificate for one in running.recorder.exchanges]
    assert certificates == [None, *[connection.certificate] * 3]


async def test_a_certificate_that_has_expired_is_good_for_nothing() -> None:
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        await eventually(lambda: running.listener.connections)
        (connection,) = running.listener.connections
        connection.certificate = shown(vouched("ada").der, until=1.0)
        running.listener.adopt(make_settings())
        client.send(request("/1") + request("/2"))
        assert (await client.response()).status == 403
        assert await client.rest() == b""
    assert not service.requests
    assert running.recorder.finished == [(403, "forbidden", "UA")]


async def test_where_all_are_to_come_by_https_nothing_is_served() -> None:
    settings = make_settings(redirect=HttpsRedirect())
    async with upstream(answering) as service, gateway(service.port, settings=settings) as running:
        async with running.client() as client:
            answer = await client.ask(request("/a?b", host=b"a.test:81"))
            assert (answer.status, answer.get("location")) == (308, "https://a.test/a?b")
            client.send(request("/upload", b"Content-Length: 100000", method="POST") + b"a" * 1000)
            assert (await client.response()).get("location") == "https://a/upload"
        await running.idle()
    assert not service.requests
    assert {exchange.route for exchange in running.recorder.exchanges} == {"-"}
    assert [outcome for _, outcome, _ in running.recorder.finished] == ["local", "local"]
