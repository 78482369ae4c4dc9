"""`gateway rollback`, asked of a real worker."""

from __future__ import annotations

import asyncio
from pathlib import Path

from click.testing import Result

from tests.support.commands import command
from tests.support.polling import soon
from tests.support.runtimes import HEAD, PING, Running, running


async def rollback(worker: Running, *words: str) -> Result:
    return await soon(
        asyncio.to_thread(command, "rollback", *words, "--admin", worker.admin.address, "-c", "none.yaml")
    )


async def test_it_is_in_service_again(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        first = worker.runtime.proxy.table.digest
        worker.write(HEAD + PING.replace("/ping", "/other"))
        assert await worker.runtime.reload()
        result = await rollback(worker)
        assert result.exit_code == 0, result.output
        assert result.stdout == f"configuration 3 ({first}) is in service, with the files of version 1\n"
        assert "the next reload reads those" in result.stderr
        assert (await rollback(worker, "2")).exit_code == 0
        assert worker.runtime.proxy.table.router.routes[0].pattern.text == "/other"


async def test_a_version_that_is_not_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        for words, said in (((), "no version before"), (("7",), "version 7 is not kept; there are 1")):
            result = await rollback(worker, *words)
            assert (result.exit_code, result.stdout) == (1, "")
            assert f"(404): {said}" in result.stderr
    assert command("rollback", "0").exit_code == 2
