"""The breaker's options as configuration writes them, and what the circuits make of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, Literal

from gateway.app_names import checked_reference
from gateway.breaker.circuit import Policy
from gateway.errors import ANSWERS
from gateway.units import Duration, Share, Size

Countable = Literal["5xx", "timeout", "connect"]
# The conditions of failures that each word of `count` stands for.
CONDITIONS: Final[dict[Countable, tuple[str, ...]]] = {
    "5xx": ("5xx", "reset"),
    "timeout": ("timeout",),
    "connect": ("connect", "full"),
}

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
# The gateway frames every message itself.
_FRAMING = frozenset(("connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"))
_TEN_SECONDS = Duration("10s")
_FIVE_SECONDS = Duration("5s")
_TWO_SECONDS = Duration("2s")
_MINUTE = Duration("60s")
_HALF = Share("50%")
_MOST = Share("80%")
_SIXTEEN_MIB = Size("16MiB")


def _positive(name: str, value: float | None, example: str) -> None:
    if value is not None and value <= 0:
        raise ValueError(f"{name} should be more than 0, such as {example}")


@dataclass(frozen=True)
class Slow:
    """Calls longer than `over` are slow; their `share` of all opens the breaker."""

    over: Duration = _TWO_SECONDS
    share: Share = _MOST

    def __post_init__(self) -> None:
        _positive("over", self.over, "2s")
        _positive("share", self.share, "80%")


@dataclass(frozen=True)
class HalfOpen:
    """How an upstream shows that it is well: by so many `probes`, or under a load that grows over the `ramp`."""

    probes: int | None = None
    ramp: Duration | None = None

    def __post_init__(self) -> None:
        if (self.probes is None) == (self.ramp is None):
            raise ValueError("give either probes or ramp, as in {probes: 1} or {ramp: 10s}")
        _positive("probes", self.probes, "1")
        _positive("ramp", self.ramp, "10s")


@dataclass(frozen=True)
class Stale:
    """Good answers are kept `for` so long, in `size` bytes of memory at most."""

    for_: Duration = _MINUTE
    size: Size = _SIXTEEN_MIB

    def __post_init__(self) -> None:
        _positive("for", self.for_, "60s")
        _positive("size", self.size, "16MiB")


@dataclass(frozen=True)
class Fallback:
    """What answers in place of a failure: the last good answer, and else a literal one, another upstream or an `app`.

    `status` is 200 where a literal answer does not give another.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    json: Any = None
    text: str | None = None
    file: str | None = None
    to: str | None = None
    app: str | None = None
    stale: Stale | None = None

    def __post_init__(self) -> None:
        bodies = [name for name in ("json", "text", "file") if getattr(self, name) is not None]
        if len(bodies) > 1:
            raise ValueError(f"{' and '.join(bodies)} are two bodies; keep one")
        given = ["an answer of its own"] if self.is_literal else []
        given += [f"`{name}`" for name in ("to", "app") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other; keep one")
        if not given and self.stale is None:
            raise ValueError(
                "a fallback answers with status, headers, json, text or file, or has `to`, `app` or `stale`"
            )
        if self.app is not None:
            checked_reference(self.app)
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError(f"status should be 200 to 599, not {self.status}")
        if self.status in (204, 304) and bodies:
            raise ValueError(f"an answer with status {self.status} has no body; leave out {bodies[0]}")
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no header name; write one such as X-Reason")
            if name.lower() in _FRAMING:
                raise ValueError(f"{name} frames the message; it is the gateway's alone")
            if not _HEADER_VALUE.fullmatch(value):
                raise ValueError(f"the value of {name} has a control character; write one line")

    @property
    def is_literal(self) -> bool:
        """Is there an answer of its own?"""
        given = (self.status, self.json, self.text, self.file)
        return bool(self.headers) or any(value is not None for value in given)


_ONE_PROBE = HalfOpen(probes=1)


@dataclass(frozen=True)
class BreakerOptions:
    """Hystrix's names and defaults. `consecutive` failures in a row replace the rule of `errors`."""

    window: Duration = _TEN_SECONDS
    requests: int = 20
    errors: Share = _HALF
    sleep: Duration = _FIVE_SECONDS
    slow: Slow | None = None
    consecutive: int | None = None
    half_open: HalfOpen = _ONE_PROBE
    mode: Literal["enforce", "observe"] = "enforce"
    count: tuple[Countable, ...] = ("5xx", "timeout", "connect")
    scope: Literal["route", "upstream", "endpoint"] = "route"
    name: str | None = None
    fallback: Fallback | None = None

    def __post_init__(self) -> None:
        _positive("window", self.window, "10s")
        _positive("requests", self.requests, "20")
        _positive("errors", self.errors, "50%")
        _positive("sleep", self.sleep, "5s")
        _positive("consecutive", self.consecutive, "5")
        if not self.count:
            raise ValueError(f"nothing would count as a failure; list some of {', '.join(CONDITIONS)}")
        if self.name == "":
            raise ValueError("the name is empty; leave it out, or give one")

    def policy(self) -> Policy:
        """The rules of the circuits, in plain numbers."""
        slow = self.slow
        return Policy(
            window=float(self.window),
            requests=self.requests,
            errors=float(self.errors),
            sleep=float(self.sleep),
            slow_over=float(slow.over) if slow is not None else inf,
            slow_share=float(slow.share) if slow is not None else 1.0,
            consecutive=self.consecutive or 0,
            probes=self.half_open.probes or 1,
            ramp=float(self.half_open.ramp) if self.half_open.ramp is not None else None,
        )

    def conditions(self) -> dict[str, str]:
        """What counts as a failure, with its condition: kinds of failures by their words, and the upstream's `5xx`."""
        counted = {condition for word in self.count for condition in CONDITIONS[word]}
        words: dict[str, str] = {kind.word: answer.condition for kind, answer in ANSWERS.items()}
        words["5xx"] = "5xx"
        return {word: condition for word, condition in words.items() if condition in counted}
