"""What the kernel accounts to a peer: CPU time and memory of a process with its children and threads, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def parse_stat(text: str) -> tuple[int, float]:
    """(parent, CPU seconds) of a /proc/PID/stat line. The command's name may hold blanks and brackets."""
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / TICK


def parse_stolen(text: str) -> tuple[int, int]:
    """(stolen, all) ticks in the first line of /proc/stat. Stolen is what the host gave to others: on a virtual machine
    it counts as CPU time of whoever was running, so figures taken with much of it are too high."""
    ticks = [int(field) for field in text.splitlines()[0].split()[1:9]]
    return ticks[7], sum(ticks)


def stolen_ticks() -> tuple[int, int]:
    return parse_stolen((PROC / "stat").read_text())


def parse_kilobytes(text: str, key: str) -> int:
    """The bytes behind `Key:   123 kB` in /proc/PID/status or smaps_rollup."""
    for line in text.splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no {key} there")


def family(root: int) -> dict[int, float]:
    """CPU seconds of the process and every living descendant, by process id. Threads are in their process's figure."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)], seconds[int(entry.name)] = parse_stat((entry / "stat").read_text())
        except OSError:
            continue  # it has ended meanwhile
    members = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in members} - members
        if not more:
            return {pid: seconds[pid] for pid in members if pid in seconds}
        members |= more


@dataclass(frozen=True)
class CpuClock:
    """The CPU time of a family of processes, read at one moment."""

    root: int
    seconds: dict[int, float]

    @classmethod
    def read(cls, root: int) -> CpuClock:
        return cls(root, family(root))

    def spent(self) -> float | None:
        """CPU seconds since; None when a process came or went, so that the figure would be wrong."""
        now = family(self.root)
        if now.keys() != self.seconds.keys():
            return None
        return sum(now.values()) - sum(self.seconds.values())


def proportional_memory(root: int) -> int:
    """Pss of the family in bytes: memory shared between its processes is counted once."""
    return sum(parse_kilobytes((PROC / str(pid) / "smaps_rollup").read_text(), "Pss") for pid in family(root))


def resident_memory(root: int) -> int:
    """Rss of the family in bytes."""
    return _from_status(root, "VmRSS")


def peak_memory(root: int) -> int:
    """The high-water mark of Rss since `reset_peak`, summed over the family."""
    return _from_status(root, "VmHWM")


def reset_peak(root: int) -> None:
    for pid in family(root):
        (PROC / str(pid) / "clear_refs").write_text("5")


def open_files(root: int) -> int:
    """How many file descriptors the family holds: a leaked connection shows here, whatever else is said."""
    return sum(len(os.listdir(PROC / str(pid) / "fd")) for pid in family(root))


def _from_status(root: int, key: str) -> int:
    return sum(parse_kilobytes((PROC / str(pid) / "status").read_text(), key) for pid in family(root))
