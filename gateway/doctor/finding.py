"""What a check comes to, and the words for what to type, which depend on what starts the gateway. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "failed"]
# What starts the gateway, and so has its limits.
Surroundings = Literal["shell", "systemd", "container", "kubernetes"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result. `means` says what comes of it; `remedy` holds lines to type or to write, first things first.
    Both are empty for what is well."""

    check: str
    level: Level
    found: str
    means: str = ""
    remedy: tuple[str, ...] = ()


def more_files(count: int, hard: int, where: Surroundings) -> tuple[str, ...]:
    """How a process may open `count` files, where it now may raise its limit to `hard`."""
    if where == "systemd":
        return (f"systemctl edit the unit: [Service] LimitNOFILE={count}",)
    if where == "container":
        return (f"docker run --ulimit nofile={count}:{count}",)
    if where == "kubernetes":
        # A pod has no field for it: its limits are those of the container runtime.
        return (f"LimitNOFILE={count} in the unit of the node's container runtime",)
    if count <= hard:
        return (f"ulimit -n {count}",)
    return (f"as root, in /etc/security/limits.conf: * - nofile {count}", f"log in again, then: ulimit -n {count}")


def sysctl(name: str, value: str, where: Surroundings) -> tuple[str, ...]:
    """How a setting of the kernel's network is changed."""
    if where == "container":
        return (f"docker run --sysctl {name}='{value}'",)
    if where == "kubernetes":
        return (f'in the pod: securityContext: {{sysctls: [{{name: {name}, value: "{value}"}}]}}',)
    return (f"sysctl -w {name}='{value}'", f"to keep it, in /etc/sysctl.d/90-gateway.conf: {name} = {value}")


def low_ports(port: int, where: Surroundings) -> tuple[str, ...]:
    """How a process that is not root's may listen on a port below 1024."""
    if where == "systemd":
        return ("systemctl edit the unit: [Service] AmbientCapabilities=CAP_NET_BIND_SERVICE",)
    if where == "kubernetes":
        return ("in the container: securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}",)
    return sysctl("net.ipv4.ip_unprivileged_port_start", str(port), where)


def more_memory(size: str, where: Surroundings) -> tuple[str, ...]:
    """How a process may use `size` of memory, such as 512Mi."""
    if where == "systemd":
        return (f"systemctl edit the unit: [Service] MemoryMax={size.removesuffix('i')}",)
    if where == "kubernetes":
        return (f"in the container: resources: {{limits: {{memory: {size}}}}}",)
    if where == "container":
        return (f"docker run --memory {size.removesuffix('i').lower()}",)
    return ()
