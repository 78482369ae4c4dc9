"""A reload in two steps: what is prepared changes nothing until it is put into service. See also test_runtime."""

from __future__ import annotations

from pathlib import Path

from gateway.config.files import Kept
from gateway.process.reloading import Change
from gateway.process.versions import RELOAD, Version
from tests.support.gateways import request
from tests.support.runtimes import HEAD, PING, running, write_plugin

MARKS = """
import pathlib
from gateway.plugin import Plugin
class Probe(Plugin):
    async def start(self):
        pathlib.Path(%r).touch()
    async def stop(self):
        pathlib.Path(%r).unlink()
"""
OTHER = PING.replace("/ping", "/other")


async def test_what_is_prepared_is_not_in_service_yet(tmp_path: Path) -> None:
    write_plugin(tmp_path, "probe", MARKS % ((str(tmp_path / "started"),) * 2))
    async with running(tmp_path) as worker, worker.client() as client:
        worker.write(HEAD + "plugins: [probe]\n" + OTHER)
        reloading = worker.runtime.reloading
        assert (await reloading.prepare(Change())).accepted
        assert (tmp_path / "started").exists()
        assert (await client.ask(request("/ping"))).status == 200
        assert worker.runtime.version == 1
        await reloading.commit(Version(7, "d", 0.0, RELOAD, Kept()))
        assert (await client.ask(request("/ping"))).status == 404
        assert (await client.ask(request("/other"))).status == 200
        assert worker.runtime.version == 7


async def test_what_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    write_plugin(tmp_path, "probe", MARKS % ((str(tmp_path / "started"),) * 2))
    async with running(tmp_path) as worker, worker.client() as client:
        worker.write(HEAD + "plugins: [probe]\n" + OTHER)
        reloading = worker.runtime.reloading
        assert (await reloading.prepare(Change())).accepted
        await reloading.discard("somebody else says no")
        assert not (tmp_path / "started").exists()
        assert not worker.runtime.last.accepted
        assert "somebody else says no" in worker.runtime.last.texts[-1]
        assert (await client.ask(request("/ping"))).status == 200
        assert await worker.runtime.reload()
        assert (await client.ask(request("/other"))).status == 200


async def test_nothing_to_discard(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        await worker.runtime.reloading.discard("no")
        assert worker.runtime.last.accepted
