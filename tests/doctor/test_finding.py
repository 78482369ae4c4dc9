"""What to type depends on what starts the gateway."""

from __future__ import annotations

import pytest

from gateway.doctor.finding import Surroundings, low_ports, more_files, more_memory, sysctl

EVERYWHERE: tuple[Surroundings, ...] = ("shell", "systemd", "container", "kubernetes")


@pytest.mark.parametrize(
    ("where", "hard", "words"),
    [
        ("shell", 5000, "ulimit -n 5000"),
        ("shell", 4999, "limits.conf"),
        ("systemd", 1024, "LimitNOFILE=5000"),
        ("container", 1024, "--ulimit nofile=5000:5000"),
        ("kubernetes", 1024, "container runtime"),
    ],
)
def test_more_files(where: Surroundings, hard: int, words: str) -> None:
    assert words in more_files(5000, hard, where)[0]


@pytest.mark.parametrize("where", EVERYWHERE)
def test_settings_of_the_kernel(where: Surroundings) -> None:
    (first, *_) = sysctl("net.core.somaxconn", "4096", where)
    assert "net.core.somaxconn" in first
    assert "4096" in first
    assert first.startswith("sysctl -w") == (where in ("shell", "systemd"))


@pytest.mark.parametrize("where", EVERYWHERE)
def test_low_ports(where: Surroundings) -> None:
    words = " ".join(low_ports(80, where))
    assert ("NET_BIND_SERVICE" in words) == (where in ("systemd", "kubernetes"))
    assert ("ip_unprivileged_port_start='80'" in words) == (where in ("shell", "container"))


def test_more_memory() -> None:
    assert more_memory("512Mi", "shell") == ()
    assert "MemoryMax=512M" in more_memory("512Mi", "systemd")[0]
    assert "{memory: 512Mi}" in more_memory("512Mi", "kubernetes")[0]
    assert more_memory("512Mi", "container") == ("docker run --memory 512m",)
