"""The snapshot that a request is served by."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.chain import EMPTY
from gateway.routing.router import Router
from gateway.table import RouteTable


def test_defaults() -> None:
    table = RouteTable(Router([]), {})
    assert (table.chain, table.name, table.via, table.version) == (EMPTY, "gateway", b"Via: 1.1 gateway\r\n", 1)


def test_immutable() -> None:
    table = RouteTable(Router([]), {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.name = "other"  # type: ignore[misc]
