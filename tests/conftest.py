"""What all tests share: they run on uvloop, as the gateway does; with --both-loops each async test on asyncio's too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from hypothesis import HealthCheck, settings

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
# Time is measured in benchmarks: a machine that stands still for seconds says nothing about a property.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--both-loops", action="store_true", help="run every async test on uvloop and on asyncio's loop")


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    factories: dict[str, LoopFactory] = {"uvloop": uvloop.new_event_loop}
    if config.getoption("--both-loops"):
        factories["asyncio"] = asyncio.new_event_loop
    return factories
