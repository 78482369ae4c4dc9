"""What the machine has, read from files as the kernel writes them, and from this very process."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from gateway.doctor.gather import COMPILED, control_group, is_compiled, machine_facts, surroundings, usable_cores

LIMIT_V1 = str((1 << 63) - 4096)


def write(root: Path, **files: str) -> None:
    """Files below `root`; `__` stands for `/`, and `_dot_` for `.`."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def test_of_this_process(tmp_path: Path) -> None:
    facts = machine_facts({})
    assert (facts.soft_files, facts.hard_files) == resource.getrlimit(resource.RLIMIT_NOFILE)
    assert facts.loop
    assert facts.builds == dict.fromkeys(COMPILED, True)
    assert facts.monotonic
    assert facts.cores == usable_cores() >= 1
    assert not facts.free_threaded


def test_of_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    facts = machine_facts({}, tmp_path / "proc", tmp_path / "sys")
    assert (facts.somaxconn, facts.syn_backlog, facts.local_ports, facts.clock_source) == (None, None, None, None)
    assert (facts.quota, facts.memory) == (None, None)


def test_settings_of_the_kernel(tmp_path: Path) -> None:
    write(
        tmp_path,
        proc__sys__net__core__somaxconn="128",
        proc__sys__net__ipv4__tcp_max_syn_backlog="256",
        proc__sys__net__ipv4__tcp_syncookies="0",
        proc__sys__net__ipv4__ip_local_port_range="32768\t60999",
        sys__devices__system__clocksource__clocksource0__current_clocksource="hpet",
    )
    facts = machine_facts({"YARL_NO_EXTENSIONS": "1"}, tmp_path / "proc", tmp_path / "sys")
    assert (facts.somaxconn, facts.syn_backlog, facts.syn_cookies) == (128, 256, 0)
    assert (facts.local_ports, facts.clock_source) == ((32768, 60999), "hpet")
    assert facts.switches == ("YARL_NO_EXTENSIONS",)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (None, None)),
        ({"proc__meminfo": "MemTotal:  1024 kB\nMemFree: 1 kB"}, (None, 1 << 20)),
        # The second version: of a group and those above it the least counts.
        (
            {
                "proc__self__cgroup": "0::/pods/one",
                "cg__pods__one__cpu_dot_max": "max 100000",
                "cg__pods__cpu_dot_max": "150000 100000",
                "cg__pods__one__memory_dot_max": "1000",
                "cg__memory_dot_max": "max",
            },
            (1.5, 1000),
        ),
        # In a container the path is not to be found, and the mount is the group.
        ({"proc__self__cgroup": "0::/../..", "cg__cpu_dot_max": "50000 100000"}, (0.5, None)),
        # The first version.
        (
            {
                "proc__self__cgroup": "5:memory:/a\n3:cpu,cpuacct:/b\n1:name=systemd:/c\n0::/",
                "cg__memory__a__memory_dot_limit_in_bytes": "2000",
                "cg__memory__memory_dot_limit_in_bytes": LIMIT_V1,
                "cg__cpu__b__cpu_dot_cfs_quota_us": "200000",
                "cg__cpu__b__cpu_dot_cfs_period_us": "100000",
                "cg__cpu__cpu_dot_cfs_quota_us": "-1",
                "cg__cpu__cpu_dot_cfs_period_us": "100000",
            },
            (2.0, 2000),
        ),
    ],
)
def test_control_groups(tmp_path: Path, files: dict[str, str], expected: tuple[float | None, int | None]) -> None:
    write(tmp_path, **files)
    assert control_group(tmp_path / "proc", tmp_path / "cg") == expected


def test_surroundings(tmp_path: Path) -> None:
    assert surroundings({}, tmp_path) == "shell"
    assert surroundings({"INVOCATION_ID": "1", "JOURNAL_STREAM": "8:1"}, tmp_path) == "systemd"
    (tmp_path / ".dockerenv").touch()
    assert surroundings({}, tmp_path) == "container"
    assert surroundings({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path) == "kubernetes"


def test_compiled_or_not() -> None:
    assert is_compiled("orjson:dumps")
    assert is_compiled("gateway.doctor.gather:is_compiled") is False
    assert is_compiled("gateway.no_such_module:x") is None
    assert is_compiled("orjson:no_such_name") is None
