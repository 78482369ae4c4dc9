"""Finds out what the machine has: limits, settings of the kernel, libraries, clock, control group.

Nothing here raises for what a system does not have: such a fact is None.
"""

from __future__ import annotations

import ctypes
import importlib
import inspect
import os
import resource
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path

from gateway.doctor.finding import Surroundings
from gateway.doctor.machine import MachineFacts
from gateway.process.sockets import BACKLOG

# Of each library a method that both its halves have, as module:class.method.
COMPILED = {
    "aiohttp": "aiohttp.http_parser:HttpRequestParser.feed_data",
    "hiredis": "hiredis:Reader.feed",
    "httptools": "httptools:HttpRequestParser.feed_data",
    "multidict": "multidict:CIMultiDict.add",
    "orjson": "orjson:dumps",
    "yarl": "yarl._quoting:_Quoter.__call__",
}
# They turn compiled halves off whatever is installed.
SWITCHES = ("AIOHTTP_NO_EXTENSIONS", "MULTIDICT_NO_EXTENSIONS", "YARL_NO_EXTENSIONS")
# adjtimex(2): what it returns where the clock is not synchronised, and more room than struct timex takes.
TIME_ERROR = 5
TIMEX_BYTES = 512
# What control groups of the first version say where there is no limit, or more.
NO_LIMIT = 1 << 60


def machine_facts(environ: Mapping[str, str], proc: Path = Path("/proc"), sys_: Path = Path("/sys")) -> MachineFacts:
    """All of it. `proc` and `sys_` are where the kernel's file systems are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    net = proc / "sys/net"
    quota, memory = control_group(proc, sys_ / "fs/cgroup")
    source = _text(sys_ / "devices/system/clocksource/clocksource0/current_clocksource")
    return MachineFacts(
        surroundings=surroundings(environ),
        soft_files=_bounded(soft),
        hard_files=_bounded(hard),
        backlog=BACKLOG,
        somaxconn=_number(net / "core/somaxconn"),
        syn_backlog=_number(net / "ipv4/tcp_max_syn_backlog"),
        syn_cookies=_number(net / "ipv4/tcp_syncookies"),
        local_ports=_pair(net / "ipv4/ip_local_port_range"),
        python=sys.version_info[:3],
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        debugging=sys.flags.dev_mode or bool(environ.get("PYTHONASYNCIODEBUG")) or hasattr(sys, "gettotalrefcount"),
        loop=_version_of("uvloop"),
        builds={name: is_compiled(place) for name, place in COMPILED.items()},
        compiled=bool(is_compiled("gateway.proxy:Proxy.begin")),
        switches=tuple(name for name in SWITCHES if environ.get(name)),
        synchronised=_synchronised(),
        monotonic=time.get_clock_info("monotonic").monotonic,
        clock_source=source,
        cores=usable_cores(),
        quota=quota,
        memory=memory,
    )


def usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def surroundings(environ: Mapping[str, str], root: Path = Path("/")) -> Surroundings:
    """What starts the gateway, as far as it can be seen from where this runs."""
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return "container"
    # Set for units; a shell on a machine with systemd may start the gateway itself.
    return "systemd" if environ.get("INVOCATION_ID") and environ.get("JOURNAL_STREAM") else "shell"


def is_compiled(place: str) -> bool | None:
    """Is `module:attribute` anything but a function of Python? None when it cannot be imported."""
    module, _, path = place.partition(":")
    try:
        found: object = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError):
        return None
    return not inspect.isfunction(found)


def control_group(proc: Path, mount: Path) -> tuple[float | None, int | None]:
    """(cores' worth of time, bytes of memory) that this process's control group and those above it allow; for memory
    at most what the machine has."""
    quotas, sizes = [], []
    for line in (_text(proc / "self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        second = number == "0" and not controllers
        for controller in ("",) if second else controllers.split(","):
            if controller not in ("", "cpu", "memory"):
                continue
            # In a container the group's path may be the host's: then the mount itself is the group.
            for folder in _upwards(mount / controller, path):
                quotas += _quota(folder, controller)
                sizes += _sizes(folder, controller)
    total = _total_memory(proc)
    sizes += [total] if total is not None else []
    return min(quotas, default=None), min(sizes, default=None)


def _upwards(mount: Path, path: str) -> list[Path]:
    group = mount / path.strip("/")
    return [group, *(parent for parent in group.parents if parent == mount or mount in parent.parents)]


def _quota(folder: Path, controller: str) -> list[float]:
    if controller == "memory":
        return []
    if controller == "cpu":
        used, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    else:
        words = (_text(folder / "cpu.max") or "").split()
        used, period = (int(words[0]), int(words[1])) if len(words) == 2 and words[0].isdigit() else (None, None)
    return [used / period] if used is not None and period and used > 0 else []


def _sizes(folder: Path, controller: str) -> list[int]:
    names = {"": "memory.max", "memory": "memory.limit_in_bytes"}
    size = _number(folder / names[controller]) if controller in names else None
    return [size] if size is not None and 0 < size < NO_LIMIT else []


def _total_memory(proc: Path) -> int | None:
    for line in (_text(proc / "meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _synchronised() -> bool | None:
    """What the kernel says; None where it does not, or may not."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return None
    # All zero is a question that changes nothing.
    state = int(adjtimex(ctypes.create_string_buffer(TIMEX_BYTES)))
    return None if state < 0 else state != TIME_ERROR


def _version_of(module: str) -> str | None:
    try:
        return str(getattr(importlib.import_module(module), "__version__", ""))
    except ImportError:
        return None


def _bounded(limit: int) -> int:
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _number(path: Path) -> int | None:
    text = _text(path) or ""
    return int(text) if text.removeprefix("-").isdigit() else None


def _pair(path: Path) -> tuple[int, int] | None:
    words = (_text(path) or "").split()
    return (int(words[0]), int(words[1])) if len(words) == 2 and all(word.isdigit() for word in words) else None
