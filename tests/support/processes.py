"""`gateway run` as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tests.support.polling import PATIENCE, eventually, soon

# What systemd does between fork and exec: descriptors from 3 on, and the id of who they are for.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""
LISTENING = re.compile(r" listening on (\S+)")
ADMIN = re.compile(r" admin on (\S+)")


class GatewayProcess:
    """One `gateway run`. `lines` is what it has said on stderr, `stack` is closed before it ends."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.stack = contextlib.AsyncExitStack()
        self._heard = asyncio.Condition()
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self._heard:
                self.lines.append(line.decode().rstrip("\n"))
                self._heard.notify_all()
        async with self._heard:
            self._heard.notify_all()

    async def says(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """The first line that holds `pattern`, now or later."""

        def found() -> re.Match[str] | None:
            return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)

        async with asyncio.timeout(PATIENCE), self._heard:
            await self._heard.wait_for(lambda: found() is not None or self._task.done() or self.process.stderr.at_eof())  # type: ignore[union-attr]
        match = found()
        assert match is not None, "\n".join(self.lines)
        return match

    async def port(self) -> int:
        """Where it listens, once it does."""
        return int((await self.says(LISTENING))[1].rpartition(":")[2])

    async def admin(self) -> str:
        """Where its admin listener is, once everything runs."""
        return (await self.says(ADMIN))[1]

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """The exit code."""
        code = await soon(self.process.wait())
        await soon(self._task)
        return code


@contextlib.asynccontextmanager
async def gateway_run(
    folder: Path, *options: str, activated: socket.socket | None = None, **environ: str
) -> AsyncIterator[GatewayProcess]:
    """`gateway run` in `folder`, on its routes.yaml; killed at the end if it still runs. `activated` is handed over as
    systemd does."""
    words = [sys.executable, "-m", "gateway", "run", *options]
    if activated is not None:
        words = [sys.executable, "-c", HAND_OVER, str(activated.fileno()), *words]
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=folder,
        pass_fds=[activated.fileno()] if activated is not None else [],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
        start_new_session=True,
    )
    running = GatewayProcess(process)
    try:
        async with running.stack:
            yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await running.ended()


async def file_holds(path: Path, wanted: Callable[[str], bool]) -> str:
    """The text of `path` once it is as wanted."""
    await eventually(lambda: path.is_file() and wanted(path.read_text()), f"{path} is never as wanted")
    return path.read_text()
