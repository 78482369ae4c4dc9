"""What a supervisor leaves to the one that it becomes when it begins anew, in the environment of the same process:
descriptors of listening sockets, its workers, and the memory that they share."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.config.fields import Bind
from gateway.process.channel import Answer, Channel
from gateway.process.sockets import open_sockets
from gateway.process.systemd import activated_sockets, address_of, assign
from gateway.state.memory import MemoryShared

VARIABLE = "GATEWAY_PREDECESSOR"


@dataclass(eq=False, slots=True)
class OldWorker:
    """A worker that goes on until it is told to retire."""

    slot: int
    pid: int
    control: socket.socket
    channel: Channel = field(init=False)

    async def attach(self, memory: MemoryShared) -> None:
        """Answer what it asks of the memory that all share, which is all that it asks."""
        self.channel = Channel(memory_answers(memory), lambda: None)
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self.channel, sock=self.control)
        self.channel.tell("attach")


@dataclass(slots=True)
class Predecessor:
    """Mutable state: what there is, until it is closed. `listening` are sockets by the text of their bind, the admin
    listener's as `admin`."""

    listening: list[tuple[str, list[socket.socket]]] = field(default_factory=list)
    workers: list[OldWorker] = field(default_factory=list)
    entries: list[tuple[str, bytes, float | None]] = field(default_factory=list)
    _taken: set[int] = field(default_factory=set)

    @classmethod
    def found(cls) -> Predecessor:
        """What the environment says, which is clean afterwards; nothing for a process that began as itself."""
        text = os.environ.pop(VARIABLE, "")
        if not text:
            return cls()
        left: dict[str, Any] = json.loads(text)
        return cls(
            [(bind, [_inherited(number) for number in numbers]) for bind, numbers in left["listening"]],
            [OldWorker(slot, pid, _inherited(number)) for slot, pid, number in left["workers"]],
            _entries(left["memory"]),
        )

    def take(self, bind: Bind, count: int, name: str = "") -> list[socket.socket]:
        """`count` sockets that listen on an address: those that are there, or new ones. `name` is `admin` for that
        listener. OSError when the address cannot be had."""
        wanted = name or str(bind)
        for text, sockets in self.listening:
            if text == wanted and id(sockets) not in self._taken:
                self._taken.add(id(sockets))
                # Where there are not enough, several workers accept from one.
                return [sockets[number if number < len(sockets) else 0].dup() for number in range(count)]
        return open_sockets(bind, count)

    def begin(self) -> None:
        """Everything can be taken again."""
        self._taken.clear()

    def adopt_activated(self, binds: Sequence[tuple[str, Bind]]) -> list[str]:
        """Have the service manager's sockets too, for these binds by their names. The names of those that nobody asks
        for. OSError for what is no listening socket."""
        activated = activated_sockets()
        served = assign(binds, [(name, address_of(sock)) for name, sock in activated])
        unused = []
        for (name, sock), index in zip(activated, served, strict=True):
            if index is None:
                unused.append(name or str(sock.getsockname()))
                sock.close()
            else:
                wanted, bind = binds[index]
                self.listening.append((wanted if wanted == "admin" else str(bind), [sock]))
        return unused

    def close(self) -> None:
        """Let go of it. What was taken stays open."""
        for _, sockets in self.listening:
            for sock in sockets:
                sock.close()
        self.listening.clear()


def memory_answers(memory: MemoryShared) -> dict[str, Answer]:
    """What workers may ask of the shared memory, see `GatewayMemory`."""
    return {f"memory_{what}": getattr(memory, what) for what in ("get", "set", "add", "delete")}


def leave(
    listening: Iterable[tuple[str, Sequence[socket.socket]]],
    workers: Iterable[tuple[int, int, socket.socket]],
    entries: list[tuple[str, bytes, float | None]],
) -> dict[str, str]:
    """The environment in which a successor finds this: sockets by their binds, workers as (slot, pid, channel), and
    what the shared memory holds."""
    left = {
        "listening": [(bind, [_bequeathed(sock) for sock in sockets]) for bind, sockets in listening],
        "workers": [(slot, pid, _bequeathed(sock)) for slot, pid, sock in workers],
        "memory": _written(entries),
    }
    return {VARIABLE: json.dumps(left)}


def _bequeathed(sock: socket.socket) -> int:
    os.set_inheritable(sock.fileno(), True)
    return sock.fileno()


def _inherited(number: int) -> socket.socket:
    os.set_inheritable(number, False)
    sock = socket.socket(fileno=number)
    sock.setblocking(False)
    return sock


def _written(entries: list[tuple[str, bytes, float | None]]) -> int | None:
    if not entries or not hasattr(os, "memfd_create"):
        return None
    number = os.memfd_create("gateway-memory", 0)
    with open(number, "wb", closefd=False) as file:
        pickle.dump(entries, file, pickle.HIGHEST_PROTOCOL)
    return number


def _entries(number: int | None) -> list[tuple[str, bytes, float | None]]:
    if number is None:
        return []
    with open(number, "rb") as file:
        file.seek(0)
        found: list[tuple[str, bytes, float | None]] = pickle.load(file)
    return found
