"""What systemd says to a service and a service to systemd, by its documented interfaces: sd_notify(3), sd_listen_fds(3)
and sd_watchdog_enabled(3). Where systemd did not start the process, nothing of it happens."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Sequence

from gateway.config.fields import Bind

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"

FIRST_ACTIVATED = 3
SEND_WITHIN = 0.5
ANY_HOST = frozenset(("", "0.0.0.0", "::"))
LOCALHOST = frozenset(("127.0.0.1", "::1"))

# A host with its port, or the path of a Unix socket.
Address = tuple[str, int] | str


def notify(*assignments: str) -> None:
    """Tell the service manager, in one message. Nothing where there is none, and where it does not listen.

    The unit needs Type=notify; ALIVE is due every `watchdog_interval()` seconds.
    """
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return
    # `@` stands for the zero byte that an abstract name begins with.
    address = "\0" + place[1:] if place.startswith("@") else place
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SEND_WITHIN)
        sock.sendto("\n".join(assignments).encode(), address)


def reloading() -> str:
    """A reload begins; READY says that it is over. By the time systemd knows which one it is (Type=notify-reload)."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def status(text: str) -> str:
    """One line for `systemctl status`."""
    return f"STATUS={' '.join(text.split())}"


def main_pid(pid: int) -> str:
    """Which process the service is, where it is not the one that systemd started."""
    return f"MAINPID={pid}"


def watchdog_interval() -> float | None:
    """Seconds between two ALIVE: half of the unit's WatchdogSec. None where nobody watches this process."""
    watched = os.environ.get("WATCHDOG_PID")
    microseconds = _number("WATCHDOG_USEC")
    if microseconds <= 0 or (watched is not None and _number("WATCHDOG_PID") not in _own_pids()):
        return None
    return microseconds / 2_000_000


def activated_sockets() -> list[tuple[str, socket.socket]]:
    """The sockets that the service manager listens on for this process, each with its FileDescriptorName.

    Asked once: the variables are gone afterwards, so that no child takes the descriptors for its own. OSError, in
    words, when one of them cannot be accepted from.
    """
    count = _number("LISTEN_FDS") if _number("LISTEN_PID") in _own_pids() else 0
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"):
        os.environ.pop(variable, None)
    names += [""] * (count - len(names))
    return [(names[index], _listening(FIRST_ACTIVATED + index, names[index])) for index in range(count)]


def address_of(sock: socket.socket) -> Address:
    """Where it listens, as `assign` compares it."""
    name = sock.getsockname()
    if isinstance(name, tuple):
        return name[0], name[1]
    # An abstract name comes as bytes, and is written with `@` for the zero byte that it begins with.
    return "@" + name[1:].decode(errors="replace") if isinstance(name, bytes) else str(name)


def assign(binds: Sequence[tuple[str, Bind]], activated: Sequence[tuple[str, Address]]) -> list[int | None]:
    """For each activated socket, the index of the bind that it serves; None for one that nobody asked for.

    By name first (a bind's name such as `admin` beside FileDescriptorName=; a name cannot be the bind itself, since
    systemd allows no colon in it), then by the very address. Last, every interface of either family is one: systemd
    makes of `ListenStream=8080` a socket of IPv6 that takes IPv4 too.
    """
    return [_served(binds, name, address) for name, address in activated]


def _served(binds: Sequence[tuple[str, Bind]], name: str, address: Address) -> int | None:
    for index, (wanted, _) in enumerate(binds):
        if wanted and wanted == name:
            return index
    for alike in (_is_exactly, _is_as_good_as):
        for index, (_, bind) in enumerate(binds):
            if alike(bind, address):
                return index
    return None


def _is_exactly(bind: Bind, address: Address) -> bool:
    return (bind.host, bind.port) == address or str(bind) == f"unix:{address}"


def _is_as_good_as(bind: Bind, address: Address) -> bool:
    if isinstance(address, str) or bind.port != address[1]:
        return False
    return (bind.host in ANY_HOST and address[0] in ANY_HOST) or (bind.host == "localhost" and address[0] in LOCALHOST)


def _listening(descriptor: int, name: str) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
        accepts = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise OSError(f"the activated socket {name or descriptor} cannot be used: {error.strerror}") from None
    if not accepts:
        sock.close()
        raise OSError(f"the activated socket {name or descriptor} takes no connections: use ListenStream=, Accept=no")
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def _own_pids() -> tuple[int, ...]:
    # What systemd starts of a one-file executable unpacks it, starts this process and waits for its end.
    return (os.getpid(), os.getppid()) if getattr(sys, "frozen", False) else (os.getpid(),)


def _number(variable: str) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isascii() and text.isdigit() else 0
