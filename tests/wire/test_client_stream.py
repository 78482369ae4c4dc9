"""The client's side of an exchange: what everybody who has one can rely on."""

from __future__ import annotations

import pytest

from gateway.wire.client_stream import ClientStream
from gateway.wire.deadlines import NEVER
from gateway.wire.pausing import WRITE, PausingConnection
from tests.support.gateways import make_settings


def test_nothing_is_under_way_at_first() -> None:
    settings = make_settings()
    stream = ClientStream(settings)

    assert (stream.exchange, stream.settings) == (None, settings)
    assert (stream.deadline, stream.check_at, stream.congested) == (NEVER, NEVER, 0)
    assert not stream.trusted
    assert not stream.unusual


def test_it_is_not_for_whoever_cannot_be_answered() -> None:
    stream = ClientStream(make_settings())

    with pytest.raises(NotImplementedError):
        stream.send_body(b"x", True)
    with pytest.raises(NotImplementedError):
        stream.watch(1.0)


def test_a_connection_says_when_its_peer_reads_too_slowly() -> None:
    connection = PausingConnection(make_settings())
    assert connection.congested == 0

    connection._pauses |= WRITE
    assert connection.congested
