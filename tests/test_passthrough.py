"""Where connections that are passed through go, and what is counted of them."""

from __future__ import annotations

import socket

import pytest

from gateway.errors import GatewayError, Kind
from gateway.passthrough import Destination, Passthrough
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.upstream_meters import UpstreamMeters
from gateway.upstreams.upstream import Upstream
from gateway.wire.proxy_protocol import Addresses, write_header
from gateway.wire.relay import Relay
from tests.support.gateways import limits, make_upstream

CLIENT = Addresses("192.0.2.7", 1, "192.0.2.8", 2)


class Counted(UpstreamMeters):
    """Mutable state: what they were told."""

    def __init__(self) -> None:
        super().__init__(Metrics(), "up")
        self.told: list[tuple[object, ...]] = []

    def passed_through(self, *told: object) -> None:
        self.told.append(told)

    def ejected(self, reason: str) -> None:
        self.told.append((reason,))


def metered(upstream: Upstream) -> Counted:
    meters = upstream.meters = Counted()
    return meters


def test_which_name_goes_where() -> None:
    upstream = make_upstream("up", 1)
    exact, near, far = (Destination(upstream, 1.0) for _ in range(3))
    found = Passthrough({"a.b.example": exact, "*.b.example": near, "*.example": far}).find
    assert found("a.b.example") is exact
    assert found("x.b.example") is found("x.y.b.example") is near
    assert found("b.example") is found("x.example") is far
    assert found("example") is found("") is found("b.example.org") is None


@pytest.mark.parametrize("version", ["", "v2"])
async def test_another_endpoint_where_one_cannot_be_reached(version: str, unused_tcp_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        upstream = make_upstream("up", unused_tcp_port, server.getsockname()[1], limits=limits(proxy_protocol=version))
        meters = metered(upstream)
        bad, good = upstream.endpoints
        for _ in range(2):
            sock, end = await Destination(upstream, 1.0).dial(CLIENT)
            with sock, server.accept()[0] as accepted:
                assert (good.in_flight, good.pool.active, bad.in_flight, bad.pool.active) == (1, 1, 0, 0)
                sock.send(b"hello")
                assert accepted.recv(100).startswith((write_header("v2", CLIENT) if version else b"") + b"hello"[:0])
            end(CLIENT.source, Relay(set(), _Never(), 1.0, lambda relay: None))  # type: ignore[arg-type]
        assert (good.in_flight, good.pool.active) == (0, 0)
        assert (bad.errors, bad.refusals, bad.requests) == (1, 1, 1) or bad.errors == 2
        assert meters.told == [("closed", 0, 0)] * 2


async def test_no_endpoint_can_be_reached(unused_tcp_port: int) -> None:
    upstream = make_upstream("up", unused_tcp_port)
    meters = metered(upstream)
    with pytest.raises(GatewayError) as caught:
        await Destination(upstream, 1.0).dial(CLIENT)
    assert caught.value.kind is Kind.CONNECT_FAILED
    assert (upstream.endpoints[0].in_flight, upstream.endpoints[0].pool.active) == (0, 0)
    upstream.endpoints[0].put("drain", 0.0)
    with pytest.raises(GatewayError) as caught:
        await Destination(upstream, 1.0).dial(CLIENT)
    assert caught.value.kind is Kind.NO_ENDPOINT
    assert meters.told == [("failed",)] * 2


async def test_places_are_limited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        upstream = make_upstream("up", server.getsockname()[1], limits=limits(max_connections=1))
        metered(upstream)
        sock, _ = await Destination(upstream, 1.0).dial(CLIENT)
        with sock, pytest.raises(GatewayError) as caught:
            await Destination(upstream, 1.0).dial(CLIENT)
        assert caught.value.kind is Kind.QUEUE_FULL
        assert upstream.endpoints[0].errors == 0


class _Never:
    """Deadlines that nobody waits for."""

    def watch(self, watched: object, deadline: float) -> None:
        pass
