"""What all tests share: they run on uvloop, as the gateway does; with --both-loops each async test on asyncio's too."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings

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


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    factories: dict[str, LoopFactory] = {"uvloop": uvloop.new_event_loop}
    if config.getoption("--both-loops"):
        factories["asyncio"] = asyncio.new_event_loop
    return factories
