"""Plugins start all or none, within their time, and stop once nothing can meet them."""

import asyncio
import gc
from typing import Any

import pytest

from gateway.compile import Generation
from gateway.config.plugin_use import PluginUse
from gateway.config.specs import ConfigSpec
from gateway.plugin import Plugin
from gateway.process import plugin_life
from gateway.process.plugin_life import NotStarted, not_among, start_plugins, stop_plugins, stop_when_unused, when_gone
from gateway.table import RouteTable
from gateway.testing import make_env
from tests.support.polling import soon


class Living(Plugin):
    """Notes its life in its options, which are a list here."""

    async def start(self) -> None:
        self.options.append(f"start {self.name}")
        if self.name == "bad":
            raise OSError("no such place")
        if self.name == "slow":
            await asyncio.Event().wait()

    async def stop(self) -> None:
        self.options.append(f"stop {self.name}")
        if self.name == "rude":
            raise ValueError("no")


def living(*names: str) -> tuple[list[Plugin], Generation, list[str]]:
    noted: list[str] = []
    plugins: list[Plugin] = []
    for name in names:
        plugin = Living(noted, make_env())
        plugin.name = name
        plugins.append(plugin)
    keys: Any = {("", plugin.name, 1): plugin for plugin in plugins}
    uses = {"": tuple(PluginUse(name) for name in names)}
    return plugins, Generation(ConfigSpec(version=1), RouteTable.empty(), keys, uses=uses), noted


async def test_in_order() -> None:
    plugins, generation, noted = living("a", "b")
    await start_plugins(plugins, generation)
    await stop_plugins(plugins)
    assert noted == ["start a", "start b", "stop a", "stop b"]


async def test_all_or_none() -> None:
    plugins, generation, noted = living("a", "bad", "b")
    with pytest.raises(NotStarted) as caught:
        await start_plugins(plugins, generation)
    assert caught.value.problem.message == "the plugin 'bad' did not start: OSError: no such place"
    assert noted == ["start a", "start bad", "stop a"]


async def test_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_life, "START_SECONDS", 0.01)
    plugins, generation, noted = living("a", "slow")
    with pytest.raises(NotStarted, match=r"it took more than 0.01 s"):
        await soon(start_plugins(plugins, generation))
    assert noted[-1] == "stop a"


async def test_one_that_does_not_stop_cleanly_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    plugins, _, noted = living("rude", "b")
    await stop_plugins(plugins)
    assert noted == ["stop rude", "stop b"]
    assert "'rude' did not stop cleanly" in caplog.text


async def test_stopped_once_the_table_is_gone() -> None:
    plugins, _, noted = living("a")
    table = RouteTable.empty()
    task = asyncio.create_task(stop_when_unused(plugins, when_gone(table), 60))
    for _ in range(10):
        await asyncio.sleep(0)
    assert noted == []
    del table
    gc.collect()
    await soon(task)
    assert noted == ["stop a"]


async def test_stopped_when_patience_is_over(caplog: pytest.LogCaptureFixture) -> None:
    plugins, _, noted = living("a")
    await soon(stop_when_unused(plugins, asyncio.Event(), 0.01))
    assert noted == ["stop a"]
    assert "still using" in caplog.text


def test_plugins_are_told_apart_by_identity() -> None:
    one, other, third = (Plugin(None, make_env()) for _ in range(3))
    assert not_among([one, other], [other, third]) == [one]
    assert not_among([], [one]) == []
    assert not_among([one], []) == [one]
