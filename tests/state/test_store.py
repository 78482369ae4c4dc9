"""Which store a configuration makes, and what it says when a library is missing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from gateway.config.state_specs import StateSpec
from gateway.state import store
from gateway.state.memory import MemoryShared
from gateway.state.store import MissingLibrary, make_shared
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock


def make(spec: dict[str, Any]) -> store.Store:
    return make_shared(StateSpec.model_validate(spec), FakeClock(), Metrics())


def test_memory_has_the_entries_of_the_spec() -> None:
    assert repr(make({"memory": {"entries": 7}})) == "<MemoryShared 0 of 7 entries>"


@pytest.mark.parametrize(
    ("redis", "shown"),
    [
        ("redis://a:1/2", "<RedisShared redis://a:1/2 down>"),
        ("rediss://a", "<RedisShared rediss://a down>"),
        ({"sentinel": {"nodes": ["a", "b:1"], "service": "s"}}, "<RedisShared redis s of a:26379, b:1 down>"),
        ({"cluster": {"nodes": ["127.0.0.1:1"]}}, "<RedisShared redis cluster of 127.0.0.1:1 down>"),
    ],
)
async def test_redis_in_all_its_forms(redis: object, shown: str) -> None:
    assert repr(make({"redis": redis})) == shown


async def test_memcached() -> None:
    pytest.importorskip("aiomcache")
    assert repr(make({"memcached": "a"})) == "<MemcachedShared memcached a:11211 down>"


def test_memcached_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiomcache", None)
    monkeypatch.delitem(sys.modules, "gateway.state.memcached", raising=False)

    with pytest.raises(MissingLibrary, match="^memcached needs the package aiomcache$"):
        make({"memcached": "a"})


def test_a_library_is_imported_by_who_uses_it_only() -> None:
    """`redis` alone takes longer to import than `gateway --help` may."""
    program = (
        "import sys, gateway.process.runtime, gateway.cli.main\n"
        "sys.exit(bool({'redis', 'hiredis', 'aiomcache'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_the_memory_is_a_store() -> None:
    made = make({"memory": {}})
    assert isinstance(made, MemoryShared)
    await made.start()
    await made.close()
