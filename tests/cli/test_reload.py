"""`gateway reload`, asked of a real worker."""

from __future__ import annotations

import asyncio
from pathlib import Path

from click.testing import Result

from tests.support.commands import command
from tests.support.polling import soon
from tests.support.runtimes import HEAD, PING, Running, running


async def reload(worker: Running) -> Result:
    words = ("reload", "--admin", worker.admin.address, "-c", "none.yaml")
    return await soon(asyncio.to_thread(command, *words))


async def test_it_is_in_service(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        result = await reload(worker)
        assert result.exit_code == 0
        assert result.stdout == f"configuration 2 ({worker.runtime.proxy.table.digest}) is in service\n"


async def test_warnings_are_told(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        worker.write(HEAD + PING + "include: [none/*]\n")
        result = await reload(worker)
        assert result.exit_code == 0
        assert "warning: include: 'none/*' matches no file" in result.stdout


async def test_a_wrong_one_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        worker.write(HEAD + "routes:\n  - {nam: a}\n  - {name: b, too: c}\n")
        result = await reload(worker)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert "did you mean 'name'?" in result.stderr
        assert "did you mean 'to'?" in result.stderr
        assert "\n       |      ^\n" in result.stderr
        assert result.stderr.endswith("(422): the new configuration is refused, the one in service stays\n")
        assert worker.runtime.version == 1
