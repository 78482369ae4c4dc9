"""Draining at one worker; what the admin API makes of it is in test_handlers.py."""

from __future__ import annotations

from pathlib import Path

from gateway.admin.endpoints import put
from tests.support.runtimes import HEAD, running

TEXT = (
    HEAD + "upstreams: {up: {endpoints: ['http://localhost:7', 'http://127.0.0.1:9']}}\nroutes: [{name: a, to: up}]\n"
)


async def test_put(tmp_path: Path) -> None:
    async with running(tmp_path, TEXT) as worker:
        row = put(worker.runtime, "up", "LOCALHOST:7", "drain")
        assert isinstance(row, dict)
        assert (row["state"], row["availability"]) == ("drain", "drained")
        row = put(worker.runtime, "up", "localhost:7", "enabled")
        assert isinstance(row, dict)
        assert row["availability"] == "available"


async def test_what_is_not_known(tmp_path: Path) -> None:
    async with running(tmp_path, TEXT) as worker:
        assert put(worker.runtime, "up", "localhost:8", "drain") == ["localhost:7", "127.0.0.1:9"]
        assert put(worker.runtime, "down", "localhost:7", "drain") is None
