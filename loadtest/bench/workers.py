"""Several workers: what is lost when one is killed, what a rolling restart loses, and what a second one brings."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from loadtest.bench.generator import Target, run
from loadtest.bench.measure import PROC, family
from loadtest.bench.peers import SMALL, Instance, start
from loadtest.bench.process import HarnessError, wait_for_status
from loadtest.bench.reloads import Crowd, configuration, start_lasting
from loadtest.bench.results import Figure
from loadtest.bench.scenarios import Bench, say
from loadtest.callers import Account, Failure, call, knock

CALLERS, KNOCKERS = 32, 4
# Between two kills, so that the replacement has its share of connections by then.
BETWEEN = 2.0
REPLACED_SECONDS = 15.0
RESTART_SECONDS = 120.0
SCALING_CORES = 6
ESTABLISHED = "01"


def workers_of(instance: Instance) -> set[int]:
    """The process ids below the supervisor."""
    return set(family(instance.child.pid)) - {instance.child.pid}


def parse_connections(text: str, port: int) -> dict[int, int]:
    """The client's port by inode of every open connection to the local `port`, from a /proc/net/tcp."""
    found = {}
    for line in text.splitlines()[1:]:
        fields = line.split()
        local, remote, state, inode = fields[1], fields[2], fields[3], fields[9]
        if state == ESTABLISHED and int(local.partition(":")[2], 16) == port:
            found[int(inode)] = int(remote.partition(":")[2], 16)
    return found


def client_ports(pid: int, port: int, proc: Path = PROC) -> set[int]:
    """The clients' ports of all connections to `port` that the process has."""
    known = parse_connections((proc / "net/tcp").read_text(), port)
    inodes = set()
    for entry in (proc / str(pid) / "fd").iterdir():
        # One may be closed meanwhile, as is that of the folder when it is this process's own.
        with contextlib.suppress(FileNotFoundError):
            link = os.readlink(entry)
            if link.startswith("socket:["):
                inodes.add(int(link[8:-1]))
    return {known[inode] for inode in inodes & known.keys()}


def _start(bench: Bench, lasting: int, workers: int) -> Instance:
    """The gateway with so many workers, on every core but the generator's where there are some."""
    routes, upstreams = configuration(0, lasting, bench.backend.port, bench.plan.crowd_route)
    beside = [Path(__file__).parents[1] / "long_lived.py"] if bench.plan.crowd_route == "app" else []
    instance = start(
        *(bench.sandbox, "gateway", "full", bench.backend.port, bench.gateway_cores),
        routes=routes,
        upstreams=upstreams,
        workers=workers,
        beside=beside,
    )
    wait_for_status(instance.port, "/r0/items/1", instance.child)
    return instance


async def _under_load(instance: Instance, work: Callable[[], Awaitable[None]]) -> Account:
    """What callers and knockers see while `work` goes on, and a little before and after."""
    account = Account()
    load = [asyncio.create_task(call(instance.port, "/r0/items/1", account, CALLERS))]
    load += [asyncio.create_task(knock(instance.port, "/r1/items/1", account)) for _ in range(KNOCKERS)]
    try:
        await asyncio.sleep(BETWEEN)
        await work()
        await asyncio.sleep(BETWEEN)
    finally:
        account.stopping = True
        await asyncio.wait(load, timeout=10.0)
    return account


def kills(bench: Bench) -> None:
    """SIGKILL to each worker in turn: only requests and WebSockets on its connections end, and nobody is refused."""
    instance = _start(bench, lasting := start_lasting(bench), bench.plan.workers)
    crowd = Crowd(bench, instance.port)
    doomed: set[int] = set()
    took: list[float] = []

    async def one_after_the_other() -> None:
        for pid in sorted(workers_of(instance)):
            took.append(await _kill(instance, pid, doomed))
            await asyncio.sleep(BETWEEN)

    account = asyncio.run(_under_load(instance, one_after_the_other))
    report: dict[str, Any] = crowd.report()
    elsewhere = [failure for failure in account.failures if failure.local not in doomed]
    sockets = [port for port in report["ended"] if port not in doomed]
    figures = bench.results.figures
    lost = f"requests in flight on connections of {len(took)} killed workers, of {account.requests}"
    figures["kills.lost"] = Figure("kills", len(account.failures) - len(elsewhere), "", lost)
    figures["kills.elsewhere"] = Figure("kills", len(elsewhere), "", "requests that failed on other connections")
    figures["kills.sockets"] = Figure("kills", len(sockets), "", "WebSockets that ended on other connections")
    refused = f"connections refused, of {account.connections}"
    figures["kills.refused"] = Figure("kills", account.refused, "", refused)
    figures["kills.took"] = Figure("kills", max(took) * 1000, "ms", "the longest until another process is there")
    _say(elsewhere)
    bench.sandbox.stop(instance.child)
    say(f"  {len(doomed)} connections had the killed workers; upstream at {lasting}")


async def _kill(instance: Instance, pid: int, doomed: set[int]) -> float:
    """End one worker; how long it took until another was there. Its connections are added to `doomed`."""
    before = workers_of(instance)
    # Stopped, it takes no more connections: those that it has are all that may end.
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(0.05)
    doomed |= client_ports(pid, instance.port)
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    while not workers_of(instance) - before:
        instance.child.require_alive()
        if time.monotonic() - began > REPLACED_SECONDS:
            raise HarnessError(f"a killed worker is not replaced in {REPLACED_SECONDS:g} s")
        await asyncio.sleep(0.005)
    return time.monotonic() - began


def restart(bench: Bench) -> None:
    """`gateway restart` replaces every worker, and no request is lost."""
    instance = _start(bench, start_lasting(bench), bench.plan.workers)
    before = workers_of(instance)
    took: list[float] = []

    async def rolling() -> None:
        began = time.monotonic()
        words = ("-m", "gateway", "restart", "--admin", f"127.0.0.1:{instance.admin}")
        process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=-3, stderr=-1)
        _, said = await process.communicate()
        if process.returncode != 0:
            raise HarnessError(f"gateway restart ended with {process.returncode}: {said.decode()[-500:]}")
        while workers_of(instance) & before:
            if time.monotonic() - began > RESTART_SECONDS:
                raise HarnessError(f"workers of before are still there after {RESTART_SECONDS:g} s")
            await asyncio.sleep(0.05)
        took.append(time.monotonic() - began)

    account = asyncio.run(_under_load(instance, rolling))
    figures = bench.results.figures
    failed = f"requests that failed of {account.requests}, on {account.connections} connections"
    figures["restart.failed"] = Figure("restart", len(account.failures) + account.refused, "", failed)
    figures["restart.took"] = Figure("restart", took[0], "s", f"until {len(before)} workers were replaced")
    _say(account.failures)
    bench.sandbox.stop(instance.child)


def _say(failures: Sequence[Failure]) -> None:
    for failure in failures[:5]:
        say(f"  {failure.why}, on a connection that {'had served' if failure.kept else 'was new'}")


def scaling(bench: Bench) -> None:
    """Requests a second with two workers and with one, in pairs."""
    if len(bench.usable) < SCALING_CORES:
        say(f"  not measured: {len(bench.usable)} cores, {SCALING_CORES} are needed")
        return
    # The backend has the generator's core, and the generator one of its own.
    *two, own = bench.gateway_cores[:3]
    ratios = []
    for pair in range(bench.plan.pairs):
        speed = {}
        for workers in (1, 2) if pair % 2 == 0 else (2, 1):
            where = (bench.sandbox, "gateway", "full", bench.backend.port, two[:workers])
            instance = start(*where, workers=workers)
            target = Target(instance.port, (SMALL,))
            run(bench.sandbox, target, bench.plan.warm_up or 1.0, own)
            outcome = run(bench.sandbox, target, bench.plan.seconds, own)
            speed[workers] = outcome.requests / outcome.seconds
            bench.sandbox.stop(instance.child)
        ratios.append(speed[2] / speed[1])
        say(f"  scaling {pair + 1}/{bench.plan.pairs}: {speed[1]:.0f} and {speed[2]:.0f} requests/s")
    says = f"requests a second of two workers / of one, median of {len(ratios)} pairs"
    bench.results.figures["scaling.ratio"] = Figure("scaling", statistics.median(ratios), "x", says)
