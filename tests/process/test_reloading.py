"""A reload in two steps: what is prepared changes nothing until it is put into service. See also test_runtime."""

from __future__ import annotations

from pathlib import Path

from gateway.config.files import Kept
from gateway.config.problems import Position, Problem
from gateway.process.reloading import Change, LoadResult
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
REFUSAL = LoadResult(0.0, False, (Problem(Position("routes.yaml", 1, 1), "no"),), ("routes.yaml:1:1: no",))
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
        await reloading.discard(REFUSAL)
        assert not (tmp_path / "started").exists()
        assert worker.runtime.last == REFUSAL
        assert (await client.ask(request("/ping"))).status == 200
        assert await worker.runtime.reload()
        assert (await client.ask(request("/other"))).status == 200


async def test_what_another_worker_refuses_is_known_here(tmp_path: Path) -> None:
    async with running(tmp_path) as worker, worker.client() as client:
        await worker.runtime.reloading.discard(REFUSAL)
        assert worker.runtime.last == REFUSAL
        assert (await client.ask(request("/ping"))).status == 200
