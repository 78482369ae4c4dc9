"""Reasons not to read a connection."""

from __future__ import annotations

import asyncio

from gateway.wire.pausing import BODY, PIPELINE, WRITE, PausingConnection
from tests.support.gateways import make_settings


class Transport(asyncio.Transport):
    """Mutable state: what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")


class Connection(PausingConnection):
    """Paused for all reasons that there are."""

    def __init__(self, transport: Transport | None) -> None:
        super().__init__(make_settings())
        self.transport = transport

    def pause(self, reason: int) -> None:
        self._pause(reason)

    def resume(self, reason: int) -> None:
        self._resume(reason)

    def write_slowly(self) -> None:
        self._pauses |= WRITE


def test_it_is_read_again_when_no_reason_is_left() -> None:
    transport = Transport()
    connection = Connection(transport)

    connection.resume_reading()
    connection.pause_reading()
    connection.pause_reading()
    connection.pause(PIPELINE)
    connection.resume_reading()
    assert transport.told == ["pause"]
    connection.resume(PIPELINE)
    connection.resume(PIPELINE)

    assert transport.told == ["pause", "resume"]


def test_a_peer_that_reads_slowly_is_read_all_the_same() -> None:
    transport = Transport()
    connection = Connection(transport)

    connection.write_slowly()
    assert connection.congested
    connection.pause(BODY)
    connection.resume(BODY | PIPELINE)

    assert transport.told == ["pause", "resume"]
    assert connection.congested


def test_nothing_is_paused_once_it_is_gone() -> None:
    transport = Transport()
    connection = Connection(transport)

    connection.pause_reading()
    connection.transport = None
    connection.resume_reading()
    connection.pause_reading()
    connection.transport = transport
    connection.pause_reading()

    assert transport.told == ["pause", "pause"]
