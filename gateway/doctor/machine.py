"""Checks of the machine: what it has, beside what the configuration needs. Pure.

A fact that the system does not tell is None, and then its check says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil

from gateway.doctor.finding import Finding, Surroundings, more_files, more_memory, sysctl
from gateway.doctor.needs import Needs

OLDEST_PYTHON = (3, 11)
# Memory of a worker with a small configuration, and of a client's connection: twice what is measured of an idle one.
WORKER_BYTES = 64 << 20
CLIENT_BYTES = 4 << 10
# A reading of other clock sources is a system call, or a bus access, and each request reads the clock several times.
FAST_CLOCKS = frozenset(("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "riscv_clocksource"))


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What this process sees. `builds` says of each library whether its compiled half is in use, None without the
    library, `compiled` the same of our own hot path; `cores` are those it may run on, `quota` how many of them it may
    use at a time; sizes in bytes."""

    surroundings: Surroundings = "shell"
    soft_files: int | None = None
    hard_files: int | None = None
    backlog: int = 2048
    somaxconn: int | None = None
    syn_backlog: int | None = None
    syn_cookies: int | None = None
    local_ports: tuple[int, int] | None = None
    python: tuple[int, int, int] = (3, 11, 0)
    free_threaded: bool = False
    debugging: bool = False
    loop: str | None = ""
    builds: dict[str, bool | None] = field(default_factory=dict)
    compiled: bool = False
    switches: tuple[str, ...] = ()
    synchronised: bool | None = None
    monotonic: bool = True
    clock_source: str | None = None
    cores: int = 1
    quota: float | None = None
    memory: int | None = None


def check_machine(facts: MachineFacts, needs: Needs) -> list[Finding]:
    """Every check, in the order in which they are shown."""
    checks = (_python, _loop, _builds, _hot_path, _open_files, _backlog, _local_ports, _cpu, _memory, _clock)
    return [finding for check in checks for finding in check(facts, needs)]


def _python(facts: MachineFacts, needs: Needs) -> Iterator[Finding]:
    name = ".".join(map(str, facts.python))
    if facts.python[:2] < OLDEST_PYTHON:
        yield Finding("Python", "failed", name, "it is too old", ("install Python 3.11 or newer",))
    elif facts.free_threaded:
        means = "one loop a worker gains nothing by it, and libraries that are not ready for it turn the lock on again"
        yield Finding("Python", "warning", f"{name}, built without the GIL", means, ("run the usual build of Python",))
    elif facts.debugging:
        means = "each request costs several times as much"
        remedy = ("unset PYTHONDEVMODE PYTHONASYNCIODEBUG, no -X dev, and no debug build",)
        yield Finding("Python", "warning", f"{name} in development mode", means, remedy)
    else:
        yield Finding("Python", "ok", name)


def _loop(facts: MachineFacts, needs: Needs) -> Iterator[Finding]:
    if facts.loop is None:
        remedy = ("pip install --only-binary :all: uvloop",)
        yield Finding("loop", "failed", "uvloop cannot be imported", "the gateway does not start without it", remedy)
    else:
        yield Finding("loop", "ok", f"uvloop {facts.loop}".rstrip())


def _builds(facts: MachineFacts, needs: Needs) -> Iterator[Finding]:
    absent = sorted(name for name, compiled in facts.builds.items() if compiled is None)
    slow = sorted(name for name, compiled in facts.builds.items() if compiled is False)
    if absent:
        remedy = (f"pip install {' '.join(absent)}",)
        means = "the gateway does not start, or not with every configuration"
        yield Finding("parsers", "failed", f"cannot be imported: {', '.join(absent)}", means, remedy)
    if slow:
        # With the switch set another installation would change nothing.
        unset = (f"unset {' '.join(facts.switches)}",) if facts.switches else ()
        remedy = unset or (f"pip install --force-reinstall --only-binary :all: {' '.join(slow)}",)
        yield Finding(
            "parsers", "warning", f"in pure Python: {', '.join(slow)}", "they are several times slower", remedy
        )
    if not absent and not slow:
        yield Finding("parsers", "ok", f"compiled: {', '.join(sorted(facts.builds))}")


def _hot_path(facts: MachineFacts, needs: Needs) -> Iterator[Finding]:
    yield Finding("hot path", "ok", "compiled" if facts.compiled else "in Python: make native compiles it")


def _open_files(facts: MachineFacts, needs: Needs) -> Iterator[Finding]:
    soft, hard = facts.soft_files, facts.hard_files
    if soft is None or hard is None:
        return
    found = f"{soft} a process (at most {hard}); a worker needs {needs.surely}, {needs.at_most} with full pools"
    if soft >= needs.at_most:
        yield Finding("open files", "ok", found)
        return
    others = needs.at_most - needs.clients
    remedy = more_files(needs.at_most, hard, facts.surroundings)
    if soft - others >= needs.listeners:
        remedy += (f"or less in routes.yaml: limits: {{connections: {(soft - others) // needs.listeners}}}",)
    if soft < needs.surely:
        means = "clients beyond that wait unanswered: limits.connections promises more than the process may open"
        yield Finding("open files", "failed", found, means, remedy)
    else:
        means = "with every client there, connections to upstreams fail before the pools are full"
        yield Finding("open files", "warning", found, means, remedy)


def _backlog(facts: MachineFacts, needs: Needs) -> Iterator[Finding]:
    wanted, longest = facts.backlog, facts.somaxconn
    if longest is not None and longest < wanted:
        found = f"net.core.somaxconn is {longest}, a listener asks for {wanted}"
        means = "connections that come at the same moment, beyond that number, are dropped and come late"
        remedy = sysctl("net.core.somaxconn", str(max(4096, wanted)), facts.surroundings)
        yield Finding("backlog", "warning", found, means, remedy)
    # With cookies the queue may be full and handshakes go on; without them Linux refuses from three quarters of it on.
    elif facts.syn_cookies == 0 and facts.syn_backlog is not None and facts.syn_backlog < wanted:
        found = f"net.ipv4.tcp_max_syn_backlog is {facts.syn_backlog}, and SYN cookies are off"
        means = "handshakes are dropped in a burst, or by a flood"
        remedy = sysctl("net.ipv4.tcp_syncookies", "1", facts.surroundings)
        yield Finding("backlog", "warning", found, means, remedy)
    elif longest is not None:
        yield Finding("backlog", "ok", f"{wanted} of {longest} (net.core.somaxconn)")


def _local_ports(facts: MachineFacts, needs: Needs) -> Iterator[Finding]:
    if facts.local_ports is None:
        return
    first, last = facts.local_ports
    there, wanted = max(0, last - first + 1), needs.to_address * needs.workers
    found = f"{there} (net.ipv4.ip_local_port_range {first} {last})"
    if wanted <= there:
        yield Finding("local ports", "ok", found)
        return
    found += f"; {needs.workers} workers may open {wanted} connections to {needs.address}"
    means = "to one address there are no more connections than local ports: those beyond fail"
    remedy = sysctl("net.ipv4.ip_local_port_range", "1024 65535", facts.surroundings)
    if wanted > 65535 - 1024 + 1:
        remedy = (f"a smaller pool: max_connections of the upstream at {needs.address}, or more endpoints",)
    yield Finding("local ports", "warning", found, means, remedy)


def _cpu(facts: MachineFacts, needs: Needs) -> Iterator[Finding]:
    found = f"{facts.cores} cores" if facts.cores != 1 else "1 core"
    if facts.quota is None:
        yield Finding("CPU", "ok", found)
    elif facts.cores <= max(1, ceil(facts.quota)):
        yield Finding("CPU", "ok", f"{found}, of which {facts.quota:g} may be used")
    else:
        means = "more workers than that stop together when the time is used up, and everybody waits"
        found += f", and the time of {facts.quota:g} of them (cgroup quota)"
        remedy = (f"gateway run --workers {max(1, ceil(facts.quota))}",)
        yield Finding("CPU", "warning", found, means, remedy)


def _memory(facts: MachineFacts, needs: Needs) -> Iterator[Finding]:
    if facts.memory is None:
        return
    wanted = needs.workers * WORKER_BYTES + needs.clients * CLIENT_BYTES
    found = f"{facts.memory >> 20} MiB; {wanted >> 20} MiB for {needs.workers} workers and {needs.clients} idle clients"
    if facts.memory >= wanted:
        yield Finding("memory", "ok", found)
    else:
        means = "the system ends a worker before limits.connections is reached"
        fewer = (f"or fewer: gateway run --workers {needs.workers - 1}",) if needs.workers > 1 else ()
        smaller = "or less in routes.yaml: limits: {connections: ...}"
        remedy = (*more_memory(f"{(wanted >> 20) * 3 // 2}Mi", facts.surroundings), *fewer, smaller)
        yield Finding("memory", "warning", found, means, remedy)


def _clock(facts: MachineFacts, needs: Needs) -> Iterator[Finding]:
    if not facts.monotonic:
        means = "a step of the clock ends time limits early or never"
        yield Finding("clock", "failed", "there is no monotonic clock", means, ("run on a system that has one",))
    if facts.clock_source is not None and facts.clock_source not in FAST_CLOCKS:
        path = "/sys/devices/system/clocksource/clocksource0"
        means = "each look at the clock is slow, and a request takes several"
        remedy = (
            f"cat {path}/available_clocksource",
            f"as root, where it offers tsc: echo tsc > {path}/current_clocksource",
        )
        yield Finding("clock", "warning", f"the kernel reads {facts.clock_source}", means, remedy)
    if facts.synchronised is False:
        means = "tokens look expired or not yet valid, certificates too, and logs of two machines do not fit together"
        inside = facts.surroundings in ("container", "kubernetes")
        command = "on the host: timedatectl set-ntp true" if inside else "timedatectl set-ntp true"
        yield Finding("clock", "warning", "not synchronised with any other", means, (command,))
    elif facts.monotonic:
        yield Finding(
            "clock", "ok", "synchronised" if facts.synchronised else "the system does not tell whether it is right"
        )
