"""A reload in two steps: what is prepared changes nothing until it is put into service. See also test_runtime."""

from __future__ import annotations

from pathlib import Path

from tests.support.gateways import request
from tests.support.runtimes import HEAD, PING, events, running, write_plugin

OTHER = PING.replace("/ping", "/other")


async def test_what_is_prepared_is_not_in_service_yet(tmp_path: Path) -> None:
    write_plugin(tmp_path, "probe")
    async with running(tmp_path) as worker, worker.client() as client:
        worker.write(HEAD + "plugins: [probe: {key: a}]\n" + OTHER)
        reloading = worker.runtime.reloading
        assert await reloading.prepare()
        assert events(worker.runtime) == ["start a"]
        assert (await client.ask(request("/ping"))).status == 200
        assert worker.runtime.version == 1
        await reloading.commit(7)
        assert (await client.ask(request("/ping"))).status == 404
        assert (await client.ask(request("/other"))).status == 200
        assert worker.runtime.version == 7


async def test_what_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    write_plugin(tmp_path, "probe")
    async with running(tmp_path) as worker, worker.client() as client:
        worker.write(HEAD + "plugins: [probe: {key: a}]\n" + OTHER)
        reloading = worker.runtime.reloading
        assert await reloading.prepare()
        await reloading.discard("somebody else says no")
        assert events(worker.runtime) == ["start a", "stop a"]
        assert not worker.runtime.last.accepted
        assert "somebody else says no" in worker.runtime.last.texts[-1]
        assert (await client.ask(request("/ping"))).status == 200
        assert await worker.runtime.reload()
        assert (await client.ask(request("/other"))).status == 200


async def test_nothing_to_discard(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        await worker.runtime.reloading.discard("no")
        assert worker.runtime.last.accepted
