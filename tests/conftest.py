"""What all tests share: they run on uvloop, as the gateway does; with --both-loops each async test on asyncio's too."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from tests.support.ports import free_port
from tests.support.servers import Server, redis_cluster

# Ten thousand collected tests are a heap that the collector would walk again and again, a third of all work.
GC_THRESHOLDS = (50_000, 20, 50)
# Half of the start of a program is compiling, where the environment forbids to keep what came of it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(__file__).resolve().parents[1] / "build" / "pycache"))
LoopFactory = Callable[[], asyncio.AbstractEventLoop]
# Time is measured in benchmarks: a machine that stands still for seconds says nothing about a property.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--both-loops", action="store_true", help="run every async test on uvloop and on asyncio's loop")


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Redis nodes for all tests that leave them alive: a cluster takes no commands in its first two seconds."""
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture
def unused_tcp_port() -> int:
    """Another than pytest-asyncio's own, which any connection could be given meanwhile."""
    return free_port()


@pytest.fixture(scope="session")
def unused_tcp_port_factory() -> Callable[[], int]:
    return free_port


@pytest.fixture(scope="session", autouse=True)
def _packages_are_looked_for_once() -> Iterator[None]:
    """To read what every installed package brings takes longer than most tests, and it is the same for all of them but
    tests/test_library.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.library.entry_points", cache(entry_points))
        yield


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    factories: dict[str, LoopFactory] = {"uvloop": uvloop.new_event_loop}
    if config.getoption("--both-loops"):
        factories["asyncio"] = asyncio.new_event_loop
    return factories
