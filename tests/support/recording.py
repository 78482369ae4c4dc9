"""A plugin that writes down every phase of every exchange, and plugins that misbehave in one of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, ClassVar

from gateway.plugin import Attempt, Exchange, Plugin, Reply, ResponseHead


class Recorder(Plugin):
    """`events` holds (exchange, phase, attempt number or 0) in order; `finished` what on_finish saw."""

    def __init__(self) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.name = "recorder"
        self.events: list[tuple[int, str, int]] = []
        self.finished: list[tuple[int, str, str]] = []
        self.exchanges: list[Exchange] = []
        self._numbers: dict[int, int] = {}
        self.errors: list[str | None] = []

    def on_request(self, exchange: Exchange) -> Reply | None:
        self._note(exchange, "on_request")
        return None

    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> Reply | None:
        self._note(exchange, "on_attempt", attempt.number)
        return None

    def on_attempt_end(self, exchange: Exchange, attempt: Attempt) -> None:
        self._note(exchange, "on_attempt_end", attempt.number)
        self.errors.append(attempt.error)

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        self._note(exchange, "on_response")

    def on_finish(self, exchange: Exchange) -> None:
        self._note(exchange, "on_finish")
        self.finished.append((exchange.status, exchange.outcome, exchange.flag))

    def _note(self, exchange: Exchange, phase: str, number: int = 0) -> None:
        place = self._numbers.setdefault(id(exchange), len(self.exchanges))
        if place == len(self.exchanges):
            self.exchanges.append(exchange)
        self.events.append((place, phase, number))

    def phases(self, number: int = 0) -> list[str]:
        """The phases of one exchange, in order."""
        return [phase for exchange, phase, _ in self.events if exchange == number]

    def total(self, phase: str) -> int:
        """How often a phase ran, over all exchanges."""
        return sum(1 for _, found, _ in self.events if found == phase)

    def check(self) -> None:
        """Each attempt ended exactly once, each exchange finished exactly once, and nothing came after."""
        counted = Counter(self.events)
        for (exchange, phase, number), count in counted.items():
            if phase == "on_attempt":
                assert counted[exchange, "on_attempt_end", number] == 1, self.events
            if phase in ("on_attempt", "on_attempt_end", "on_finish"):
                assert count == 1, self.events
        last = {exchange: phase for exchange, phase, _ in self.events}
        assert set(last.values()) <= {"on_finish"}, self.events


class _Quiet(Plugin):
    def __init__(self, name: str = "") -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.name = name or type(self).__name__


def crashing(phase: str) -> Plugin:
    """A plugin that raises in one phase."""

    def crash(*arguments: Any) -> None:
        raise RuntimeError(f"crash in {phase}")

    async def crash_later(*arguments: Any) -> None:
        await asyncio.sleep(0)
        raise RuntimeError(f"crash in {phase}")

    body: dict[str, Any] = {
        "on_request": lambda self, exchange: crash(),
        "on_attempt": lambda self, exchange, attempt: crash(),
        "on_attempt_end": lambda self, exchange, attempt: crash(),
        "on_response": lambda self, exchange, head: crash(),
        "on_finish": lambda self, exchange: crash(),
    }
    if phase == "admit":

        async def admit(self: Plugin, exchange: Exchange) -> Reply | None:
            await crash_later()
            return None

        return type("CrashAdmit", (_Quiet,), {"admit": admit})()  # type: ignore[no-any-return]
    return type("Crash", (_Quiet,), {phase: body[phase]})()  # type: ignore[no-any-return]


class Gate(_Quiet):
    """Its `admit` waits until `open` is set; `cancelled` counts how often it was cut short."""

    def __init__(self) -> None:
        super().__init__("gate")
        self.open = asyncio.Event()
        self.waiting = 0
        self.cancelled = 0

    async def admit(self, exchange: Exchange) -> Reply | None:
        self.waiting += 1
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return None


class Cached(_Quiet):
    """Its `admit` is over at once."""

    async def admit(self, exchange: Exchange) -> Reply | None:
        return None


class Editor(_Quiet):
    """Calls `edit(exchange, head)` in on_response."""

    def __init__(self, edit: Any) -> None:
        super().__init__("editor")
        self._edit = edit

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        self._edit(exchange, head)


class Requester(_Quiet):
    """Calls `act(exchange)` in on_request; what it returns is the answer."""

    def __init__(self, act: Any) -> None:
        super().__init__("requester")
        self._act = act

    def on_request(self, exchange: Exchange) -> Reply | None:
        return self._act(exchange)  # type: ignore[no-any-return]


class ReadsRequest(_Quiet):
    """Wants the whole request body."""

    needs_body: ClassVar[Any] = "request"
    max_body: ClassVar[int] = 100

    def __init__(self) -> None:
        super().__init__("reads_request")
        self.bodies: list[bytes | None] = []

    def on_request(self, exchange: Exchange) -> Reply | None:
        self.bodies.append(exchange.body)
        return None


class ReadsResponse(_Quiet):
    """Wants the whole response body, and puts `replacement` in its place unless that is None."""

    needs_body: ClassVar[Any] = "response"
    max_body: ClassVar[int] = 100

    def __init__(self, replacement: bytes | None = None) -> None:
        super().__init__("reads_response")
        self.replacement = replacement
        self.bodies: list[bytes | None] = []

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        self.bodies.append(head.body)
        if self.replacement is not None:
            head.body = self.replacement
