"""`python -m loadtest.soak --seconds 600`: bad clients and upstreams for a while; then nothing may be left."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.request import urlopen

from loadtest.bench.measure import open_files, resident_memory
from loadtest.bench.peers import PEERS, TEMPLATES, render
from loadtest.bench.process import Child, HarnessError, Sandbox, cores, free_port, raise_file_limit, wait_for_status
from loadtest.soak.clients import one
from loadtest.soak.upstreams import Upstream
from loadtest.soak.verdict import MIB, client_faults, left_behind, memory_fault, memory_growth

MOST_CLIENTS = 600
SETTLE = 40.0  # within this all must be back to zero: the longest time-out, and patience


@dataclass
class Soak:
    """One run: the gateway, its figures over time, and what the clients saw."""

    child: Child
    port: int
    admin: int
    seconds: float
    rate: float
    tally: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, int]] = field(default_factory=list)
    files_before: int = 0

    def admin_text(self, path: str) -> str:
        with urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    async def remains(self) -> list[str]:
        """What is under way now by the gateway's own account, and what the kernel says of its files."""
        try:
            metrics = await asyncio.to_thread(self.admin_text, "/metrics")
            upstreams: Any = json.loads(await asyncio.to_thread(self.admin_text, "/api/upstreams"))
        except (OSError, ValueError) as error:
            return [f"the admin listener: {error!r}"]
        lines = left_behind(metrics, upstreams)
        files = open_files(self.child.pid)
        if files > self.files_before + 2:  # the admin listener may still hold the connection that asked
            lines.append(f"{files} open files, {self.files_before} at the start")
        return lines


def start_gateway(sandbox: Sandbox, backend: int, flapping: int) -> tuple[Child, int, int]:
    program = PEERS["gateway"].find()
    if program is None:
        raise HarnessError("`python -m gateway` does not run here")
    port, admin = free_port(), free_port()
    config = sandbox.folder("gateway") / "soak.yaml"
    values = {"PORT": port, "ADMIN": admin, "BACKEND": backend, "FLAPPING": flapping}
    config.write_text(render((TEMPLATES / "soak.yaml").read_text(), "full", values))
    child = sandbox.start("gateway", [program, "-m", "gateway", "run", "-c", str(config)], cores()[0])
    wait_for_status(port, "/ping", child)
    return child, port, admin


async def press(soak: Soak) -> None:
    """New clients at a bounded rate until the time is over; then the last of them may come to their ends."""
    running: set[asyncio.Task[None]] = set()
    started = time.monotonic()
    while (now := time.monotonic() - started) < soak.seconds:
        soak.child.require_alive()
        due = int(now * soak.rate) - soak.tally["clients"] - soak.tally["not started, too many"]
        for _ in range(due):
            if len(running) >= MOST_CLIENTS:
                soak.tally["not started, too many"] += 1
                continue
            task = asyncio.create_task(one(soak.port, soak.tally))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.sleep(0.02)
    if running:
        await asyncio.wait(running, timeout=SETTLE)
    for task in running:
        task.cancel()


async def watch(soak: Soak) -> None:
    """A memory sample a second, a line every thirtieth of the run."""
    started = time.monotonic()
    step = max(1.0, soak.seconds / 30)
    due = 0.0
    while True:
        now = time.monotonic() - started
        if now <= soak.seconds:
            soak.memory.append((now, resident_memory(soak.child.pid)))
        if now >= due:
            files = open_files(soak.child.pid)
            print(
                f"{now:6.0f} s  {soak.memory[-1][1] / MIB:7.1f} MiB  {files:5d} files  {soak.tally['clients']} clients"
            )
            due += step
        await asyncio.sleep(1.0)


async def settle(soak: Soak) -> list[str]:
    """Waits until nothing remains; what still does after the longest patience."""
    deadline = time.monotonic() + SETTLE
    while (lines := await soak.remains()) and time.monotonic() < deadline:  # noqa: ASYNC110 (it is another process)
        await asyncio.sleep(0.5)
    return lines


async def run(sandbox: Sandbox, seconds: float, rate: float) -> int:
    main, flapping = Upstream(free_port()), Upstream(free_port())
    await main.start()
    await flapping.start()
    child, port, admin = await asyncio.to_thread(start_gateway, sandbox, main.port, flapping.port)
    soak = Soak(child, port, admin, seconds, rate)
    await soak.remains()
    soak.files_before = open_files(child.pid)
    helpers = [asyncio.create_task(watch(soak)), asyncio.create_task(flapping.flap(2.0, 1.0))]
    try:
        await press(soak)
        faults = await settle(soak)
    finally:
        for helper in helpers:
            helper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await helper
        await main.stop()
        await flapping.stop()
    faults += client_faults(soak.tally)
    fault = memory_fault(soak.memory)
    return conclude(soak, [*faults, fault] if fault else faults)


def conclude(soak: Soak, faults: list[str]) -> int:
    print("\nwhat the clients saw")
    for name, count in sorted(soak.tally.items()):
        print(f"  {count:8d}  {name}")
    growth = memory_growth(soak.memory)
    says = "too short a run to judge memory" if growth is None else f"{growth / MIB:+.1f} MiB in the second half"
    print(
        f"\nmemory: {soak.memory[0][1] / MIB:.1f} MiB at the start, {soak.memory[-1][1] / MIB:.1f} at the end; {says}"
    )
    for fault in faults:
        print(f"FAULT: {fault}")
    print("soak: FAILED" if faults else "soak: passed, nothing left behind")
    return int(bool(faults))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=100.0, help="new clients a second")
    options = parser.parse_args()
    if sys.platform != "linux":
        print("the soak needs Linux: it reads memory and open files from /proc")
        return 2
    raise_file_limit()
    with Sandbox() as sandbox:
        try:
            return asyncio.run(run(sandbox, options.seconds, options.rate))
        except HarnessError as error:
            print(f"soak: {error}")
            return 2


if __name__ == "__main__":
    raise SystemExit(main())
